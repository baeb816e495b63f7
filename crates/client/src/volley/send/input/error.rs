//! What can be wrong with what is to be sent, and where.

use std::fmt;
use std::io;
use std::path::PathBuf;

use volley_cli::{Exit, format_bytes};

use crate::decode::DecodeError;
use crate::failure::Failure;
use crate::render::counted;

/// Why there is no next frame.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    #[error("cannot open {}: {source}", path.display())]
    Missing { path: PathBuf, source: io::Error },
    #[error("cannot read {place}: {source}")]
    Read { place: Place, source: io::Error },
    #[error(
        "{place} is longer than the {} that the server takes{}",
        counted(*max as u64, "byte"), hint(*split_by, *max)
    )]
    TooLong {
        place: Place,
        max: usize,
        /// The flags with which it would be split, before the size, if there are some.
        split_by: Option<&'static str>,
    },
    #[error("--chunk of {size} bytes is more than the {max} that the server takes")]
    ChunkTooLong { size: usize, max: usize },
    #[error("{place} is cut off: {have} of {needs} bytes")]
    CutOff { place: Place, have: usize, needs: usize },
    #[error("{place} is a control frame: only data frames can be sent")]
    Control { place: Place },
    #[error("{place} cannot be decoded: {source}")]
    Undecodable { place: Place, source: DecodeError },
    #[error("cannot start a thread that reads {place}: {source}")]
    Thread { place: Place, source: io::Error },
}

impl From<InputError> for Failure {
    fn from(error: InputError) -> Self {
        let exit = match error {
            InputError::Missing { .. } => Exit::NoInput,
            InputError::Read { .. } => Exit::Io,
            InputError::Thread { .. } => Exit::Unavailable,
            _ => Exit::BadData,
        };
        Self::Input { message: error.to_string(), exit }
    }
}

/// Where something is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// An argument, from 1.
    Argument(u64),
    Stdin,
    File(PathBuf),
    /// A line of one of these, from 1.
    Line(u64, Box<Self>),
    /// A frame of one of these, from 1.
    Frame(u64, Box<Self>),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument(number) => write!(f, "argument {number}"),
            Self::Stdin => f.write_str("stdin"),
            Self::File(path) => path.display().fmt(f),
            Self::Line(number, whole) => write!(f, "line {number} of {whole}"),
            Self::Frame(number, whole) => write!(f, "frame {number} of {whole}"),
        }
    }
}

/// The most that a hint proposes to split a stream into, in bytes.
const CHUNK: usize = 64 << 10;

/// What to do about something that is too long for a frame.
fn hint(split_by: Option<&str>, max: usize) -> String {
    match (split_by, max.min(CHUNK).checked_ilog2()) {
        (Some(flags), Some(power)) => format!(" ({flags} {} splits it)", format_bytes(1 << power)),
        _ => String::new(),
    }
}
