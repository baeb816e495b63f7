//! How a connection's bytes are cut into what is answered. A framing is a type for which
//! connections are compiled: none asks per frame which one it is.

use volley_proto::{HEAD_LEN, MaxFrame, Parsed, parse};

use crate::Responder;
use crate::answer::{Answered, Progress, Stop, answer};

/// How the bytes of a listener's connections are cut: [`Framed`] or [`Raw`].
#[expect(private_bounds, reason = "no other crate can bring a framing of its own yet")]
pub trait Framing: Cut {}

impl Framing for Framed {}

impl Framing for Raw {}

/// Frames behind their length, as docs/PROTOCOL.md has them. Each gets one reply.
#[derive(Clone, Copy, Debug)]
pub enum Framed {}

/// No frames: what comes in goes back (RFC 862). In the books each read counts as a frame.
///
/// There are no control frames either, so no peer is told why its connection ends.
#[derive(Clone, Copy, Debug)]
pub enum Raw {}

/// What a connection asks of a framing.
pub(crate) trait Cut: std::fmt::Debug + Send + Sync + 'static {
    /// Whether a peer can be told anything beside replies.
    const HAS_CONTROL: bool;

    /// How many bytes there must be, those in `kept` included, before something can be answered;
    /// `None` if it can now.
    fn needs(kept: &[u8], max_frame: MaxFrame) -> Option<usize>;

    /// Answers what stands at the front of `input`, as [`answer`] does.
    fn answer<R: Responder>(
        input: &[u8],
        max_frame: MaxFrame,
        progress: &mut Progress,
        responder: &mut R,
        gathered: &mut Vec<u8>,
    ) -> Answered;

    /// Where the frame that begins at `start` ends, if there is one; it may end behind `frames`.
    fn frame_end(frames: &[u8], start: usize) -> Option<usize>;

    /// Whether the frame that begins at `start` is a data frame and no control frame.
    fn is_data(frames: &[u8], start: usize) -> bool;
}

impl Cut for Framed {
    const HAS_CONTROL: bool = true;

    #[inline]
    fn needs(kept: &[u8], max_frame: MaxFrame) -> Option<usize> {
        match parse(kept, max_frame) {
            Ok(Parsed::Incomplete { needs }) => Some(needs),
            _ => None,
        }
    }

    #[inline]
    fn answer<R: Responder>(
        input: &[u8],
        max_frame: MaxFrame,
        progress: &mut Progress,
        responder: &mut R,
        gathered: &mut Vec<u8>,
    ) -> Answered {
        answer(input, max_frame, progress, responder, gathered)
    }

    fn frame_end(frames: &[u8], start: usize) -> Option<usize> {
        let head: [u8; HEAD_LEN] = *frames.get(start..)?.first_chunk()?;
        let len = u32::from_be_bytes(head) & (u32::MAX >> 1);
        Some(start + HEAD_LEN + len as usize)
    }

    fn is_data(frames: &[u8], start: usize) -> bool {
        frames[start] & 0x80 == 0
    }
}

impl Cut for Raw {
    const HAS_CONTROL: bool = false;

    #[inline]
    fn needs(kept: &[u8], _: MaxFrame) -> Option<usize> {
        // Whatever is kept was not written yet, and could be answered.
        kept.is_empty().then_some(1)
    }

    /// The input is its own reply.
    #[inline]
    fn answer<R: Responder>(
        input: &[u8],
        _: MaxFrame,
        progress: &mut Progress,
        _: &mut R,
        _: &mut Vec<u8>,
    ) -> Answered {
        progress.frames += 1;
        progress.bytes += input.len() as u64;
        Answered { consumed: input.len(), echoed: input.len(), stop: Stop::Incomplete }
    }

    /// What one read brought in is never cut.
    fn frame_end(frames: &[u8], start: usize) -> Option<usize> {
        (start < frames.len()).then_some(frames.len())
    }

    fn is_data(_: &[u8], _: usize) -> bool {
        true
    }
}
