//! The thresholds against the figures.
//!
//! Any frame that did not come back right fails a run, unless a threshold of the user's own says how
//! many may. So does a reply that no frame was waiting for, and a connection that could not be had.

use crate::measure::ledger::Column;
use crate::measure::recorder::Latencies;
use crate::report::figures::{count, latency, percent, rate};
use crate::report::metric::{Fault, Metric, Statistic, Timing};
use crate::report::threshold::{Comparison, Limit, Threshold};
use crate::report::{Check, Connections, Figures, LedgerFigures};

/// Every threshold with its value: the user's first, then those that hold without being asked for.
pub fn checks(thresholds: &[Threshold], run: &Figures, connections: &Connections) -> Vec<Check> {
    let own = thresholds.iter().map(|threshold| check(threshold, run, false));
    let defaults = defaults(thresholds);
    let defaults = defaults.iter().map(|threshold| check(threshold, run, true));
    own.chain(defaults).chain([no_strays(run), all_connected(connections)]).collect()
}

/// `fault > 0` for each fault that no threshold of the user's own covers.
fn defaults(thresholds: &[Threshold]) -> Vec<Threshold> {
    let covered: Vec<Column> = thresholds
        .iter()
        .filter_map(|threshold| match threshold.metric {
            Metric::Frames(fault) => Some(fault.columns()),
            _ => None,
        })
        .flatten()
        .collect();
    let faults = [
        Fault::Lost,
        Fault::Corrupt,
        Fault::Duplicate,
        Fault::Reordered,
        Fault::Misrouted,
        Fault::Late,
    ];
    faults
        .into_iter()
        .filter(|fault| !fault.columns().iter().all(|column| covered.contains(column)))
        .map(|fault| Threshold {
            metric: Metric::Frames(fault),
            comparison: Comparison::Above,
            limit: Limit::Frames(0),
        })
        .collect()
}

fn check(threshold: &Threshold, run: &Figures, is_default: bool) -> Check {
    let (value, shown) = match threshold.metric {
        Metric::Latency { of, at } => {
            let nanos = timing(run, of).and_then(|latencies| statistic(latencies, at));
            (nanos.map(float), nanos.map(latency))
        }
        Metric::Rate => (run.replies_per_second, run.replies_per_second.map(|r| rate(Some(r)))),
        Metric::Frames(fault) => frames(fault, threshold.limit, &run.ledger),
    };
    Check {
        fail_if: threshold.to_string(),
        is_default,
        value,
        shown: shown.unwrap_or_else(|| "not measured".to_owned()),
        // What can't be told is no success.
        is_broken: value.is_none_or(|value| threshold.is_broken_by(value)),
    }
}

fn timing(run: &Figures, of: Timing) -> Option<&Latencies> {
    let timing = match of {
        Timing::Response => &run.response,
        Timing::Service => &run.service,
        Timing::SendDelay => run.send_delay.as_ref()?,
        Timing::Connect => &run.connect,
        Timing::Handshake => run.handshake.as_ref()?,
    };
    Some(&timing.histogram)
}

fn statistic(latencies: &Latencies, at: Statistic) -> Option<u64> {
    if latencies.histogram().is_empty() {
        return None;
    }
    Some(match at {
        Statistic::Percentile(percent) => latencies.at(percent / 100.0),
        Statistic::Max => latencies.longest(),
        Statistic::Mean => latencies.mean(),
    })
}

fn frames(fault: Fault, limit: Limit, ledger: &LedgerFigures) -> (Option<f64>, Option<String>) {
    let frames = match fault {
        Fault::Any => ledger.failed(),
        Fault::Lost => ledger.lost(),
        Fault::Corrupt => ledger.corrupt,
        Fault::Duplicate => ledger.duplicate,
        Fault::Reordered => ledger.reordered,
        Fault::Misrouted => ledger.misrouted,
        Fault::Late => ledger.late,
    };
    match limit {
        Limit::Percent(_) if ledger.sent == 0 => (None, None),
        Limit::Percent(_) => {
            let part = float(frames) / float(ledger.sent);
            (Some(part * 100.0), Some(percent(part)))
        }
        _ => (Some(float(frames)), Some(count(frames))),
    }
}

/// A reply too many is in no column of the ledger, whose frames may all be right.
fn no_strays(run: &Figures) -> Check {
    Check {
        fail_if: "strays > 0".to_owned(),
        is_default: true,
        value: Some(float(run.strays)),
        shown: count(run.strays),
        is_broken: run.strays > 0,
    }
}

fn all_connected(connections: &Connections) -> Check {
    let Connections { asked, connected, .. } = *connections;
    Check {
        fail_if: format!("connections < {asked}"),
        is_default: true,
        value: Some(f64::from(connected)),
        shown: count(u64::from(connected)),
        is_broken: connected < asked,
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53: 104 days in nanoseconds")]
const fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests;
