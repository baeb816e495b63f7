//! The `udp` mode: how many datagrams per second the daemon answers, beside a plain loop.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Error, Result};

use crate::answered::Answered;
use crate::child::{Child, own_command};
use crate::comparison::{self, Contender, Trial, parse_seconds};
use crate::grid::Grid;
use crate::target::{Running, Target};
use crate::words::Words;
use crate::{cpu_time, program, raw_udp_load};

/// The loads that are measured unless told otherwise: one client with many datagrams under way,
/// several with several, many with few, and one after the other.
const LOADS: &str = "1,64,64 16,16,64 64,4,64 64,1,64 1,1,64";

/// How long the load may take besides measuring: to notice that no reply comes.
const SPARE: Duration = Duration::from_secs(60);

/// What to compare, and under which loads.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The daemon to measure, or `none` [default: the volleyd beside this program]
    #[arg(long, value_name = "PATH")]
    daemon: Option<PathBuf>,

    /// More arguments for the daemon, in one text, for example '--reply ack'
    #[arg(long, value_name = "ARGUMENTS", allow_hyphen_values = true, default_value = "")]
    daemon_args: Words,

    /// The loads, separated by blanks, each as CLIENTS,PIPELINE,SIZE
    #[arg(long, value_name = "LOADS", default_value = LOADS)]
    grid: Grid,

    /// How often each is measured under each load
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,

    /// How long each measurement takes
    #[arg(long, default_value = "1", value_parser = parse_seconds)]
    seconds: Duration,

    /// Has clients send their datagrams joined, so that they arrive as from a card that joins them
    #[arg(long)]
    joined: bool,

    /// Divides by the CPU time of the server in place of the time that went by: what it could answer
    /// if the load were no limit
    #[arg(long)]
    cpu_time: bool,
}

/// Measures and prints the tables.
///
/// # Errors
///
/// The first failure of a server or of the load ends the comparison.
pub(crate) fn run(args: &Args) -> Result<()> {
    let daemon = program::own("volleyd", "--daemon", args.daemon.as_deref())?;
    let daemon = daemon.map(|path| {
        let mut command = vec![path.into_os_string()];
        command.extend(["--listen", "udp://127.0.0.1:0"].map(OsString::from));
        command.extend(args.daemon_args.filled(&[]));
        Target::announcing("volleyd", command)
    });
    let Args { joined, cpu_time, .. } = *args;
    let datagrams = |target| Datagrams { target, joined, cpu_time };
    let plain = datagrams(Target::plain_udp()?);
    let daemon: Vec<_> = daemon.map(datagrams).into_iter().collect();
    let comparison =
        comparison::Args { grid: args.grid.clone(), rounds: args.rounds, seconds: args.seconds };
    comparison::run(&comparison, &plain, &daemon)
}

/// A server of datagrams under comparison.
struct Datagrams {
    target: Target,
    joined: bool,
    cpu_time: bool,
}

impl Contender for Datagrams {
    fn name(&self) -> &str {
        &self.target.name
    }

    fn measure(&self, trial: &Trial<'_>) -> Result<Option<f64>> {
        let mut server = self.target.start(trial.cpus.server)?;
        self.drive(&server, trial)
            .map(Some)
            .map_err(|error| server.blame(error))
            .with_context(|| format!("{} under {}", self.target.name, trial.load))
    }
}

impl Datagrams {
    /// Puts the load on a server and reads what it counted.
    fn drive(&self, server: &Running, trial: &Trial<'_>) -> Result<f64> {
        let &Trial { load, time, cpus } = trial;
        let mut command = own_command(["raw-udp-load"])?;
        command.extend(raw_udp_load::Args::new(server.address, load, time, self.joined).words());
        let before = cpu_time::of(server.child.id())?;
        let line = Child::spawn("the load", &command, cpus.load)?.line(time + SPARE)?;
        let Answered { datagrams, time } = line.parse().map_err(Error::msg)?;
        let time = match self.cpu_time {
            true => cpu_time::of(server.child.id())? - before,
            false => time,
        };
        Ok(datagrams as f64 / time.as_secs_f64())
    }
}
