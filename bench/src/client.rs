//! The `client` mode: what `volley send` costs a script. How long one frame takes from the start of
//! the program to its end, and how fast a file streams through it.

mod start_up;
mod stream;

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::pin::Cpus;
use crate::target::Target;
use crate::{comparison, program};

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    start_up: start_up::Args,

    #[command(flatten)]
    stream: stream::Args,
}

/// Measures and prints the tables.
///
/// # Errors
///
/// The first failure of a program ends it.
pub(crate) fn run(args: &Args) -> Result<()> {
    let cpus = Cpus::choose()?;
    comparison::warn(&cpus);
    start_up::run(&args.start_up, &cpus)?;
    stream::run(&args.stream, &cpus)
}

/// The client beside this program.
fn volley() -> Result<PathBuf> {
    program::own("volley", "PATH", None)?.context("no volley")
}

/// The daemon beside this program.
fn volleyd() -> Result<Target> {
    let path = program::own("volleyd", "PATH", None)?.context("no volleyd")?;
    let mut command = vec![path.into_os_string()];
    command.extend(["--listen", "tcp://127.0.0.1:0", "--log", "off"].map(OsString::from));
    Ok(Target::announcing("volleyd", command))
}
