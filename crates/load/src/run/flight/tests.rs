//! Which reply settles which frame, and how.

use super::*;
use crate::measure::ledger::Ledger;

const LEN: u32 = 64;

/// Finds the frame to which a reply belongs, and settles it.
fn received(
    flight: &mut Flight,
    payload: &[u8],
    payloads: &Payloads,
    measured: &mut Interval,
) -> Matched {
    let Some(frame) = flight.frames().next() else {
        return flight.sort_out(payload, payloads, measured);
    };
    match flight.in_turn(payload, payloads) {
        Some(_) => flight.settle_right(frame, measured),
        None => flight.sort_out(payload, payloads, measured),
    }
}

/// A connection with `frames` frames in flight, and what was sent.
fn flight(kind: ReplyKind, frames: u64) -> (Flight, Payloads, Interval, Vec<Vec<u8>>) {
    let payloads = Payloads::new(1, 2, LEN as usize);
    let mut flight = Flight::new(&Plan::default(), 3, kind, 0);
    let (mut measured, mut sent) = (Interval::default(), Vec::new());
    for number in 0..frames {
        let mut payload = Vec::new();
        payloads.append(3, number, LEN as usize, &mut payload);
        let crc32c = expected_crc32c(kind, &payload);
        let total = (number + 1) * u64::from(LEN);
        flight.send(Sent { planned: 0, written: 0, len: LEN, crc32c }, false);
        measured.run.ledger.send(1);
        sent.push(match kind {
            ReplyKind::Echo => payload,
            ReplyKind::Ack => {
                Receipt { crc32c, seq: number + 1, total, received_at: 1 }.encode().to_vec()
            }
        });
    }
    (flight, payloads, measured, sent)
}

/// Replies in the order of `order`, then nothing more; returns the ledger.
fn settle(kind: ReplyKind, frames: u64, order: &[usize]) -> Ledger {
    let (mut flight, payloads, mut measured, replies) = flight(kind, frames);
    for &at in order {
        received(&mut flight, &replies[at], &payloads, &mut measured);
    }
    lose_all(&mut flight, Loss::Closed, &mut measured);
    assert_eq!(measured.run.ledger.imbalance(), 0, "{order:?}");
    measured.run.ledger
}

fn lose_all(flight: &mut Flight, loss: Loss, measured: &mut Interval) {
    for (frame, loss) in flight.give_up(loss) {
        flight.lose(&frame, Column::Lost(loss), measured);
    }
}

fn counts(ledger: &Ledger) -> [u64; 6] {
    [
        ledger.count(Column::Ok),
        ledger.count(Column::Duplicate),
        ledger.count(Column::Reordered),
        ledger.count(Column::Corrupt),
        ledger.count(Column::Lost(Loss::Skipped)),
        ledger.count(Column::Lost(Loss::Closed)),
    ]
}

#[test]
fn each_order_of_replies_lands_in_its_columns() {
    let cases: [(&[usize], [u64; 6]); 8] = [
        (&[0, 1, 2, 3], [4, 0, 0, 0, 0, 0]),
        (&[0, 1], [2, 0, 0, 0, 0, 2]),
        (&[0, 2, 3], [3, 0, 0, 0, 1, 0]),
        (&[1, 0, 3, 2], [2, 0, 2, 0, 0, 0]),
        (&[0, 0, 1, 2, 3], [3, 1, 0, 0, 0, 0]),
        (&[0, 0, 0, 1, 2, 3], [3, 1, 0, 0, 0, 0]),
        (&[1, 0, 0, 2, 3], [3, 1, 0, 0, 0, 0]),
        (&[3, 2, 1, 0], [1, 0, 3, 0, 0, 0]),
    ];
    for kind in [ReplyKind::Echo, ReplyKind::Ack] {
        for (order, expected) in cases {
            assert_eq!(counts(&settle(kind, 4, order)), expected, "{kind} {order:?}");
        }
    }
}

#[test]
fn a_second_echo_is_known_without_saying_whose_it_is() {
    let payloads = Payloads::new(1, 2, LEN as usize);
    let echo = |number, len| {
        let mut echo = Vec::new();
        payloads.append(3, number, len, &mut echo);
        echo
    };
    for len in [1, 4, 19] {
        let (mut flight, _, mut measured, _) = flight(ReplyKind::Echo, 3);
        flight.waiting.iter_mut().for_each(|frame| frame.len = len);
        // One byte tells too little as long as it could be a wrong echo.
        let order: &[u64] = if len < 4 { &[0, 1, 2, 2] } else { &[0, 0, 1, 0, 2, 2, 2] };
        for &number in order {
            let reply =
                received(&mut flight, &echo(number, len as usize), &payloads, &mut measured);
            assert!(!matches!(reply, Matched::Extra(Stray::Unasked)), "{len}: {number}");
        }
        let twice = if len < 4 { 1 } else { 2 };
        assert_eq!(counts(&measured.run.ledger), [3 - twice, twice, 0, 0, 0, 0], "{len}");
    }
}

#[test]
fn a_second_receipt_for_an_empty_frame_is_no_wrong_one_for_the_next() {
    let payloads = Payloads::new(1, 2, LEN as usize);
    let (mut flight, _, mut measured, _) = flight(ReplyKind::Ack, 3);
    for frame in &mut flight.waiting {
        (frame.len, frame.crc32c) = (0, 0);
    }
    for seq in [1, 1, 2, 3] {
        let receipt = Receipt { crc32c: 0, seq, total: 0, received_at: 1 }.encode();
        received(&mut flight, &receipt, &payloads, &mut measured);
    }
    assert_eq!(counts(&measured.run.ledger), [2, 1, 0, 0, 0, 0]);
}

#[test]
fn a_wrong_reply_stands_for_the_frame_whose_turn_it_is() {
    for kind in [ReplyKind::Echo, ReplyKind::Ack] {
        let (mut flight, payloads, mut measured, mut replies) = flight(kind, 3);
        replies[1][5] ^= 1;
        for reply in &replies {
            received(&mut flight, reply, &payloads, &mut measured);
        }
        assert_eq!(counts(&measured.run.ledger), [2, 0, 0, 1, 0, 0], "{kind}");
        assert!(flight.is_empty() && measured.run.ledger.imbalance() == 0);
        let stray = received(&mut flight, b"no reply to anything", &payloads, &mut measured);
        assert!(matches!(stray, Matched::Extra(Stray::Unasked)));
    }
}

#[test]
fn a_reply_of_another_connection_is_told_and_settles_nothing_here() {
    let (mut flight, payloads, mut measured, _) = flight(ReplyKind::Echo, 2);
    let mut foreign = Vec::new();
    payloads.append(9, 77, LEN as usize, &mut foreign);
    let stray = received(&mut flight, &foreign, &payloads, &mut measured);
    assert!(matches!(stray, Matched::Extra(Stray::Misrouted(9, 77))));
    lose_all(&mut flight, Loss::TimedOut, &mut measured);
    assert_eq!(measured.run.ledger.count(Column::Lost(Loss::TimedOut)), 2);
    assert_eq!(measured.run.ledger.imbalance(), 0);
}

#[test]
fn a_reply_to_a_frame_of_the_connection_before_settles_nothing_here() {
    let payloads = Payloads::new(1, 2, LEN as usize);
    let mut flight = Flight::new(&Plan::default(), 3, ReplyKind::Echo, 5);
    let (mut measured, mut echo) = (Interval::default(), Vec::new());
    flight.send(Sent { planned: 0, written: 0, len: LEN, crc32c: 0 }, false);
    payloads.append(3, 4, LEN as usize, &mut echo);
    let stray = received(&mut flight, &echo, &payloads, &mut measured);
    assert!(matches!(stray, Matched::Extra(Stray::Misrouted(3, 4))), "{stray:?}");
    assert_eq!(flight.places(), 1);
}

#[test]
fn a_reply_after_the_time_out_is_late_and_the_rest_timed_out() {
    for kind in [ReplyKind::Echo, ReplyKind::Ack] {
        let (mut flight, payloads, mut measured, replies) = flight(kind, 4);
        flight.expire(0);
        assert_eq!((flight.places(), flight.is_empty()), (0, false));
        received(&mut flight, &replies[1], &payloads, &mut measured);
        received(&mut flight, &replies[0], &payloads, &mut measured);
        assert_eq!(measured.run.ledger.count(Column::Late), 2, "{kind}");
        lose_all(&mut flight, Loss::Closed, &mut measured);
        assert_eq!(measured.run.ledger.count(Column::Lost(Loss::TimedOut)), 2, "{kind}");
        assert_eq!(measured.run.ledger.imbalance(), 0);
    }
}

#[test]
fn a_frame_is_skipped_if_a_later_one_is_answered_before_its_time_out_or_after() {
    for expires_first in [true, false] {
        let (mut flight, payloads, mut measured, replies) = flight(ReplyKind::Echo, 2);
        let later = Sent { planned: 0, written: 9, len: LEN, crc32c: 0 };
        let mut reply = Vec::new();
        payloads.append(3, 2, LEN as usize, &mut reply);
        flight.send(later, false);
        measured.run.ledger.send(1);
        received(&mut flight, &replies[0], &payloads, &mut measured);
        if expires_first {
            flight.expire(5);
        }
        received(&mut flight, &reply, &payloads, &mut measured);
        flight.expire(5);
        lose_all(&mut flight, Loss::Closed, &mut measured);
        assert_eq!(counts(&measured.run.ledger), [2, 0, 0, 0, 1, 0], "{expires_first}");
    }
}

#[test]
fn a_reply_that_names_its_frame_and_is_wrong_is_corrupt() {
    // Cut short, an echo still says whose it is.
    let (mut flight, payloads, mut measured, replies) = flight(ReplyKind::Echo, 2);
    received(&mut flight, &replies[0][..40], &payloads, &mut measured);
    received(&mut flight, &replies[1], &payloads, &mut measured);
    assert_eq!(counts(&measured.run.ledger), [1, 0, 0, 1, 0, 0]);
    // A receipt with a wrong total, and one with a wrong number.
    let (mut flight, payloads, mut measured, mut replies) = self::flight(ReplyKind::Ack, 4);
    replies[1][23] ^= 1;
    replies[2][15] ^= 1;
    for reply in &replies {
        received(&mut flight, reply, &payloads, &mut measured);
    }
    assert_eq!(counts(&measured.run.ledger), [2, 0, 0, 2, 0, 0]);
    assert_eq!((measured.run.ledger.imbalance(), flight.is_empty()), (0, true));
}

#[test]
fn a_reply_to_a_frame_that_was_never_sent_harms_nothing() {
    let (mut flight, payloads, mut measured, replies) = flight(ReplyKind::Echo, 1);
    received(&mut flight, &replies[0], &payloads, &mut measured);
    let mut ahead = Vec::new();
    payloads.append(3, 9, LEN as usize, &mut ahead);
    let stray = received(&mut flight, &ahead, &payloads, &mut measured);
    assert!(matches!(stray, Matched::Extra(Stray::Unasked)), "{stray:?}");
    assert_eq!(counts(&measured.run.ledger), [1, 0, 0, 0, 0, 0]);
}

#[test]
fn a_duplicate_may_come_in_a_later_interval() {
    let (mut flight, payloads, mut first, replies) = flight(ReplyKind::Echo, 1);
    received(&mut flight, &replies[0], &payloads, &mut first);
    let mut second = Interval::default();
    received(&mut flight, &replies[0], &payloads, &mut second);
    first += &second;
    assert_eq!(counts(&first.run.ledger), [0, 1, 0, 0, 0, 0]);
    assert_eq!(first.run.ledger.imbalance(), 0);
}

#[test]
fn a_server_that_answers_nothing_costs_no_more_memory_with_time() {
    let most = most_trouble(&Plan::default()) as usize;
    let frames = 3 * most;
    let (mut flight, payloads, mut measured, replies) = flight(ReplyKind::Echo, frames as u64);
    let given_up = flight.expire(0);
    assert_eq!(given_up.len(), frames - most);
    for (frame, loss) in &given_up {
        assert_eq!(*loss, Loss::TimedOut);
        flight.lose(frame, Column::Lost(*loss), &mut measured);
    }
    // The last one that was given up is answered after all.
    received(&mut flight, &replies[frames - most - 1], &payloads, &mut measured);
    assert_eq!(measured.run.ledger.count(Column::Late), 1);
    // So is the first, of which nobody knows any more that it was lost.
    let forgotten = received(&mut flight, &replies[0], &payloads, &mut measured);
    assert!(matches!(forgotten, Matched::Extra(Stray::Forgotten)), "{forgotten:?}");
    lose_all(&mut flight, Loss::Closed, &mut measured);
    assert_eq!(measured.run.ledger.imbalance(), 0);
    assert_eq!(measured.run.ledger.lost(), frames as u64 - 1);
}

#[test]
fn receipts_begin_again_on_a_new_connection() {
    let payloads = Payloads::new(1, 2, 64);
    let mut flight = Flight::new(&Plan::default(), 3, ReplyKind::Ack, 500);
    let mut measured = Interval::default();
    flight.send(Sent { planned: 0, written: 0, len: 0, crc32c: 0 }, false);
    let receipt = Receipt { crc32c: 0, seq: 1, total: 0, received_at: 1 }.encode();
    let answer = received(&mut flight, &receipt, &payloads, &mut measured);
    assert!(matches!(answer, Matched::Answer(frame, Column::Ok) if frame.number == 500));
}
