//! Which threshold is broken by what.

use super::*;
use crate::output::sample;

/// The sample report's run: 5,000 sent, one of them lost, 1,000 replies a second.
fn checked(texts: &[&str]) -> Vec<Check> {
    let thresholds: Vec<Threshold> = texts.iter().map(|text| text.parse().unwrap()).collect();
    let report = sample::full();
    let connections = Connections { asked: 5, connected: 5, ..Connections::default() };
    checks(&thresholds, &report.run, &connections)
}

fn broken(texts: &[&str]) -> Vec<String> {
    let broken = checked(texts).into_iter().filter(|check| check.is_broken);
    broken.map(|check| format!("{}: {}", check.fail_if, check.shown)).collect()
}

#[test]
fn any_loss_breaks_a_run_without_being_asked_for() {
    assert_eq!(broken(&[]), ["lost > 0: 1"]);
    let names: Vec<_> = checked(&[]).into_iter().map(|check| check.fail_if).collect();
    let faults = ["lost", "corrupt", "duplicate", "reordered", "misrouted", "late"];
    assert_eq!(names[..6], faults.map(|fault| format!("{fault} > 0")));
    assert_eq!(names[6..], ["strays > 0", "connections < 5"]);
}

#[test]
fn a_threshold_of_ones_own_says_how_many_may() {
    assert_eq!(broken(&["lost>1"]), [""; 0]);
    assert_eq!(broken(&["errors>0.1%"]), [""; 0]);
    assert_eq!(broken(&["errors>=1"]), ["errors >= 1: 1"]);
    // A threshold for another column allows no loss.
    assert_eq!(broken(&["late>10"]), ["lost > 0: 1"]);
    assert_eq!(broken(&["lost>0.01%"]), ["lost > 0.01%: 0.02 %"]);
}

#[test]
fn each_figure_is_compared_in_its_own_unit() {
    let all = [
        ("p50>1s", "p50<1s", "315 µs"),
        ("p99.9>1s", "p99.9<1s", "1.10 ms"),
        ("max>1s", "max<1s", "1.11 ms"),
        ("mean>1s", "mean<1s", "398 µs"),
        ("service.p50>1s", "service.p50<1s", "290 µs"),
        ("send_delay.max>1s", "send_delay.max<1s", "50.0 µs"),
        ("connect.p99>1s", "connect.p99<1s", "150 µs"),
        ("rate<999", "rate>999", "1,000"),
    ];
    for (held, broken, shown) in all {
        let checks = [&checked(&[held])[0], &checked(&[broken])[0]].map(Clone::clone);
        assert_eq!(checks.each_ref().map(|check| check.is_broken), [false, true], "{held}");
        assert!(checks.iter().all(|check| check.shown == shown), "{checks:?}");
    }
}

#[test]
fn what_was_not_measured_is_no_success() {
    let report = sample::empty();
    let thresholds = ["p99>1s", "send_delay.p99>1s", "rate<1", "lost>1%"];
    let thresholds: Vec<Threshold> = thresholds.iter().map(|text| text.parse().unwrap()).collect();
    let checks = checks(&thresholds, &report.run, &Connections::default());
    for check in &checks[..4] {
        assert_eq!(
            (check.is_broken, check.value, check.shown.as_str()),
            (true, None, "not measured")
        );
    }
}

#[test]
fn a_reply_that_no_frame_was_waiting_for_breaks_a_run() {
    let run = Figures { strays: 1, ..sample::full().run };
    let checks = checks(&["errors>10".parse().unwrap()], &run, &Connections::default());
    let broken: Vec<_> = checks.iter().filter(|check| check.is_broken).collect();
    assert!(matches!(broken[..], [Check { fail_if, .. }] if fail_if == "strays > 0"), "{broken:?}");
}

#[test]
fn a_connection_that_could_not_be_had_breaks_a_run() {
    let connections = Connections { asked: 10, connected: 9, ..Connections::default() };
    let checks = checks(&[], &sample::full().run, &connections);
    let check = checks.last().unwrap();
    assert_eq!((check.fail_if.as_str(), check.is_broken), ("connections < 10", true));
}
