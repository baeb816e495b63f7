//! The client for the shell: flags, stdin, stdout, signals and exit codes around
//! [`volley_client`].

mod args;
mod backoff;
mod check;
mod decode;
mod dump;
mod failure;
mod patience;
mod ping;
mod render;
mod script;
mod send;
mod shell;
mod signals;
mod stderr;
mod stdout;
mod targets;
mod terms;
mod wait;
mod wire;

use args::{Args, Command, program};
use clap::FromArgMatches;
use failure::Failure;
use signals::Signals;
use tokio::runtime;
use volley_cli::Exit;

fn main() -> Exit {
    let args = match program().matches() {
        Ok(matches) => Args::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()),
        Err(exit) => return exit,
    };
    let outcome = match runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            let outcome = runtime.block_on(async {
                let outcome = run(args).await;
                tell_to_the_end(outcome).await
            });
            // A read of stdin may still be waiting; there is nobody left to wait for it.
            runtime.shutdown_background();
            outcome
        }
        Err(source) => {
            let failure = Failure::Setup { source };
            failure.report();
            Err(failure)
        }
    };
    match outcome {
        Ok(()) => Exit::Success,
        Err(failure) => failure.exit(),
    }
}

/// Says why it does not exit 0, and waits for who reads that.
async fn tell_to_the_end(outcome: Result<(), Failure>) -> Result<(), Failure> {
    match &outcome {
        Err(Failure::Signal(_)) => stderr::cut_short(),
        Err(failure) => failure.report(),
        Ok(()) => {}
    }
    let signal = async {
        match Signals::install() {
            Ok(mut signals) => signals.next().await,
            Err(source) => Failure::Setup { source },
        }
    };
    tokio::select! {
        biased;
        () = stderr::finish() => outcome,
        signal = signal => Err(signal),
    }
}

async fn run(args: Args) -> Result<(), Failure> {
    let signals = Signals::install().map_err(|source| Failure::Setup { source })?;
    match args.command {
        Command::Send(args) => send::run(args, signals).await,
        Command::Ping(args) => ping::run(args, signals).await,
        Command::Script(args) => script::run(args, signals).await,
        Command::Shell(args) => shell::run(args, signals).await,
        Command::Wait(args) => wait::run(args, signals).await,
    }
}
