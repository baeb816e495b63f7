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
mod stdout;
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
            let outcome = runtime.block_on(run(args));
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
    let signals = Signals::install().map_err(|source| Failure::Setup { source })?;
    match args.command {
        Command::Send(args) => send::run(args, signals).await,
        Command::Ping(args) => ping::run(args, signals).await,
        Command::Script(args) => script::run(args, signals).await,
        Command::Shell(args) => shell::run(args, signals).await,
        Command::Wait(args) => wait::run(args, signals).await,
    }
}
