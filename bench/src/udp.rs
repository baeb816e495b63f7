//! The `udp` mode: how many datagrams per second the daemon answers, beside a plain loop.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Error, Result};
use clap::ValueEnum;

use crate::child::{Child, own_command};
use crate::comparison::{self, Contender, Trial, parse_seconds};
use crate::counted::{ANSWERED, Counted};
use crate::grid::Grid;
use crate::target::{Running, Target};
use crate::words::Words;
use crate::{program, raw_udp_load, report};

/// The loads that are measured unless told otherwise: from one client to one datagram of each.
const LOADS: &str = "1,64,64 16,16,64 64,4,64 64,1,64";

/// How long the load may take besides the server's answering: to send, mostly, which takes longer
/// than that.
const SPARE: Duration = Duration::from_secs(60);

/// As many times as long as the answering.
const TIMES: u32 = 20;

/// What to compare, and under which loads.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The daemon to measure, or `none` [default: the volleyd beside this program]
    #[arg(long, value_name = "PATH")]
    daemon: Option<PathBuf>,

    /// More arguments for the daemon, in one text, for example '--reply ack'
    #[arg(long, value_name = "ARGUMENTS", allow_hyphen_values = true, default_value = "")]
    daemon_args: Words,

    /// The loads, separated by blanks, each as CLIENTS,ROW,SIZE
    #[arg(long, value_name = "LOADS", default_value = LOADS)]
    grid: Grid,

    /// How often each is measured under each load
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,

    /// How long the server answers in each measurement
    #[arg(long, default_value = "0.5", value_parser = parse_seconds)]
    seconds: Duration,

    /// How the datagrams of a row arrive; both, one after the other, when not given
    #[arg(long)]
    arrival: Option<Arrival>,
}

/// How datagrams of one client arrive that it has sent in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Arrival {
    /// each by itself
    Apart,
    /// up to 64 as one, as from a network card that joins them
    Joined,
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
    let comparison =
        comparison::Args { grid: args.grid.clone(), rounds: args.rounds, seconds: args.seconds };
    for &arrival in Arrival::value_variants() {
        if args.arrival.is_some_and(|only| only != arrival) {
            continue;
        }
        let how = match arrival {
            Arrival::Apart => "Each datagram arrives by itself:",
            Arrival::Joined => "Datagrams of a row arrive joined:",
        };
        report::print(&format_args!("{how}\n\n"))?;
        let plain = Datagrams { target: Target::plain_udp()?, arrival };
        let daemon = daemon.clone().map(|target| Datagrams { target, arrival });
        comparison::run(&comparison, &plain, daemon.as_slice())?;
        report::print(&"\n")?;
    }
    Ok(())
}

/// A server of datagrams under comparison.
struct Datagrams {
    target: Target,
    arrival: Arrival,
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
        let (process, joined) = (server.child.id(), self.arrival == Arrival::Joined);
        let load = raw_udp_load::Args::new(server.address, process, load, time, joined);
        command.extend(load.words());
        let line = Child::spawn("the load", &command, cpus.load)?.line(time * TIMES + SPARE)?;
        let Counted { count, time } = ANSWERED.read(&line).map_err(Error::msg)?;
        Ok(count as f64 / time.as_secs_f64())
    }
}
