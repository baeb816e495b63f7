//! The thresholds as JUnit XML, which CI systems show: one test case each.

use std::io;
use std::time::Duration;

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use crate::report::{Check, Report};

/// The name of the suite.
const SUITE: &str = "volley-load";

/// Writes a suite with a test case for each threshold, named as the condition of failing. A run
/// that was not carried out to its end is one case more, `run`, with an error.
///
/// # Errors
///
/// Those of `out`.
pub fn write(report: &Report, out: &mut impl io::Write) -> io::Result<()> {
    let mut suite = TestSuite::new(SUITE);
    suite.time = Some(Duration::from_nanos(report.run.elapsed_ns));
    suite.timestamp = report.started_at.parse().ok();
    suite.add_test_cases(run_case(report));
    suite.add_test_cases(report.thresholds.iter().map(threshold_case));
    let mut junit = quick_junit::Report::new(SUITE);
    junit.time = suite.time;
    junit.timestamp = suite.timestamp;
    junit.add_test_suite(suite);
    junit.serialize(out).map_err(io::Error::other)
}

fn run_case(report: &Report) -> Option<TestCase> {
    let error = match &report.error {
        Some(error) => error,
        None if report.complete => return None,
        None => "the run was ended before its plan was carried out",
    };
    Some(case("run", "run", non_success(NonSuccessKind::Error, "error", error)))
}

fn threshold_case(check: &Check) -> TestCase {
    let status = if check.is_broken {
        let message = format!("{}: fails if {}", check.shown, check.fail_if);
        non_success(NonSuccessKind::Failure, "threshold", &message)
    } else {
        TestCaseStatus::success()
    };
    case(&check.fail_if, "thresholds", status)
}

fn case(name: &str, group: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(name, status);
    case.set_classname(format!("{SUITE}.{group}"));
    case
}

fn non_success(kind: NonSuccessKind, what: &str, message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(what).set_message(message);
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::sample;

    fn read(report: &Report) -> TestSuite {
        let mut out = Vec::new();
        write(report, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let mut junit = quick_junit::Report::deserialize_from_str(&text).unwrap();
        assert_eq!((junit.test_suites.len(), junit.test_suites[0].name.as_str()), (1, SUITE));
        junit.test_suites.remove(0)
    }

    /// What is said of a case if it did not go well.
    fn told(case: &TestCase) -> Option<(NonSuccessKind, &str)> {
        match &case.status {
            TestCaseStatus::NonSuccess { kind, message, .. } => Some((*kind, message.as_deref()?)),
            _ => None,
        }
    }

    fn cases(suite: &TestSuite) -> Vec<(&str, Option<(NonSuccessKind, &str)>)> {
        suite.test_cases.iter().map(|case| (case.name.as_str(), told(case))).collect()
    }

    #[test]
    fn every_threshold_is_a_case() {
        let suite = read(&sample::full());
        let expected = [
            ("failed > 0", None),
            ("p99 > 1ms", Some((NonSuccessKind::Failure, "1.31 ms: fails if p99 > 1ms"))),
        ];
        assert_eq!(cases(&suite), expected);
        assert_eq!((suite.tests, suite.failures, suite.errors), (2, 1, 0));
        assert_eq!(suite.time, Some(Duration::from_secs(5)));
        let timestamp = suite.timestamp.unwrap().to_rfc3339();
        assert_eq!(timestamp, "2026-11-22T17:55:51.850+00:00");
    }

    #[test]
    fn a_run_with_an_error_is_a_case_with_an_error() {
        let mut report = sample::empty();
        report.error = Some("<no> & \"nothing\"\u{0}".to_owned());
        let suite = read(&report);
        let told = Some((NonSuccessKind::Error, "<no> & \"nothing\""));
        assert_eq!(cases(&suite)[0], ("run", told));
        assert_eq!((suite.errors, suite.test_cases.len()), (1, 1 + report.thresholds.len()));
    }

    #[test]
    fn a_run_that_was_ended_early_does_not_look_well() {
        let suite = read(&Report { complete: false, ..sample::full() });
        assert_eq!((suite.tests, suite.failures, suite.errors), (3, 1, 1));
    }
}
