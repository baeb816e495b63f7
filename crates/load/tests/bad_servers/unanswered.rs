//! Replies that never come, or too late.

use std::time::Duration;

use volley_load::measure::ledger::{Column, Loss};
use volley_load::plan::schedule::Schedule;
use volley_load::plan::{Arrivals, Pace};

use crate::scripted::Fault;
use crate::{SHORT, WAYS, for_each, play_with};

#[test]
fn a_frame_without_a_reply_among_others_with_one_is_skipped() {
    for_each(&WAYS, |way| {
        let played = play_with(way, Fault::Drop, &[0, 60], |plan| plan.timeout = SHORT);
        played.ends_with([(Column::Ok, 98), (Column::Lost(Loss::Skipped), 2)]);
        assert_eq!((played.count.answered, played.count.faults), (98, 2));
        let longest = played.outcome.total.run.service.longest();
        assert!(u128::from(longest) >= SHORT.as_nanos(), "{longest} ns");
    });
}

#[test]
fn the_last_frames_without_a_reply_are_timed_out() {
    for_each(&WAYS, |way| {
        // One at a time, with one in flight.
        let last = if way.pipeline == 1 { 99..100 } else { 95..100 };
        let at: Vec<_> = last.collect();
        let lost = at.len() as u64;
        let played = play_with(way, Fault::Drop, &at, |plan| plan.timeout = SHORT);
        let columns = [(Column::Ok, 100 - lost), (Column::Lost(Loss::TimedOut), lost)];
        played.ends_with(columns);
        assert_eq!((played.count.answered, played.count.faults), (100 - lost, lost));
    });
}

#[test]
fn a_frame_without_a_reply_is_skipped_however_long_the_run_goes_on() {
    for_each(&WAYS, |way| {
        let played = play_with(way, Fault::Drop, &[5], |plan| {
            plan.timeout = SHORT;
            plan.pace = evenly(30.0);
        });
        played.ends_with([(Column::Ok, 99), (Column::Lost(Loss::Skipped), 1)]);
    });
}

#[test]
fn a_reply_that_comes_after_the_time_out_is_late() {
    for_each(&WAYS, |way| {
        // Hardly longer than the time-out: so this does not hang on when frames are looked for that
        // are over it.
        let fault = Fault::Delay(SHORT + Duration::from_millis(20));
        let played = play_with(way, fault, &[5], |plan| {
            plan.timeout = SHORT;
            plan.pace = evenly(30.0);
        });
        played.ends_with([(Column::Ok, 99), (Column::Late, 1)]);
        assert_eq!((played.count.answered, played.count.faults), (100, 1));
    });
}

#[test]
fn time_before_the_first_frame_makes_no_reply_late() {
    // The second connection is opened when the first has been there for longer than the time-out.
    let played = play_with(WAYS[1], Fault::None, &[], |plan| {
        plan.connections = 2;
        plan.connect_rate = Some(0.4);
        plan.timeout = SHORT;
    });
    played.ends_with([(Column::Ok, 100)]);
}

#[test]
fn a_reply_is_awaited_without_being_busy() {
    // The next frame of the schedule is due all the while, and is none of the run's.
    let played = play_with(WAYS[1], Fault::Drop, &[99], |plan| {
        plan.timeout = SHORT;
        plan.pace = evenly(10_000.0);
    });
    played.ends_with([(Column::Ok, 99), (Column::Lost(Loss::TimedOut), 1)]);
    let busy = played.outcome.total.cpu;
    assert!(busy < SHORT / 2, "{busy:?}");
}

/// Frames planned at this rate, whatever the server does.
fn evenly(rate: f64) -> Pace {
    let schedule = Schedule::steady(rate, 1).unwrap();
    Pace::Open { schedule, arrivals: Arrivals::Constant }
}
