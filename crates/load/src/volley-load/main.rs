//! The load tester for the shell: flags, stdout, signals and exit codes around [`volley_load`].

mod args;
mod failure;
mod live;
mod observer;
mod session;
mod setup;
mod signals;

use std::io::{self, Write};

use args::{Cli, program};
use clap::FromArgMatches;
use session::Ended;
use volley_cli::{Exit, printable};

fn main() -> Exit {
    let args = match program().matches() {
        Ok(matches) => Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()).run(),
        Err(exit) => return exit,
    };
    let ended = if args.self_test { session::self_test(&args) } else { session::run(&args) };
    let Ended { text, errors, exit } = ended;
    let printed = print(&text);
    for error in errors {
        tell(&error);
    }
    match printed {
        Err(error) => {
            tell(&format!("cannot write to stdout: {error}"));
            // What went wrong before says more.
            if exit == Exit::Success { Exit::Io } else { exit }
        }
        Ok(()) => exit,
    }
}

/// Prints the result. That nobody reads it is no error.
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
