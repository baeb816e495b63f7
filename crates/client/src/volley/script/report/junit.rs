//! The report as JUnit XML, which CI systems show: a test case for each script.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use volley_cli::{Exit, printable};

use super::super::outcome::{Outcome, Verdict};
use super::super::player::Failed;

/// The name of the suite.
const SUITE: &str = "volley script";

pub(super) fn whole(outcomes: &[Outcome], elapsed: Duration) -> String {
    let mut suite = TestSuite::new(SUITE);
    suite.set_time(elapsed).add_test_cases(outcomes.iter().map(case));
    let mut report = Report::new(SUITE);
    report.set_time(elapsed).add_test_suite(suite);
    // It is written to memory, and its strings hold nothing that XML does not take.
    report.to_string().unwrap_or_default()
}

fn case(outcome: &Outcome) -> TestCase {
    let status = match &outcome.verdict {
        Verdict::Passed => TestCaseStatus::success(),
        Verdict::NotPlayed => TestCaseStatus::skipped(),
        Verdict::Failed(failed) => non_success(&outcome.name, failed),
    };
    let mut case = TestCase::new(outcome.name.as_str(), status);
    case.set_classname(SUITE).set_time(outcome.elapsed);
    case
}

/// An answer that is not the expected one is a failure; whatever kept it from coming is an error.
fn non_success(name: &str, Failed { place, source, trouble }: &Failed) -> TestCaseStatus {
    let why = printable(&trouble.why);
    let (kind, what) = match trouble.exit {
        Exit::Failure => (NonSuccessKind::Failure, "unexpected".to_owned()),
        exit => (NonSuccessKind::Error, format!("exit code {}", exit.code())),
    };
    let mut status = TestCaseStatus::non_success(kind);
    status
        .set_type(what)
        .set_message(&why)
        .set_description(format!("{name}:{place}: {source}\n{why}\n{}", trouble.details));
    status
}
