//! Replies that come on another connection than their frames.

use volley_load::measure::ledger::Column;
use volley_proto::ReplyKind;

use crate::scripted::Fault;
use crate::{Played, SHORT, WAYS, Way, for_each, play_with, share};

/// Two connections of 50 frames each; the 10th and the 30th of each get each other's reply.
fn misroute(way: Way) -> Played {
    play_with(way, Fault::Misroute, &[9, 29], |plan| {
        share(plan);
        plan.timeout = SHORT;
    })
}

#[test]
fn an_echo_on_another_connection_is_misrouted() {
    let ways: Vec<_> = WAYS.into_iter().filter(|way| way.reply == ReplyKind::Echo).collect();
    for_each(&ways, |way| {
        let played = misroute(way);
        played.ends_with([(Column::Ok, 96), (Column::Misrouted, 4)]);
        assert_eq!((played.count.answered, played.count.faults), (100, 4));
        assert_eq!(played.outcome.total.run.strays, 0);
    });
}

#[test]
fn a_receipt_on_another_connection_is_corrupt() {
    // It is for other bytes, and does not say for whose.
    for way in WAYS.into_iter().filter(|way| way.reply == ReplyKind::Ack) {
        let played = misroute(way);
        played.ends_with([(Column::Ok, 96), (Column::Corrupt, 4)]);
    }
}
