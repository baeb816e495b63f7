//! The one parser: what stands at the front of some bytes.
//!
//! It keeps no state between calls. A head is four bytes, so reading it again when more bytes have
//! come costs less than remembering it would.

use crate::control::{self, Control, ControlError};
use crate::frame::bytes;
use crate::{Foreign, HEAD_LEN, MaxFrame};

/// The head's top bit: set on control frames, never on data frames.
const CONTROL_BIT: u32 = 1 << 31;

/// What [`parse()`] found at the front of its input.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// A whole data frame: [`HEAD_LEN`] bytes of head and this payload behind it.
    Data(&'a [u8]),
    /// A whole control frame.
    Control {
        /// What it says.
        control: Control,
        /// How many bytes of input it took, head included: 16 to 216.
        frame_len: usize,
    },
    /// A legal frame that is not whole yet.
    Incomplete {
        /// How many bytes, head included, must be there before another call can say more.
        /// Until the head is whole that is [`HEAD_LEN`], from then on the whole frame.
        needs: usize,
    },
}

/// Bytes that are no legal frame. The stream has no next frame boundary: the connection must end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A data frame that declares more than the limit.
    #[error("frame of {} exceeds the limit of {max}", bytes(u64::from(*len)))]
    TooLarge {
        /// The declared payload length in bytes.
        len: u32,
        /// The limit in bytes.
        max: u32,
    },
    /// The first bytes of some other protocol, none of which is a legal head.
    #[error("this looks like {protocol}, not a framed client")]
    Foreign {
        /// The protocol they belong to.
        protocol: Foreign,
    },
    /// A control frame that declares a length which no control frame has.
    #[error("control frame of {}: must be 12 to 212", bytes(u64::from(*len)))]
    ControlLength {
        /// The declared length in bytes.
        len: u32,
    },
    /// A control frame of legal length with illegal contents.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The stream ended inside a frame.
    #[error("the stream ended inside a frame: {have} of {needs} bytes")]
    Truncated {
        /// Bytes of the frame that came, head included.
        have: usize,
        /// Bytes known to be needed: 4 until the head is whole, from then on the whole frame.
        needs: usize,
    },
}

/// Looks at the front of `bytes` for one frame with a payload of at most `max` bytes.
///
/// Call it again behind the frame it returned, and with more bytes after
/// [`Parsed::Incomplete`]. It allocates nothing for a data frame, whatever length is declared.
///
/// # Errors
///
/// [`FrameError`] as soon as the head alone shows that no legal frame begins here, and for a
/// control frame with illegal contents once it is whole.
///
/// # Examples
///
/// ```
/// use volley_proto::{MaxFrame, Parsed, parse};
///
/// let bytes = b"\0\0\0\x05hello\0\0";
/// assert_eq!(parse(bytes, MaxFrame::DEFAULT), Ok(Parsed::Data(b"hello")));
/// assert_eq!(parse(&bytes[9..], MaxFrame::DEFAULT), Ok(Parsed::Incomplete { needs: 4 }));
/// ```
#[inline]
pub fn parse(bytes: &[u8], max: MaxFrame) -> Result<Parsed<'_>, FrameError> {
    let Some((head, rest)) = bytes.split_first_chunk::<HEAD_LEN>() else {
        return Ok(Parsed::Incomplete { needs: HEAD_LEN });
    };
    let len = u32::from_be_bytes(*head);
    // One comparison serves for both questions: a control frame's top bit is above every limit.
    if len > max.get() {
        return parse_control_or_fail(*head, rest, max);
    }
    match rest.get(..len as usize) {
        Some(payload) => Ok(Parsed::Data(payload)),
        None => Ok(Parsed::Incomplete { needs: HEAD_LEN + len as usize }),
    }
}

#[cold]
fn parse_control_or_fail(
    head: [u8; HEAD_LEN],
    rest: &[u8],
    max: MaxFrame,
) -> Result<Parsed<'_>, FrameError> {
    let word = u32::from_be_bytes(head);
    let len = word & !CONTROL_BIT;
    let is_control = word & CONTROL_BIT != 0;
    if is_control && control::LENGTHS.contains(&len) {
        let frame_len = HEAD_LEN + len as usize;
        return match rest.get(..len as usize) {
            Some(body) => Ok(Parsed::Control { control: Control::parse(body)?, frame_len }),
            None => Ok(Parsed::Incomplete { needs: frame_len }),
        };
    }
    if let Some(protocol) = Foreign::recognize(head) {
        return Err(FrameError::Foreign { protocol });
    }
    Err(if is_control {
        FrameError::ControlLength { len }
    } else {
        FrameError::TooLarge { len, max: max.get() }
    })
}
