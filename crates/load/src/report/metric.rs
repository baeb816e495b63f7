//! The figures of a report, as a threshold names them.

use std::fmt;

use volley_cli::Misread;

use crate::measure::ledger::{Column, Loss};

/// A figure of a report.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Metric {
    /// A time in nanoseconds: `p99`, `service.max`.
    Latency {
        /// Which time.
        of: Timing,
        /// Which of the many measured ones.
        at: Statistic,
    },
    /// `rate`: frames answered per second.
    Rate,
    /// `errors`, `lost` and others: frames, or percent of those sent.
    Frames(Fault),
}

/// Which stretch of a frame's way is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// Planned to reply. The one that is meant when none is named.
    Response,
    /// Written to reply.
    Service,
    /// Planned to written.
    SendDelay,
    /// Connecting, and WELCOME where there is one.
    Connect,
    /// TLS handshakes.
    Handshake,
}

/// One of many measured times.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Statistic {
    /// `p99.9`: so many percent of them, from 0 to 100, are not longer.
    Percentile(f64),
    /// `max`: the longest.
    Max,
    /// `mean`: their sum by their number.
    Mean,
}

/// What can go wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `errors`: any of the others.
    Any,
    /// `lost`: no reply, for whatever reason.
    Lost,
    /// `corrupt`: a wrong reply.
    Corrupt,
    /// `duplicate`: more than one reply.
    Duplicate,
    /// `reordered`: a reply behind that of a later frame.
    Reordered,
    /// `misrouted`: a reply on another connection.
    Misrouted,
    /// `late`: a reply after the time-out.
    Late,
}

impl Timing {
    const ALL: [Self; 5] =
        [Self::Response, Self::Service, Self::SendDelay, Self::Connect, Self::Handshake];

    const fn name(self) -> &'static str {
        match self {
            Self::Response => "response",
            Self::Service => "service",
            Self::SendDelay => "send_delay",
            Self::Connect => "connect",
            Self::Handshake => "handshake",
        }
    }
}

impl Fault {
    const ALL: [Self; 7] = [
        Self::Any,
        Self::Lost,
        Self::Corrupt,
        Self::Duplicate,
        Self::Reordered,
        Self::Misrouted,
        Self::Late,
    ];

    /// The columns of the ledger whose frames count.
    pub fn columns(self) -> Vec<Column> {
        match self {
            Self::Any => Self::ALL[1..].iter().flat_map(|fault| fault.columns()).collect(),
            Self::Lost => Loss::ALL.map(Column::Lost).to_vec(),
            Self::Corrupt => vec![Column::Corrupt],
            Self::Duplicate => vec![Column::Duplicate],
            Self::Reordered => vec![Column::Reordered],
            Self::Misrouted => vec![Column::Misrouted],
            Self::Late => vec![Column::Late],
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Any => "errors",
            Self::Lost => "lost",
            Self::Corrupt => "corrupt",
            Self::Duplicate => "duplicate",
            Self::Reordered => "reordered",
            Self::Misrouted => "misrouted",
            Self::Late => "late",
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latency { of: Timing::Response, at } => at.fmt(f),
            Self::Latency { of, at } => write!(f, "{}.{at}", of.name()),
            Self::Rate => f.write_str(RATE),
            Self::Frames(fault) => f.write_str(fault.name()),
        }
    }
}

impl fmt::Display for Statistic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percentile(percent) => write!(f, "p{percent}"),
            Self::Max => f.write_str("max"),
            Self::Mean => f.write_str("mean"),
        }
    }
}

const RATE: &str = "rate";

/// What there is.
const KNOWN: &str = "known are p0 to p100, max and mean (also of service, send_delay, connect, \
                     handshake and response, as service.p99), rate, errors, lost, corrupt, duplicate, \
                     reordered, misrouted and late";

/// Reads `p99.9`, `service.max`, `rate` or `lost`.
pub(crate) fn read(text: &str) -> Result<Metric, Misread<'_>> {
    let timed = text.split_once('.').and_then(|(name, at)| Some((read_timing(name)?, at)));
    if let Some((of, place)) = timed {
        let at = read_statistic(place).ok_or_else(|| {
            let why = format!("`{place}` is no statistic: p0 to p100, max and mean are known");
            Misread::new(place, why)
        })?;
        return Ok(Metric::Latency { of, at });
    }
    if let Some(at) = read_statistic(text) {
        return Ok(Metric::Latency { of: Timing::Response, at });
    }
    if text == RATE {
        return Ok(Metric::Rate);
    }
    let fault = Fault::ALL.into_iter().find(|fault| fault.name() == text);
    fault.map(Metric::Frames).ok_or_else(|| Misread::new(text, unknown(text)))
}

fn read_timing(text: &str) -> Option<Timing> {
    let text = text.replace('-', "_");
    Timing::ALL.into_iter().find(|timing| timing.name() == text)
}

fn read_statistic(text: &str) -> Option<Statistic> {
    match text {
        "max" => Some(Statistic::Max),
        "mean" => Some(Statistic::Mean),
        _ => read_percent(text.strip_prefix('p')?).map(Statistic::Percentile),
    }
}

/// A decimal number from 0 to 100, without a sign or an exponent.
pub(crate) fn read_percent(text: &str) -> Option<f64> {
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let percent = is_decimal.then(|| text.parse().ok())??;
    (0.0..=100.0).contains(&percent).then_some(percent)
}

/// Says what there is, and which of it may have been meant.
fn unknown(text: &str) -> String {
    if text.is_empty() {
        return format!("a metric is missing here: {KNOWN}");
    }
    let perhaps = likely(text).map(|name| format!(", perhaps `{name}`")).unwrap_or_default();
    format!("unknown metric `{text}`{perhaps}: {KNOWN}")
}

/// The name that `text` begins, or else the one that is the fewest slips of a finger away, if they
/// are few for its length.
fn likely(text: &str) -> Option<String> {
    let text = text.replace('-', "_");
    let at = text.split_once('.').map_or("p99", |(_, at)| at);
    let timings = Timing::ALL.iter().map(|timing| format!("{}.{at}", timing.name()));
    let faults = Fault::ALL.iter().map(|fault| fault.name().to_owned());
    let others = ["p99", "max", "mean", RATE].map(str::to_owned);
    let ranked = timings.chain(faults).chain(others).map(|name| {
        let begun = text.len() >= 3 && name.starts_with(&text);
        let slips = if begun { 0 } else { strsim::osa_distance(&text, &name) };
        (slips, name)
    });
    ranked.min().filter(|(slips, name)| slips * 3 <= name.len()).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::ledger::Ledger;

    fn response(at: Statistic) -> Metric {
        Metric::Latency { of: Timing::Response, at }
    }

    #[test]
    fn reads_every_name() {
        let p99_99 = Statistic::Percentile(99.99);
        let cases = [
            ("p0", response(Statistic::Percentile(0.0))),
            ("p99.99", response(p99_99)),
            ("p100", response(Statistic::Percentile(100.0))),
            ("max", response(Statistic::Max)),
            ("mean", response(Statistic::Mean)),
            ("response.p99.99", response(p99_99)),
            ("service.p99.99", Metric::Latency { of: Timing::Service, at: p99_99 }),
            ("send_delay.max", Metric::Latency { of: Timing::SendDelay, at: Statistic::Max }),
            ("send-delay.max", Metric::Latency { of: Timing::SendDelay, at: Statistic::Max }),
            ("connect.mean", Metric::Latency { of: Timing::Connect, at: Statistic::Mean }),
            ("rate", Metric::Rate),
            ("errors", Metric::Frames(Fault::Any)),
            ("lost", Metric::Frames(Fault::Lost)),
            ("corrupt", Metric::Frames(Fault::Corrupt)),
            ("duplicate", Metric::Frames(Fault::Duplicate)),
            ("reordered", Metric::Frames(Fault::Reordered)),
            ("misrouted", Metric::Frames(Fault::Misrouted)),
            ("late", Metric::Frames(Fault::Late)),
        ];
        for (text, metric) in cases {
            assert_eq!(read(text), Ok(metric), "{text}");
        }
    }

    #[test]
    fn says_which_metric_may_have_been_meant() {
        let cases = [
            ("eror", Some("errors")),
            ("loss", Some("lost")),
            ("P99", Some("p99")),
            ("servce.p99.9", Some("service.p99.9")),
            ("service", Some("service.p99")),
            ("send-delay", Some("send_delay.p99")),
            ("dup", Some("duplicate")),
            ("latency", None),
            ("p101", None),
            ("q", None),
        ];
        for (text, meant) in cases {
            assert_eq!(likely(text).as_deref(), meant, "{text}");
        }
        let why = read("eror").unwrap_err().why;
        assert!(why.starts_with("unknown metric `eror`, perhaps `errors`: known are p0"), "{why}");
    }

    #[test]
    fn the_list_of_metrics_is_whole() {
        let timings = Timing::ALL.map(Timing::name);
        for name in Fault::ALL.map(Fault::name).iter().chain(&timings).chain(&[RATE]) {
            assert!(KNOWN.contains(name), "{name}");
        }
    }

    #[test]
    fn refuses_what_is_no_statistic() {
        for text in ["p", "p-1", "p100.1", "pinf", "pNaN", "p1e1", "p+1", "p1.2.3", "min", ""] {
            assert_eq!(read_statistic(text), None, "{text}");
            let service = format!("service.{text}");
            let error = read(&service).unwrap_err();
            assert_eq!(error.place, text);
        }
    }

    #[test]
    fn errors_are_the_frames_of_all_columns_but_the_right_ones() {
        let mut ledger = Ledger::default();
        let columns = Fault::Any.columns();
        for (at, column) in columns.iter().enumerate() {
            (0..1 << at).for_each(|_| ledger.settle(*column));
        }
        ledger.settle(Column::Ok);
        let counted = |fault: Fault| -> u64 {
            fault.columns().into_iter().map(|column| ledger.count(column)).sum()
        };
        // No column stands there twice, and none is missing.
        assert_eq!(ledger.failed(), (1 << columns.len()) - 1);
        assert_eq!(columns.len(), 5 + Loss::ALL.len());
        assert_eq!((counted(Fault::Any), counted(Fault::Lost)), (ledger.failed(), ledger.lost()));
    }
}
