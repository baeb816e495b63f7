//! What went wrong, as a message on stderr and as an exit code.

use std::io::{self, Write};

use volley_cli::{Exit, printable};
use volley_client::advice::{exit, with_hint};
use volley_client::{Error, Mismatch};
use volley_proto::ReplyKind;

/// Why the program does not exit 0.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Client(#[from] Error),
    /// Mismatches are told when they come; this is what is left to say at the end.
    #[error("wrong replies: {wrong} of {replies}")]
    Mismatches { wrong: u64, replies: u64 },
    #[error("the server grants {granted}, not the {wanted} that was asked for")]
    NotGranted { wanted: ReplyKind, granted: ReplyKind },
    #[error("line {line} of stdin is longer than the {max} bytes that the server takes")]
    LineTooLong { line: u64, max: u32 },
    #[error("cannot read stdin: {source}")]
    Stdin { source: io::Error },
    #[error("cannot write to stdout: {source}")]
    Stdout { source: io::Error },
    #[error("cannot set up the process: {source}")]
    Setup { source: io::Error },
    #[error("ended by a signal")]
    Signal(Exit),
    /// Everything has been told; what is left is the exit code.
    #[error("told already")]
    Told(Exit),
}

impl Failure {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Client(error) => exit(error),
            Self::Mismatches { .. } | Self::NotGranted { .. } => Exit::Failure,
            Self::LineTooLong { .. } => Exit::BadData,
            Self::Stdin { .. } | Self::Stdout { .. } => Exit::Io,
            Self::Setup { .. } => Exit::Unavailable,
            Self::Signal(exit) | Self::Told(exit) => *exit,
        }
    }

    /// What went wrong, with what to do next.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Client(error) => with_hint(error),
            _ => self.to_string(),
        }
    }

    /// Tells it on stderr. Who sent a signal knows.
    pub(crate) fn report(&self) {
        if !matches!(self, Self::Signal(_) | Self::Told(_)) {
            tell(&self.message());
        }
    }
}

/// Tells a wrong reply as it comes.
pub(crate) fn report_mismatch(mismatch: &Mismatch) {
    tell(&mismatch.to_string());
}

/// Writes a message to stderr. It may carry text from the server, so it is made
/// printable. Without a stderr there is nobody to tell.
pub(crate) fn tell(message: &str) {
    let shown = printable(message);
    let _ = writeln!(io::stderr(), "volley: {shown}");
}
