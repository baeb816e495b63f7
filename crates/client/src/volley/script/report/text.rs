//! The report for people: a line for each script, and below it why it failed.
//!
//! ```text
//! ok    hello.volley  1.2 ms
//! FAIL  login.volley:7:1  5.0 s
//!       expect "pong"
//!       no reply to frame 2 within 5s (try a longer --timeout)
//! ```

use std::time::Duration;

use volley_cli::{printable, visible};

use super::super::outcome::{Count, Outcome, Verdict};
use super::super::player::Failed;

/// What stands before the lines below that of a script.
const MARGIN: &str = "      ";

pub(super) fn point(outcome: &Outcome) -> String {
    let (name, elapsed) = (printable(&outcome.name), shown(outcome.elapsed));
    match &outcome.verdict {
        Verdict::Passed => format!("ok    {name}  {elapsed}\n"),
        Verdict::NotPlayed => format!("-     {name}  not played\n"),
        Verdict::Failed(Failed { place, source, trouble }) => {
            let (source, why) = (visible(source), printable(&trouble.why));
            let details: String =
                trouble.details.lines().map(|line| format!("{MARGIN}{line}\n")).collect();
            format!("FAIL  {name}:{place}  {elapsed}\n{MARGIN}{source}\n{MARGIN}{why}\n{details}")
        }
    }
}

/// The sum; there is none of one script.
pub(super) fn tail(outcomes: &[Outcome], elapsed: Duration) -> String {
    if outcomes.len() == 1 {
        return String::new();
    }
    let Count { passed, failed, not_played } = Count::of(outcomes);
    let rest = if not_played > 0 { format!(", {not_played} not played") } else { String::new() };
    format!("\n{passed} passed, {failed} failed{rest} in {}\n", shown(elapsed))
}

/// A duration to read, with two digits at least.
fn shown(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1e3;
    if ms < 1e3 { format!("{ms:.1} ms") } else { format!("{:.1} s", ms / 1e3) }
}
