//! The `server` mode: how near each server comes to the raw limit, in frames per second.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::child::{Child, own_command};
use crate::grid::{self, Grid, Load};
use crate::pin::Cpus;
use crate::report::{self, Report, Row};
use crate::target::{self, Running, Target};
use crate::{descriptors, raw_load};

/// How long the load may take besides measuring: to connect, and to notice that no reply comes.
const SPARE: Duration = Duration::from_secs(60);

/// What to compare, and under which loads.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    targets: target::Args,

    /// The loads, separated by blanks, each as CONNECTIONS,PIPELINE,SIZE
    #[arg(long, value_name = "LOADS", default_value = grid::DEFAULT)]
    grid: Grid,

    /// How often each server is measured under each load
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,

    /// How long each measurement takes
    #[arg(long, default_value = "1", value_parser = parse_seconds)]
    seconds: Duration,
}

/// Measures and prints the tables.
///
/// # Errors
///
/// The first failure of a server or of the load ends the comparison.
pub(crate) fn run(args: &Args) -> Result<()> {
    let baseline = Target::raw_echo()?;
    let mut others = vec![Target::framed_echo()?];
    others.extend(args.targets.targets()?);
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
        let mut row = Row { load, baseline: Vec::new(), others: vec![Vec::new(); others.len()] };
        for _ in 0..args.rounds {
            row.baseline.push(measure(&baseline, load, args.seconds, &cpus)?);
            for (target, rates) in others.iter().zip(&mut row.others) {
                rates.push(measure(target, load, args.seconds, &cpus)?);
            }
        }
        rows.push(row);
    }
    report::print(&Report {
        baseline: baseline.name,
        others: others.into_iter().map(|target| target.name).collect(),
        rows,
    })
}

fn warn(cpus: &Cpus) {
    if cfg!(debug_assertions) {
        report::tell("warning: built without --release, so the figures mean little");
    }
    if let Some(warning) = cpus.warning {
        report::tell(&format!("warning: {warning}"));
    }
    if let (Some(server), Some(load)) = (cpus.server, cpus.load) {
        report::tell(&format!("servers run on CPU {server}, the load on CPU {load}"));
    }
}

/// Frames per second that a fresh process of `target` answers.
fn measure(target: &Target, load: Load, time: Duration, cpus: &Cpus) -> Result<f64> {
    let mut server = target.start(cpus.server)?;
    drive(target, &server, load, time, cpus.load)
        .map_err(|error| server.blame(error))
        .with_context(|| format!("{} under {load}", target.name))
}

/// Puts the load on a server and reads what it counted.
fn drive(
    target: &Target,
    server: &Running,
    load: Load,
    time: Duration,
    cpu: Option<usize>,
) -> Result<f64> {
    let mut command = own_command(["raw-load"])?;
    command.extend(raw_load::Args::new(server.address, load, time, target.reply_size).words());
    let line = Child::spawn("the load", &command, cpu)?.line(time + SPARE)?;
    line.parse().with_context(|| format!("the load printed `{line}`"))
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
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
