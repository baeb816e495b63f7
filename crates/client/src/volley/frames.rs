//! Where the frames come from: the command line, or stdin, a line each.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::vec;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::io::Stdin;
use tokio_util::codec::{AnyDelimiterCodec, AnyDelimiterCodecError, FramedRead};

use crate::failure::Failure;

/// The frames to send, one after the other.
#[derive(Debug)]
pub(crate) enum Frames {
    Arguments(vec::IntoIter<OsString>),
    Lines { lines: FramedRead<Stdin, AnyDelimiterCodec>, read: u64, max: u32 },
}

impl Frames {
    /// The arguments or, if there are none, the lines of stdin: what stands between two newlines,
    /// also behind the last one, of at most `max` bytes.
    pub(crate) fn new(arguments: Vec<OsString>, max: u32) -> Self {
        if !arguments.is_empty() {
            return Self::Arguments(arguments.into_iter());
        }
        let codec =
            AnyDelimiterCodec::new_with_max_length(b"\n".to_vec(), Vec::new(), max as usize);
        Self::Lines { lines: FramedRead::new(tokio::io::stdin(), codec), read: 0, max }
    }

    /// The next frame's payload; `None` after the last.
    ///
    /// # Cancel safety
    ///
    /// No frame is lost.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        match self {
            Self::Arguments(arguments) => Ok(arguments.next().map(|arg| arg.into_vec().into())),
            Self::Lines { lines, read, max } => {
                let line = lines.next().await.transpose().map_err(|error| match error {
                    AnyDelimiterCodecError::MaxChunkLengthExceeded => {
                        Failure::LineTooLong { line: *read + 1, max: *max }
                    }
                    AnyDelimiterCodecError::Io(source) => Failure::Stdin { source },
                })?;
                *read += u64::from(line.is_some());
                Ok(line)
            }
        }
    }
}
