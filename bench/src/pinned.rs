//! Runs a command on one CPU, and ties its life to that of the parent.
//!
//! A process can set these only for itself, so this program does it between the fork and the
//! command.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Error, Result};
use rustix::process::{Signal, set_parent_process_death_signal};

use crate::pin;

/// The command to run, and where.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The CPU to run on; any, when not given
    #[arg(long)]
    cpu: Option<usize>,
    /// The program and its arguments
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Becomes the command.
///
/// # Errors
///
/// When it cannot: after a success there is nobody left to return to.
pub(crate) fn run(args: &Args) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::TERM)).context("cannot follow the parent")?;
    if let Some(cpu) = args.cpu {
        pin::pin_to(cpu)?;
    }
    let (program, rest) = args.command.split_first().context("no command")?;
    let error = Command::new(program).args(rest).exec();
    Err(Error::new(error).context(format!("cannot run {}", program.display())))
}
