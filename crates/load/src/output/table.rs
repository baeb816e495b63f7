//! The report for people.

use std::fmt;
use std::time::Duration;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};

use crate::report::figures::{bandwidth, count, latency, rate};
use crate::report::{
    BadReplyFigures, Check, Figures, LedgerFigures, Limiter, PlanFigures, Quantiles, Report,
};

/// Shows a report in a few lines: what was done, the rate, the latencies, the ledger, the verdict.
///
/// A report of a run that could not begin shows nothing: there are no figures, and the error is
/// told elsewhere.
#[derive(Debug)]
pub struct Text<'a>(pub &'a Report);

impl Text<'_> {
    /// The verdict in a line, if it is a bad one.
    pub fn failure(&self) -> Option<String> {
        let report = self.0;
        let is_bad = report.connections.connected > 0 && !report.passed();
        is_bad.then(|| verdict(report))
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.0;
        if report.connections.connected == 0 {
            return Ok(());
        }
        let run = &report.run;
        writeln!(f, "{:LABEL$}{}", "target", target(&report.plan))?;
        writeln!(f, "{:LABEL$}{}", "load", load(&report.plan))?;
        writeln!(f, "{}\n", throughput(report))?;
        writeln!(f, "{}\n", latencies(run))?;
        writeln!(f, "{}", ledger(&run.ledger))?;
        if let Some(warmup) = &report.warmup {
            let sent = count(warmup.ledger.sent);
            writeln!(f, "{:LABEL$}{sent} frames before, in no figure above", "warm-up")?;
        }
        if run.strays > 0 {
            let strays = count(run.strays);
            writeln!(f, "{:LABEL$}{strays} replies that no frame was waiting for", "strays")?;
        }
        connections(f, report)?;
        for bad in &report.bad_replies {
            wrong(f, bad)?;
        }
        for warning in &report.warnings {
            writeln!(f, "{:LABEL$}{}\n{:LABEL$}{}", "warning", warning.cause, "", warning.remedy)?;
        }
        writeln!(f)?;
        for check in report.thresholds.iter().filter(|check| !check.is_default || check.is_broken) {
            threshold(f, check)?;
        }
        writeln!(f, "{:LABEL$}{}", "verdict", verdict(report))?;
        match &report.limit {
            Some(limit) => writeln!(f, "{:LABEL$}{}", "", limit.why),
            None => Ok(()),
        }
    }
}

/// Width of the words at the beginning of a line.
const LABEL: usize = 12;

/// Where the frames went.
fn target(plan: &PlanFigures) -> String {
    let targets = match plan.targets.as_slice() {
        [one] if plan.embedded => format!("{one}, a server in this process"),
        targets => targets.join(", "),
    };
    match (&plan.reply, plan.hello) {
        _ if plan.framing == "raw" => format!("{targets}, raw bytes"),
        (Some(reply), true) => format!("{targets}, asked for {reply}"),
        (None, true) => targets,
        (reply, false) => {
            format!("{targets}, without HELLO, expecting {}", reply.as_deref().unwrap_or("echo"))
        }
    }
}

/// What was done.
fn load(plan: &PlanFigures) -> String {
    let mut words = vec![amount(u64::from(plan.connections), "connection")];
    if plan.idle > 0 {
        words.push(format!("{} idle", count(u64::from(plan.idle))));
    }
    let is_number = plan.size.bytes().all(|byte| byte.is_ascii_digit());
    let size = match plan.size.as_str() {
        size if plan.fixed_payload => format!("the same {size} bytes"),
        size if is_number => format!("{size} bytes"),
        size => size.to_owned(),
    };
    let frames = amount(u64::from(plan.pipeline), "frame");
    words.push(format!("{frames} of {size} in flight on each"));
    words.push(match (&plan.schedule, plan.arrivals) {
        (Some(schedule), Some(arrivals)) => format!("{schedule} frames/s, {arrivals}"),
        _ => "closed loop".to_owned(),
    });
    if let Some(frames) = plan.frames_per_connection {
        words.push(format!("{} per connection", amount(frames, "frame")));
    }
    words.join(", ")
}

fn throughput(report: &Report) -> String {
    let run = &report.run;
    let mut words = vec![format!("{} right replies/s", rate(run.replies_per_second))];
    if let Some(planned) = run.planned_per_second {
        words.push(format!(
            "{} sent of {} planned",
            rate(run.sent_per_second),
            rate(Some(planned))
        ));
    }
    let seconds = Duration::from_nanos(run.elapsed_ns).as_secs_f64();
    let (out, back) = (bandwidth(run.bytes_sent, seconds), bandwidth(run.bytes_received, seconds));
    words.push(format!("{out} out, {back} back"));
    format!("{:LABEL$}{} for {}", "rate", words.join(", "), latency(run.elapsed_ns))
}

fn latencies(run: &Figures) -> String {
    let head = ["", "p50", "p90", "p99", "p99.9", "p99.99", "max", "mean"];
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(head);
    table.add_row(row("response", &run.response.quantiles));
    if let Some(send_delay) = &run.send_delay {
        table.add_row(row("service", &run.service.quantiles));
        table.add_row(row("send delay", &send_delay.quantiles));
    }
    table.add_row(row("connect", &run.connect.quantiles));
    if let Some(handshake) = &run.handshake {
        table.add_row(row("handshake", &handshake.quantiles));
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if index > 0 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

fn row(name: &str, quantiles: &Quantiles) -> Vec<String> {
    let cells = [
        quantiles.p50_ns,
        quantiles.p90_ns,
        quantiles.p99_ns,
        quantiles.p999_ns,
        quantiles.p9999_ns,
        quantiles.max_ns,
        quantiles.mean_ns,
    ];
    let cells = cells.map(|cell| cell.map_or_else(|| "-".to_owned(), latency));
    std::iter::once(name.to_owned()).chain(cells).collect()
}

/// The columns that are not 0, and their sum.
fn ledger(ledger: &LedgerFigures) -> String {
    let mut columns = vec![("ok".to_owned(), ledger.ok)];
    let bad = [
        ("corrupt", ledger.corrupt),
        ("duplicate", ledger.duplicate),
        ("reordered", ledger.reordered),
        ("misrouted", ledger.misrouted),
        ("late", ledger.late),
    ];
    columns.extend(bad.map(|(name, frames)| (name.to_owned(), frames)));
    columns.extend(ledger.lost.iter().map(|lost| (format!("lost ({})", lost.reason), lost.frames)));
    if ledger.lost.is_empty() {
        columns.push(("lost".to_owned(), 0));
    }
    let columns: Vec<_> =
        columns.iter().map(|(name, frames)| format!("{} {name}", count(*frames))).collect();
    let sum = format!("{:LABEL$}{} sent = {}", "ledger", count(ledger.sent), columns.join(" + "));
    match ledger.imbalance {
        0 => sum,
        off => format!("{sum}\n{:LABEL$}THE LEDGER IS OFF BY {off}: do not trust this report", ""),
    }
}

fn connections(f: &mut fmt::Formatter<'_>, report: &Report) -> fmt::Result {
    let connections = &report.connections;
    if let Some(handshake) = &report.run.handshake {
        let times = amount(handshake.quantiles.count, "TLS handshake");
        writeln!(f, "{:LABEL$}{} of {times}", "resumed", count(connections.resumed))?;
    }
    let is_churn = report.plan.frames_per_connection.is_some();
    if connections.reconnects > 0 && (is_churn || report.problems.is_empty()) {
        let times = amount(connections.reconnects, "connection");
        writeln!(f, "{:LABEL$}{times}", "reopened")?;
    }
    for problem in &report.problems {
        writeln!(f, "{:LABEL$}{} x {}", "problem", count(problem.count), problem.what)?;
    }
    Ok(())
}

fn wrong(f: &mut fmt::Formatter<'_>, bad: &BadReplyFigures) -> fmt::Result {
    let more = |shown: &str, len: usize| if shown.len() < 2 * len { "…" } else { "" };
    let BadReplyFigures { connection, frame, expected, received, .. } = bad;
    let (expected_len, received_len) = (bad.expected_len, bad.received_len);
    writeln!(f, "{:LABEL$}connection {connection}, frame {frame}:", "wrong")?;
    let cut = more(expected, expected_len);
    writeln!(f, "{:LABEL$}expected {}", "", bytes(expected_len, expected, cut))?;
    let cut = more(received, received_len);
    writeln!(f, "{:LABEL$}received {}", "", bytes(received_len, received, cut))
}

fn bytes(len: usize, shown: &str, cut: &str) -> String {
    format!("{} {shown}{cut}", amount(len as u64, "byte")).trim_end().to_owned()
}

fn threshold(f: &mut fmt::Formatter<'_>, check: &Check) -> fmt::Result {
    let outcome = if check.is_broken { "FAILED" } else { "passed" };
    let Check { fail_if, shown, .. } = check;
    writeln!(f, "{outcome:LABEL$}fail if {fail_if}: it was {shown}")
}

fn verdict(report: &Report) -> String {
    let broken = report.thresholds.iter().filter(|check| check.is_broken).count();
    let mut words = Vec::new();
    if report.error.is_some() {
        words.push("NOT COMPLETE".to_owned());
    }
    if broken > 0 {
        words.push(format!("FAILED, {} broken", amount(broken as u64, "threshold")));
    } else if report.run.ledger.sent > 0 {
        let failed = report.run.ledger.failed();
        words.push(match failed {
            0 => "passed: every frame came back right".to_owned(),
            _ => format!("passed: {} frames did not come back right, as allowed", count(failed)),
        });
    } else {
        words.push("nothing was sent".to_owned());
    }
    if let Some(limit) = &report.limit {
        let who = match limit.who {
            Limiter::Plan => "no limit was met".to_owned(),
            Limiter::Server => "the server was the limit".to_owned(),
            Limiter::RoundTrip => "the round trip was the limit".to_owned(),
            Limiter::Generator => "the generator was the limit".to_owned(),
        };
        words.push(who);
    }
    words.join("; ")
}

fn amount(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::sample;

    #[test]
    fn shows_what_was_done_what_came_of_it_and_why() {
        let expected = "\
target      tcp://127.0.0.1:7007, asked for echo
load        4 connections, 1 idle, 8 frames of 64 bytes in flight on each, 1000 frames/s, poisson, \
100,000 frames per connection
rate        1,000 right replies/s, 1,000 sent of 1,000 planned, 64.0 kB/s out, 64.0 kB/s back for \
5.00 s

                p50      p90      p99    p99.9   p99.99      max     mean
response     315 µs   894 µs  1.07 ms  1.10 ms  1.11 ms  1.11 ms   315 µs
service      290 µs   849 µs  1.02 ms  1.05 ms  1.06 ms  1.06 ms   290 µs
send delay  25.0 µs  45.0 µs  49.5 µs  49.9 µs  50.0 µs  50.0 µs  25.0 µs
connect      150 µs   150 µs   150 µs   150 µs   150 µs   150 µs   150 µs
handshake    900 µs   900 µs   900 µs   900 µs   900 µs   900 µs   900 µs

ledger      5,000 sent = 4,999 ok + 0 corrupt + 0 duplicate + 0 reordered + 0 misrouted + 0 late \
+ 1 lost (timed out)
warm-up     1,000 frames before, in no figure above
resumed     3 of 4 TLS handshakes
reopened    1 connection
problem     3 x connection refused
wrong       connection 1, frame 2:
            expected 64 bytes 00ff…
            received 0 bytes
warning     2 cores
            more

FAILED      fail if p99 > 1ms: it was 1.31 ms
verdict     FAILED, 1 threshold broken; no limit was met
            the asked rate was reached
";
        assert_eq!(Text(&sample::full()).to_string(), expected);
    }

    #[test]
    fn a_ledger_that_is_off_says_so() {
        let mut report = sample::full();
        report.run.ledger.imbalance = 3;
        assert!(Text(&report).to_string().contains("THE LEDGER IS OFF BY 3"));
    }

    #[test]
    fn a_run_that_could_not_begin_shows_nothing() {
        assert_eq!(Text(&sample::empty()).to_string(), "");
    }
}
