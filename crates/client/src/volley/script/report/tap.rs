//! The report in the Test Anything Protocol, version 14 (testanything.org).

use std::fmt::Write as _;

use serde_json::json;

use super::super::outcome::{Outcome, Verdict};
use super::super::player::Failed;

pub(super) fn head(total: usize) -> String {
    format!("TAP version 14\n1..{total}\n")
}

pub(super) fn point(number: usize, outcome: &Outcome) -> String {
    let name = description(&outcome.name);
    let mut point = match &outcome.verdict {
        Verdict::Passed => format!("ok {number} - {name}\n"),
        // Nothing is known of it, and what is skipped passes.
        Verdict::NotPlayed => format!("ok {number} - {name} # SKIP not played\n"),
        Verdict::Failed(_) => format!("not ok {number} - {name}\n"),
    };
    if let Some(Failed { place, source, trouble }) = outcome.failed() {
        let details: Vec<_> = trouble.details.lines().collect();
        // Any JSON is YAML.
        let fields = [
            ("message", json!(trouble.why)),
            ("exit_code", json!(trouble.exit.code())),
            ("statement", json!(source)),
            ("at", json!({ "file": outcome.name, "line": place.line, "column": place.column })),
            ("details", json!(details)),
        ];
        point.push_str("  ---\n");
        for (name, value) in fields {
            // A String takes whatever is written to it.
            let _ = writeln!(point, "  {name}: {value}");
        }
        point.push_str("  ...\n");
    }
    point
}

/// A script's name where `#` would begin a directive, a backslash an escape, and a newline the next
/// line.
fn description(name: &str) -> String {
    name.replace('\\', "\\\\").replace('#', "\\#").replace(char::is_control, "\u{fffd}")
}
