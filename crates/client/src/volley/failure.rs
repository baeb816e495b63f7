//! What went wrong, as a message on stderr and as an exit code.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use volley_cli::{Exit, format_duration, printable};
use volley_client::Error;
use volley_client::advice::{exit, with_hint};
use volley_client::flags::FlagsError;
use volley_proto::ReplyKind;

use crate::stderr;

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
    #[error("{lost} of {} replies never came", lost + replies)]
    Lost { lost: u64, replies: u64 },
    #[error("{} came that no frame was waiting for", replies(*duplicates))]
    Duplicates { duplicates: u64 },
    #[error("not done within {}: {progress}", format_duration(*after))]
    Deadline { after: Duration, progress: String },
    #[error("not done within {}: nobody reads what is printed", format_duration(*after))]
    Unread { after: Duration },
    /// A failure for which the command that had it knows what to try next.
    #[error("{why} ({advice})")]
    Advised { why: String, advice: &'static str, exit: Exit },
    /// What the user wants to be sent cannot be.
    #[error("{message}")]
    Input { message: String, exit: Exit },
    #[error(transparent)]
    Flags(#[from] FlagsError),
    #[error("{0}")]
    Usage(String),
    #[error("cannot write to stdout: {source}")]
    Stdout { source: io::Error },
    #[error("cannot read from the terminal: {source}")]
    Terminal { source: io::Error },
    #[error("cannot create {}: {source}", path.display())]
    Create { path: PathBuf, source: io::Error },
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot set up the process: {source}")]
    Setup { source: io::Error },
    #[error("ended by a signal")]
    Signal(Exit),
    /// Everything has been told; what is left is the exit code.
    #[error("told already")]
    Told(Exit),
}

fn replies(count: u64) -> String {
    if count == 1 { "1 reply".to_owned() } else { format!("{count} replies") }
}

impl Failure {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Client(error) => exit(error),
            Self::Flags(error) => error.exit(),
            Self::Mismatches { .. }
            | Self::Lost { .. }
            | Self::Duplicates { .. }
            | Self::NotGranted { .. } => Exit::Failure,
            Self::Deadline { .. } | Self::Unread { .. } => Exit::TryAgain,
            Self::Usage(_) => Exit::Usage,
            Self::Create { .. } => Exit::CannotCreate,
            Self::Stdout { .. } | Self::Write { .. } | Self::Terminal { .. } => Exit::Io,
            Self::Setup { .. } => Exit::Unavailable,
            Self::Advised { exit, .. }
            | Self::Input { exit, .. }
            | Self::Signal(exit)
            | Self::Told(exit) => *exit,
        }
    }

    /// What went wrong, with what to do next.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Client(error) => with_hint(error),
            Self::Deadline { .. } => format!("{self} (try a longer --deadline)"),
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

/// Shows a message on stderr. It may carry text from the server, so it is made printable.
pub(crate) fn tell(message: &str) {
    stderr::show(format!("volley: {}\n", printable(message)));
}
