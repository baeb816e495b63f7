//! Who is named as the limit, and which warning comes with what.

use super::*;
use crate::measure::interval::Interval;
use crate::measure::ledger::Column;
use crate::plan::schedule::Schedule;
use crate::plan::{Arrivals, Stop};
use std::collections::BTreeMap;

const SECONDS: u64 = 10;

/// Ten seconds of 1,000 frames, of which the generator was busy for `busy`.
fn outcome(busy: f64) -> Outcome {
    let elapsed = Duration::from_secs(SECONDS);
    let mut total = Interval { cpu: elapsed.mul_f64(busy), ..Interval::default() };
    total.run.ledger.send(1000);
    (0..1000).for_each(|_| total.run.ledger.settle(Column::Ok));
    total.run.service.record(100_000, 1000);
    Outcome {
        end: End::Planned,
        connected: 16,
        total,
        elapsed,
        sending: elapsed,
        problems: BTreeMap::new(),
        bad_replies: Vec::new(),
    }
}

fn closed() -> Plan {
    Plan::default()
}

/// 100 frames a second.
fn open() -> Plan {
    let schedule = Schedule::steady(100.0, 1).unwrap();
    let stop = Stop { duration: Some(Duration::from_secs(SECONDS)), frames: None };
    Plan { pace: Pace::Open { schedule, arrivals: Arrivals::Constant }, stop, ..Plan::default() }
}

const fn evidence<'a>(plan: &'a Plan, outcome: &'a Outcome) -> Evidence<'a> {
    Evidence { plan, outcome, server_cpu: None, server_threads: 0, cores: 8 }
}

fn who(evidence: &Evidence<'_>) -> Limiter {
    limit(evidence).unwrap().who
}

/// The warnings but for that of a build without optimization, which tests are.
fn warned(evidence: &Evidence<'_>) -> Vec<Warning> {
    let mut warnings = warnings(evidence);
    warnings.retain(|warning| !warning.cause.contains("without optimization"));
    warnings
}

#[test]
fn a_busy_generator_is_the_limit_and_the_next_flag_is_more_threads() {
    let (plan, outcome) = (closed(), outcome(0.97));
    let evidence = evidence(&plan, &outcome);
    let found = limit(&evidence).unwrap();
    assert_eq!(found.who, Limiter::Generator);
    assert_eq!(found.why, "its thread was busy 97 % of the time");
    let warnings = warned(&evidence);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(warnings[0].remedy, "try --threads 2");
    let alone = Evidence { cores: 1, ..evidence };
    assert_eq!(warned(&alone)[0].remedy, "run it on a machine of its own");
}

#[test]
fn a_generator_with_time_left_waits_for_the_server() {
    let (plan, outcome) = (closed(), outcome(0.4));
    let alone = evidence(&plan, &outcome);
    assert_eq!(who(&alone), Limiter::Server);
    assert_eq!(warned(&alone), []);
    let cpu = |share| Some(outcome.elapsed.mul_f64(share));
    let busy = Evidence { server_cpu: cpu(0.95), server_threads: 1, ..alone };
    assert_eq!(who(&busy), Limiter::Server);
    let idle = Evidence { server_cpu: cpu(0.3), ..busy };
    assert_eq!(who(&idle), Limiter::RoundTrip);
}

#[test]
fn of_two_that_are_busy_the_busier_is_the_limit() {
    let (plan, outcome) = (closed(), outcome(0.93));
    let server_cpu = Some(outcome.elapsed.mul_f64(0.99));
    let both = Evidence { server_cpu, server_threads: 1, ..evidence(&plan, &outcome) };
    assert_eq!(who(&both), Limiter::Server);
}

#[test]
fn an_asked_rate_that_was_reached_had_no_limit() {
    let (plan, outcome) = (open(), outcome(0.2));
    let reached = evidence(&plan, &outcome);
    assert_eq!(who(&reached), Limiter::Plan);
    assert_eq!(warned(&reached), []);
}

#[test]
fn an_asked_rate_that_was_not_reached_names_who_was_too_slow() {
    let (plan, mut outcome) = (open(), outcome(0.2));
    outcome.total.run.unsent = 500;
    let slow = evidence(&plan, &outcome);
    assert_eq!(who(&slow), Limiter::Server);
    let warnings = warned(&slow);
    assert_eq!(warnings[0].cause, "only 67 % of the planned frames were sent");
    assert!(warnings[0].remedy.ends_with("try --pipeline 4"), "{warnings:?}");
    outcome.total.cpu = outcome.elapsed;
    let busy = evidence(&plan, &outcome);
    assert_eq!(who(&busy), Limiter::Generator);
    assert!(warned(&busy)[0].remedy.ends_with("try --threads 2"));
}

#[test]
fn a_number_of_frames_is_measured_by_its_schedule() {
    let stop = Stop { duration: None, frames: Some(1000) };
    let (plan, mut outcome) = (Plan { stop, ..open() }, outcome(0.2));
    assert_eq!(who(&evidence(&plan, &outcome)), Limiter::Plan);
    outcome.sending *= 2;
    assert_eq!(who(&evidence(&plan, &outcome)), Limiter::Server);
}

#[test]
fn a_late_generator_is_told_from_full_pipelines() {
    let (plan, mut outcome) = (open(), outcome(0.2));
    outcome.total.run.send_delay.record(3_000_000, 1000);
    let late = warned(&evidence(&plan, &outcome));
    assert!(late[0].cause.starts_with("the generator was late"), "{late:?}");
    assert!(late[0].cause.contains("3.00 ms"), "{late:?}");
    outcome.total.run.waited = 900;
    let waited = warned(&evidence(&plan, &outcome));
    assert!(waited[0].cause.starts_with("90 % of the frames were due while"), "{waited:?}");
    assert_eq!(waited.len(), 1);
}

#[test]
fn a_stall_in_a_closed_loop_asks_for_a_rate() {
    let (plan, mut outcome) = (closed(), outcome(0.4));
    outcome.total.run.service.record(1_000_000_000, 1);
    let warnings = warned(&evidence(&plan, &outcome));
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(warnings[0].remedy, "to see what users would have seen: --rate 80");
}

#[test]
fn missing_connections_are_told_with_the_most_frequent_cause() {
    let (plan, mut outcome) = (closed(), outcome(0.4));
    outcome.connected = 10;
    outcome.problems.insert("refused by the server after 0 frames: busy".to_owned(), 6);
    outcome.problems.insert("another".to_owned(), 1);
    let warnings = warned(&evidence(&plan, &outcome));
    assert!(warnings[0].cause.starts_with("only 10 of 16 connections"), "{warnings:?}");
    assert!(warnings[0].cause.ends_with(": busy"), "{warnings:?}");
    assert_eq!(warnings[0].remedy, "raise the server's limit, or lower -c");
}

#[test]
fn payloads_that_say_nothing_of_themselves_are_told() {
    let outcome = outcome(0.4);
    let short = Plan { sizes: "10".parse().unwrap(), ..closed() };
    assert!(warned(&evidence(&short, &outcome))[0].cause.contains("under 20 bytes"));
    let fixed = Plan { payload: Some(vec![0; 100]), ..closed() };
    assert!(warned(&evidence(&fixed, &outcome))[0].cause.contains("same payload"));
    let one_by_one = Plan { connections: 1, sizes: "10".parse().unwrap(), ..closed() };
    let told = warned(&evidence(&one_by_one, &outcome));
    assert!(told.iter().all(|warning| !warning.cause.contains("20 bytes")), "{told:?}");
}

#[test]
fn more_threads_than_cores_are_told() {
    let (plan, outcome) = (Plan { threads: 16, ..closed() }, outcome(0.4));
    assert!(warned(&evidence(&plan, &outcome))[0].cause.contains("16 sending threads share 8"));
}

#[test]
fn nothing_sent_has_no_limit() {
    let mut outcome = outcome(0.0);
    outcome.total = Interval::default();
    assert!(limit(&evidence(&closed(), &outcome)).is_none());
}

#[test]
fn a_proposed_rate_has_two_digits() {
    let cases = [(0, 0), (7, 7), (99, 99), (12_345, 12_000), (999_999, 990_000)];
    for (rate, expected) in cases {
        assert_eq!(round(rate), expected);
    }
}
