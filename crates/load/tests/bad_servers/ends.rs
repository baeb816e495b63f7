//! Connections that end while frames are in flight.

use volley_load::measure::ledger::{Column, Loss};
use volley_load::plan::{Plan, Stop};
use volley_load::run::End as RunEnd;
use volley_proto::{Reason, ReplyKind};

use crate::scripted::{End, Fault, Script, Server};
use crate::{WAYS, Way, plan, play, play_with, run};

/// Each way to end a connection, with the reason for which its frames are lost, and what is told
/// of it.
fn ends() -> [(End, Loss, &'static str); 7] {
    [
        (End::Close, Loss::Closed, "the server closed the connection"),
        (End::Reset, Loss::Reset, "Connection reset by peer (os error 104)"),
        (End::Cut(3), Loss::Truncated, "the server closed the connection in the middle of a frame"),
        (
            End::Cut(20),
            Loss::Truncated,
            "the server closed the connection in the middle of a frame",
        ),
        (
            End::Error(Reason::Internal, "on fire"),
            Loss::Refused,
            "the server said: internal: on fire",
        ),
        (End::Error(Reason::Busy, ""), Loss::Refused, "the server said: busy"),
        (
            End::Bytes(b"GIF89a and so on"),
            Loss::Protocol,
            "frame of 1195984440 bytes exceeds the limit of 67108864",
        ),
    ]
}

/// Frames of a connection that are answered before it ends.
const ANSWERED: u64 = 10;

#[test]
fn what_is_in_flight_when_a_connection_ends_is_lost_and_the_run_goes_on() {
    for way in WAYS {
        for (end, loss, why) in ends() {
            // Three connections end with all places taken, a fourth lives to the end.
            let in_flight = u64::from(way.pipeline);
            let frames = 3 * (ANSWERED + in_flight) + 5;
            let played = play_with(way, Fault::End(end), &[ANSWERED], |plan| {
                plan.stop.frames = Some(frames);
            });
            played.ends_with([(Column::Ok, 3 * ANSWERED + 5), (Column::Lost(loss), 3 * in_flight)]);
            let count = &played.count;
            assert_eq!((count.answered, count.faults), (3 * ANSWERED + 5, 3));
            assert_eq!(count.connections.len(), 4);
            assert_eq!(played.outcome.total.run.reconnects, 3);
            let problems =
                played.outcome.problems.iter().map(|(why, count)| (why.as_str(), *count));
            assert_eq!(problems.collect::<Vec<_>>(), [(why, 3)], "{way:?}");
        }
    }
}

#[test]
fn without_reconnecting_the_end_of_a_connection_is_the_end_of_the_run() {
    for way in WAYS {
        for (end, loss, why) in ends() {
            let played = play_with(way, Fault::End(end), &[ANSWERED], |plan| {
                plan.life.reconnect = false;
            });
            let outcome = &played.outcome;
            assert_eq!(outcome.end, RunEnd::Failed(why.to_owned()), "{way:?}");
            played.balances();
            let ledger = &outcome.total.run.ledger;
            assert_eq!(ledger.count(Column::Ok), ANSWERED);
            assert_eq!(ledger.count(Column::Lost(loss)), u64::from(way.pipeline));
            assert_eq!(ledger.sent(), ANSWERED + u64::from(way.pipeline));
            assert_eq!(played.count.connections.len(), 1);
        }
    }
}

#[test]
fn what_was_answered_before_a_connection_ended_counts_whatever_was_being_sent() {
    for (end, _, _) in ends() {
        // Eight clients with eight frames in flight. The server does not wait for them all, and
        // what it has not read makes a close a reset.
        let script = Script { fault: Fault::End(end), at: vec![ANSWERED], ..Script::default() };
        let server = Server::start(script);
        let way = Way { reply: ReplyKind::Echo, pipeline: 8, hello: true };
        let stop = Stop { duration: None, frames: Some(2000) };
        let plan = Plan { connections: 8, threads: 2, stop, ..plan(way, &server) };
        let outcome = run(plan);
        let count = server.finish();
        let ledger = &outcome.total.run.ledger;
        assert_eq!((ledger.sent(), ledger.imbalance()), (2000, 0));
        assert_eq!(ledger.count(Column::Ok), count.answered, "{ledger:?}");
        assert_eq!(ledger.lost(), 2000 - count.answered, "{ledger:?}");
        assert!(count.answered >= ANSWERED * count.faults && count.faults > 0);
    }
}

#[test]
fn a_peer_that_never_sends_a_frame_ends_the_run_even_if_it_is_to_reconnect() {
    for way in WAYS {
        let end = End::Bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        let played = play(way, Fault::End(end), &[0]);
        let why = "this is HTTP, not a framed server".to_owned();
        assert_eq!(played.outcome.end, RunEnd::NotFramed(why));
        played.balances();
        let ledger = &played.outcome.total.run.ledger;
        assert_eq!(ledger.count(Column::Lost(Loss::Protocol)), u64::from(way.pipeline));
        assert_eq!(ledger.sent(), u64::from(way.pipeline));
    }
}
