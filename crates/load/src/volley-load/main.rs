//! The load tester for the shell: flags, stdout, signals and exit codes around [`volley_load`].

mod args;
mod failure;
mod observer;
mod session;
mod setup;
mod signals;

use std::io::{self, Write};

use args::Cli;
use clap::Parser;
use session::Ended;
use volley_cli::{Exit, printable};
use volley_load::output::table::Text;

fn main() -> Exit {
    let args = Cli::parse().run();
    let ended = session::run(&args);
    let mut exit = match &ended {
        Ok(Ended { exit, .. }) => *exit,
        Err(failure) => failure.exit(),
    };
    match &ended {
        Ok(Ended { report, errors, .. }) => {
            if let Err(error) = print(&Text(report).to_string()) {
                tell(&format!("cannot write to stdout: {error}"));
                exit = worse(exit, Exit::Io);
            }
            for (message, _) in errors {
                tell(message);
            }
        }
        Err(failure) => tell(&failure.to_string()),
    }
    exit
}

/// A failure to write says less than what went wrong before it.
fn worse(exit: Exit, other: Exit) -> Exit {
    if exit == Exit::Success { other } else { exit }
}

/// Prints a result. That nobody reads it is no error.
fn print(result: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(result.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// Writes a message to stderr, line by line: it may carry text from a server, so each is made
/// printable. Without a stderr there is nobody to tell.
fn tell(message: &str) {
    for line in message.lines() {
        let _ = writeln!(io::stderr(), "volley-load: {}", printable(line));
    }
}
