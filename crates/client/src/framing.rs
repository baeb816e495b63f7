//! How the bytes of a connection are cut into frames, on the side that sends them and awaits their
//! replies.

use volley_proto::{FrameError, HEAD_LEN, MaxFrame, Parsed, encode_data_head, parse};

/// How frames and their replies stand in the bytes of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "advice", derive(clap::ValueEnum))]
pub enum Framing {
    /// behind their lengths, as in volley's protocol
    #[default]
    Frames,
    /// without anything between them, at a server that sends back what it gets: the reply to a frame
    /// is as many bytes as the frame has
    Raw,
}

impl Framing {
    /// Bytes before a payload.
    pub const fn head_len(self) -> usize {
        match self {
            Self::Frames => HEAD_LEN,
            Self::Raw => 0,
        }
    }

    /// What stands before a payload of `len` bytes. There is nothing to be said of how long a raw
    /// one is.
    pub(crate) fn head(self, len: usize) -> Option<[u8; HEAD_LEN]> {
        (self == Self::Frames).then(|| encode_data_head(len))
    }

    /// What stands at the front of `bytes`, while a reply of `due` bytes is awaited if it is an echo;
    /// `None` if none is.
    ///
    /// # Errors
    ///
    /// [`FrameError`] for what is no frame. Raw bytes are never wrong here.
    pub(crate) fn front(self, bytes: &[u8], due: Option<usize>) -> Result<Parsed<'_>, FrameError> {
        match (self, due) {
            (Self::Frames, _) => parse(bytes, MaxFrame::CEILING),
            (Self::Raw, Some(len)) if bytes.len() >= len => Ok(Parsed::Data(&bytes[..len])),
            (Self::Raw, Some(len)) => Ok(Parsed::Incomplete { needs: len }),
            (Self::Raw, None) if bytes.is_empty() => Ok(Parsed::Incomplete { needs: 1 }),
            // A reply to nothing is all that is there.
            (Self::Raw, None) => Ok(Parsed::Data(bytes)),
        }
    }
}
