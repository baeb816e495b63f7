//! The `server` mode: how near each server comes to the raw limit, in frames per second.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::child::{Child, own_command};
use crate::comparison::{self, Contender, Trial};
use crate::raw_load;
use crate::target::{self, Running, Target};

/// How long the load may take besides measuring: to connect, and to notice that no reply comes.
const SPARE: Duration = Duration::from_secs(60);

/// What to compare, and under which loads.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    targets: target::Args,

    #[command(flatten)]
    comparison: comparison::Args,
}

/// Measures and prints the tables.
///
/// # Errors
///
/// The first failure of a server or of the load ends the comparison.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut others = vec![Target::framed_echo()?];
    others.extend(args.targets.targets()?);
    comparison::run(&args.comparison, &Target::raw_echo()?, &others)
}

impl Contender for Target {
    fn name(&self) -> &str {
        &self.name
    }

    fn measure(&self, trial: &Trial<'_>) -> Result<Option<f64>> {
        let mut server = self.start(trial.cpus.server)?;
        drive(self, &server, trial)
            .map(Some)
            .map_err(|error| server.blame(error))
            .with_context(|| format!("{} under {}", self.name, trial.load))
    }
}

/// Puts the load on a server and reads what it counted: frames per second.
///
/// # Errors
///
/// When the load fails.
pub(crate) fn drive(target: &Target, server: &Running, trial: &Trial<'_>) -> Result<f64> {
    let &Trial { load, time, cpus } = trial;
    let mut command = own_command(["raw-load"])?;
    command.extend(raw_load::Args::new(server.address, load, time).on(target).words());
    let line = Child::spawn("the load", &command, cpus.load)?.line(time + SPARE)?;
    line.parse().with_context(|| format!("the load printed `{line}`"))
}
