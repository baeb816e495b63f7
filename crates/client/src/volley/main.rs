//! The client for the shell: flags, stdin, stdout, signals and exit codes around
//! [`volley_client`].

mod args;
mod failure;
mod frames;
mod output;
mod send;

use std::future::Future;

use args::{Args, Command};
use clap::Parser;
use failure::Failure;
use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use volley_cli::Exit;

fn main() -> Exit {
    let args = Args::parse();
    let outcome = match runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            let outcome = runtime.block_on(until_signal(run(args)));
            // A read of stdin may still be waiting; there is nobody left to wait for it.
            runtime.shutdown_background();
            outcome
        }
        Err(source) => Err(Failure::Setup { source }),
    };
    match outcome {
        Ok(()) => Exit::Success,
        Err(failure) => {
            failure.report();
            failure.exit()
        }
    }
}

async fn run(args: Args) -> Result<(), Failure> {
    match args.command {
        Command::Send(args) => send::run(args).await,
    }
}

/// Runs `work`, until SIGINT or SIGTERM if that comes first.
async fn until_signal(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let install = |kind| signal(kind).map_err(|source| Failure::Setup { source });
    let mut interrupt: Signal = install(SignalKind::interrupt())?;
    let mut terminate: Signal = install(SignalKind::terminate())?;
    tokio::select! {
        outcome = work => outcome,
        _ = interrupt.recv() => Err(Failure::Signal(Exit::Interrupted)),
        _ = terminate.recv() => Err(Failure::Signal(Exit::Terminated)),
    }
}
