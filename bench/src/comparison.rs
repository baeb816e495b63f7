//! A comparison: everybody measured in turn under each load, and the tables of it.
//!
//! How a rate is measured is left to the contenders.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::descriptors;
use crate::grid::{self, Grid, Load};
use crate::pin::Cpus;
use crate::report::{self, Report, Row};

/// Under which loads to compare, how often and how long.
#[derive(Debug, clap::Args)]
#[group(id = "comparison")]
pub(crate) struct Args {
    /// The loads, separated by blanks, each as CONNECTIONS,PIPELINE,SIZE
    #[arg(long, value_name = "LOADS", default_value = grid::DEFAULT)]
    pub(crate) grid: Grid,

    /// How often each is measured under each load
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,

    /// How long each measurement takes
    #[arg(long, default_value = "1", value_parser = parse_seconds)]
    pub(crate) seconds: Duration,
}

/// What one measurement is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trial<'a> {
    /// What is put on the server.
    pub(crate) load: Load,
    /// For how long.
    pub(crate) time: Duration,
    /// Where both sides run.
    pub(crate) cpus: &'a Cpus,
}

/// Who can be compared.
pub(crate) trait Contender {
    /// What the tables and the errors call it.
    fn name(&self) -> &str;

    /// Frames per second, from fresh processes; none when such a load is beyond it.
    ///
    /// # Errors
    ///
    /// When it could not be measured though it should be able.
    fn measure(&self, trial: &Trial<'_>) -> Result<Option<f64>>;
}

/// Measures the baseline and the others in turn, and prints the tables.
///
/// # Errors
///
/// The first failure ends the comparison.
pub(crate) fn run<C: Contender>(args: &Args, baseline: &C, others: &[C]) -> Result<()> {
    ensure!(
        args.grid.most_connections() <= descriptors::connections()?,
        "{} connections need more open files than the limit allows: raise it (ulimit -Hn) or use \
         a smaller --grid",
        args.grid.most_connections()
    );
    let cpus = Cpus::choose()?;
    warn(&cpus);

    let mut rows = Vec::new();
    for &load in args.grid.loads() {
        report::tell(&format!("measuring {load}"));
        let trial = Trial { load, time: args.seconds, cpus: &cpus };
        let mut row = Row { load, baseline: Vec::new(), others: vec![Vec::new(); others.len()] };
        for _ in 0..args.rounds {
            row.baseline.extend(baseline.measure(&trial)?);
            for (other, rates) in others.iter().zip(&mut row.others) {
                rates.extend(other.measure(&trial)?);
            }
        }
        rows.push(row);
    }
    report::print(&Report {
        baseline: baseline.name().to_owned(),
        others: others.iter().map(|other| other.name().to_owned()).collect(),
        rows,
    })
}

/// Says what makes the figures mean less, and where both sides run.
pub(crate) fn warn(cpus: &Cpus) {
    if cfg!(debug_assertions) {
        report::tell("warning: built without --release, so the figures mean little");
    }
    if let Some(warning) = cpus.warning {
        report::tell(&format!("warning: {warning}"));
    }
    if let (Some(server), Some(load)) = (cpus.server, cpus.load) {
        report::tell(&format!("servers run on CPU {server}, loads on CPU {load}"));
    }
}

/// From 0.01 s to an hour.
pub(crate) fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map_err(|_| format!("`{text}` is no number of seconds"))?;
    if !(0.01..=3600.0).contains(&seconds) {
        return Err(format!("{seconds} seconds: it must be from 0.01 to 3600"));
    }
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_fractions_of_seconds() {
        assert_eq!(parse_seconds("0.25"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_seconds("2"), Ok(Duration::from_secs(2)));
    }

    #[test]
    fn refuses_a_time_that_measures_nothing_or_never_ends() {
        for text in ["", "x", "0", "-1", "1s", "NaN", "inf", "1e9"] {
            assert!(parse_seconds(text).is_err(), "{text}");
        }
    }
}
