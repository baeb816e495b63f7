//! Replies that come twice, or behind those to later frames.

use volley_load::measure::ledger::Column;
use volley_load::run::Outcome;

use crate::scripted::Fault;
use crate::{SHORT, WAYS, for_each, play, play_with};

#[test]
fn a_frame_that_is_answered_more_than_once_is_a_duplicate() {
    for way in WAYS {
        for times in [2, 3, 9] {
            let played = play(way, Fault::Repeat(times), &[0, 30, 31, 99]);
            played.ends_with([(Column::Ok, 96), (Column::Duplicate, 4)]);
            assert_eq!((played.count.answered, played.count.faults), (100, 4));
            played.has_no_problem();
            let Outcome { bad_replies, total, .. } = &played.outcome;
            assert_eq!((bad_replies.len(), total.run.strays), (0, 0));
        }
    }
}

#[test]
fn a_second_reply_behind_the_last_is_seen() {
    for way in WAYS {
        let played = play(way, Fault::Afterwards, &[99]);
        played.ends_with([(Column::Ok, 99), (Column::Duplicate, 1)]);
        played.has_no_problem();
    }
}

#[test]
fn a_reply_that_comes_behind_a_later_one_is_reordered() {
    for way in WAYS.into_iter().filter(|way| way.pipeline > 1) {
        for behind in [1, 3, 7] {
            let played = play(way, Fault::Behind(behind), &[0, 40, 60]);
            played.ends_with([(Column::Ok, 97), (Column::Reordered, 3)]);
            assert_eq!((played.count.answered, played.count.faults), (100, 3));
            played.has_no_problem();
        }
    }
}

#[test]
fn with_one_frame_in_flight_a_reply_behind_a_later_one_is_late() {
    let ways: Vec<_> = WAYS.into_iter().filter(|way| way.pipeline == 1).collect();
    for_each(&ways, |way| {
        // The next frame goes out when this one is given up.
        let timeout = SHORT;
        let played = play_with(way, Fault::Behind(1), &[40], |plan| plan.timeout = timeout);
        played.ends_with([(Column::Ok, 99), (Column::Late, 1)]);
        assert_eq!(played.count.answered, 100);
        let longest = played.outcome.total.run.service.longest();
        assert!(u128::from(longest) >= timeout.as_nanos(), "{longest} ns");
    });
}

#[test]
fn a_reply_that_no_frame_waits_for_is_a_stray_and_ends_its_connection() {
    for way in WAYS.into_iter().filter(|way| way.pipeline == 1) {
        let played = play(way, Fault::Beside(b"surprise"), &[40]);
        played.ends_with([(Column::Ok, 100)]);
        assert_eq!((played.outcome.total.run.strays, played.count.connections.len()), (2, 3));
        let problems: Vec<_> = played.outcome.problems.into_iter().collect();
        assert_eq!(problems, [("the server sent a reply to no frame".to_owned(), 2)]);
    }
}
