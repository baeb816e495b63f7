//! What went wrong, as a message on stderr and as an exit code.

use std::io::{self, Write};

use volley_cli::Exit;
use volley_client::{Error, Mismatch, ProtocolError};
use volley_proto::{FrameError, Reason, ReplyKind};

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
}

impl Failure {
    pub(crate) const fn exit(&self) -> Exit {
        match self {
            Self::Client(error) => client_exit(error),
            Self::Mismatches { .. } | Self::NotGranted { .. } => Exit::Failure,
            Self::LineTooLong { .. } => Exit::BadData,
            Self::Stdin { .. } | Self::Stdout { .. } => Exit::Io,
            Self::Setup { .. } => Exit::Unavailable,
            Self::Signal(exit) => *exit,
        }
    }

    /// Tells it on stderr, with what to do next. Who sent a signal knows.
    pub(crate) fn report(&self) {
        if matches!(self, Self::Signal(_)) {
            return;
        }
        let hint = self.hint();
        let (open, close) = if hint.is_empty() { ("", "") } else { (" (", ")") };
        tell(&format!("{self}{open}{hint}{close}"));
    }

    fn hint(&self) -> &'static str {
        match self {
            Self::Client(Error::Connect { source, .. })
                if source.kind() == io::ErrorKind::ConnectionRefused =>
            {
                "is volleyd running there?"
            }
            Self::Client(Error::NoWelcome { .. }) => "try --no-hello",
            Self::Client(Error::ConnectTimedOut { awaited: "WELCOME", .. }) => {
                "it may not know HELLO: try --no-hello, or a longer --timeout"
            }
            Self::Client(Error::ConnectTimedOut { .. } | Error::TimedOut { .. }) => {
                "try a longer --timeout"
            }
            Self::Client(Error::Protocol(ProtocolError::Frame(
                FrameError::TooLarge { .. } | FrameError::ControlLength { .. },
            ))) => "is it a framed server?",
            _ => "",
        }
    }
}

const fn client_exit(error: &Error) -> Exit {
    match error {
        Error::Resolve { .. } => Exit::NoHost,
        Error::Connect { .. } | Error::Bind { .. } | Error::Family { .. } => Exit::Unavailable,
        Error::Unsupported { .. } => Exit::Usage,
        Error::ConnectTimedOut { .. } | Error::TimedOut { .. } | Error::GoingAway { .. } => {
            Exit::TryAgain
        }
        Error::Refused { reason, .. } => refused_exit(*reason),
        Error::NoWelcome { .. } | Error::Protocol(_) => Exit::Protocol,
        Error::TooLarge { .. } => Exit::BadData,
        // A mismatch, or a loss.
        _ => Exit::Failure,
    }
}

/// The connection was refused for a fault of the frames, of the protocol, or of the moment.
const fn refused_exit(reason: Reason) -> Exit {
    match reason {
        Reason::TooLarge => Exit::BadData,
        Reason::Protocol => Exit::Protocol,
        Reason::Internal | Reason::Denied | Reason::Other(_) => Exit::Failure,
        _ => Exit::TryAgain,
    }
}

/// Tells a wrong reply as it comes.
pub(crate) fn report_mismatch(mismatch: &Mismatch) {
    tell(&mismatch.to_string());
}

/// Writes a message to stderr. It may carry text from the server, so control characters are shown,
/// not sent to the terminal. Without a stderr there is nobody to tell.
pub(crate) fn tell(message: &str) {
    let mut shown = String::with_capacity(message.len());
    for character in message.chars() {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    let _ = writeln!(io::stderr(), "volley: {shown}");
}
