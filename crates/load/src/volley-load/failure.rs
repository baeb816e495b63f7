//! What went wrong, as a message and as an exit code.

use std::io;
use std::path::PathBuf;

use volley_cli::Exit;
use volley_client::advice::{exit, with_hint};
use volley_client::flags::FlagsError;
use volley_load::limits::shortage::Shortage;
use volley_load::output::files::OutputError;
use volley_load::plan::schedule::ScheduleError;
use volley_load::run::RunError;
use volley_load::run::client::OpenError;

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    #[error(transparent)]
    Flags(#[from] FlagsError),
    #[error("a frame without a byte is none with --framing raw")]
    RawEmpty,
    #[error("cannot read the payload {}: {source}", path.display())]
    Payload { path: PathBuf, source: io::Error },
    #[error("the payload {} has {len} bytes: a frame has at most {max}", path.display())]
    PayloadTooLong { path: PathBuf, len: usize, max: u32 },
    #[error("{}", lines(shortages))]
    Limits { shortages: Vec<Shortage> },
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error("cannot start the embedded server: {source}")]
    Embedded { source: io::Error },
    #[error("cannot set up the process: {source}")]
    Setup { source: io::Error },
    #[error("{}", explained(.0))]
    Run(#[from] RunError),
}

impl Failure {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Schedule(_) | Self::RawEmpty => Exit::Usage,
            Self::Flags(error) => error.exit(),
            Self::Output(error) => output_exit(error),
            Self::Payload { .. } => Exit::NoInput,
            Self::PayloadTooLong { .. } => Exit::BadData,
            Self::Limits { .. } | Self::Embedded { .. } | Self::Setup { .. } => Exit::Unavailable,
            Self::Run(RunError::Open(error)) => open_exit(error),
            Self::Run(RunError::Setup(_)) => Exit::Unavailable,
            Self::Run(_) => Exit::Defect,
        }
    }
}

fn open_exit(error: &OpenError) -> Exit {
    match error {
        OpenError::Connect(error) => exit(error),
        OpenError::TooLarge { .. } | OpenError::NoReceipt { .. } => Exit::BadData,
        _ => Exit::Failure,
    }
}

/// The exit code of an output that can't be had, or not be written.
pub(crate) const fn output_exit(error: &OutputError) -> Exit {
    match error {
        OutputError::Create { .. } => Exit::CannotCreate,
        OutputError::Same { .. } | OutputError::Dash => Exit::Usage,
        _ => Exit::Io,
    }
}

fn explained(error: &RunError) -> String {
    match error {
        RunError::Open(OpenError::Connect(error)) => with_hint(error),
        error => error.to_string(),
    }
}

fn lines(shortages: &[Shortage]) -> String {
    shortages.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
