//! Replies with other bytes than they must have.

use volley_load::measure::ledger::Column;
use volley_proto::ReplyKind;

use crate::scripted::{Change, Fault};
use crate::{WAYS, Way, play};

/// The frames that are answered wrongly: the first, two in a row, one in the middle, the last.
const AT: [u64; 5] = [0, 20, 21, 50, 99];

/// Each of the replies is corrupt, and none beside them.
#[track_caller]
fn is_corrupt(way: Way, name: &str, change: Change) {
    let played = play(way, Fault::Change(change), &AT);
    let columns = [(Column::Ok, 95), (Column::Corrupt, 5)];
    let found = played.outcome.total.run.ledger.filled();
    assert_eq!(found, columns.into(), "{way:?}, changed: {name}");
    played.ends_with(columns);
    let count = &played.count;
    assert_eq!((count.answered, count.faults, count.connections.len()), (95, 5, 1));
    played.has_no_problem();
    assert_eq!(played.outcome.bad_replies.len(), 5);
    let shown: Vec<_> = played.outcome.bad_replies.iter().map(|bad| bad.frame).collect();
    assert_eq!(shown, AT);
}

fn ways(reply: ReplyKind) -> impl Iterator<Item = Way> {
    WAYS.into_iter().filter(move |way| way.reply == reply)
}

#[test]
fn an_echo_with_a_flipped_bit_is_corrupt_wherever_the_bit_is() {
    let changes: [(&str, Change); 8] = [
        ("the first bit", |echo| echo[0] ^= 0x80),
        ("the connection's last bit", |echo| echo[11] ^= 1),
        ("the connection's 13th bit from behind", |echo| echo[10] ^= 0x10),
        ("the connection's first bit", |echo| echo[8] ^= 0x80),
        ("the number's last bit", |echo| echo[19] ^= 1),
        ("the number's 13th bit from behind", |echo| echo[18] ^= 0x10),
        ("behind the number", |echo| echo[20] ^= 1),
        ("the last bit", |echo| echo[63] ^= 1),
    ];
    for way in ways(ReplyKind::Echo) {
        for (name, change) in changes {
            is_corrupt(way, name, change);
        }
    }
}

#[test]
fn an_echo_of_another_length_is_corrupt() {
    let changes: [(&str, Change); 6] = [
        ("nothing", |echo| echo.clear()),
        ("less than whose it is", |echo| echo.truncate(19)),
        ("no more than whose it is", |echo| echo.truncate(20)),
        ("a byte less", |echo| echo.truncate(63)),
        ("a byte more", |echo| echo.push(0)),
        ("much more", |echo| echo.resize(100_000, 7)),
    ];
    for way in ways(ReplyKind::Echo) {
        for (name, change) in changes {
            is_corrupt(way, name, change);
        }
    }
}

#[test]
fn a_receipt_for_something_else_is_corrupt() {
    let changes: [(&str, Change); 8] = [
        ("no receipt", |receipt| receipt[0] ^= 1),
        ("the checksum", |receipt| receipt[7] ^= 1),
        ("the number, up or down", |receipt| receipt[15] ^= 1),
        ("the number, far off", |receipt| receipt[8] ^= 1),
        ("the total", |receipt| receipt[23] ^= 1),
        ("a byte less", |receipt| receipt.truncate(31)),
        ("a byte more", |receipt| receipt.push(0)),
        ("nothing", |receipt| receipt.clear()),
    ];
    for way in ways(ReplyKind::Ack) {
        for (name, change) in changes {
            is_corrupt(way, name, change);
        }
    }
}

#[test]
fn a_wrong_echo_is_shown_beside_what_was_sent() {
    let change = Fault::Change(|echo| echo[30] ^= 0xff);
    let played = play(WAYS[1], change, &[7]);
    let [bad] = &played.outcome.bad_replies[..] else { panic!("{:?}", played.outcome.bad_replies) };
    assert_eq!((bad.connection, bad.frame, bad.lengths), (0, 7, (64, 64)));
    let differing: Vec<_> = (0..32).filter(|&at| bad.expected[at] != bad.received[at]).collect();
    assert_eq!((bad.expected.len(), bad.received.len(), differing), (32, 32, vec![30]));
    assert_eq!(bad.expected[12..20], 7_u64.to_be_bytes());
}

#[test]
fn a_wrong_receipt_is_shown_beside_what_was_due() {
    let change = Fault::Change(|receipt| receipt[15] ^= 0x80);
    let played = play(WAYS[3], change, &[7]);
    let [bad] = &played.outcome.bad_replies[..] else { panic!("{:?}", played.outcome.bad_replies) };
    assert_eq!((bad.connection, bad.frame, bad.lengths), (0, 7, (32, 32)));
    // All but the time at which the server says that it received it.
    assert_eq!((bad.expected.len(), bad.received.len()), (24, 32));
    let differing: Vec<_> = (0..24).filter(|&at| bad.expected[at] != bad.received[at]).collect();
    assert_eq!(differing, [15]);
    assert_eq!(bad.expected[8..16], 8_u64.to_be_bytes());
    assert_eq!(bad.expected[16..24], (8 * 64_u64).to_be_bytes());
}
