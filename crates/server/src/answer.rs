//! From received bytes to the bytes of their replies. Nothing here waits, reads or writes.

use std::panic::{AssertUnwindSafe, catch_unwind};

use volley_proto::{
    Control, FrameError, HEAD_LEN, MaxFrame, Parsed, Reason, ReplyKind, Text, parse,
};

use crate::deadlines::OverdueError;
use crate::framing::{Cut, Framed};
use crate::responder::{Clock, Request, Responder, Slot};
use crate::scratch::WRITE_LEN;

/// The replies to the frames at the front of `input`, gathered to be written at once.
///
/// An echo's reply is its request, byte for byte. So as long as all replies are echoes nothing is
/// copied: they are the front of the input itself. With the first reply of another kind
/// everything moves to `gathered`.
#[derive(Debug)]
pub(crate) struct Batch<'a> {
    input: &'a [u8],
    /// The replies are `input[..echoed]`, unless something has been gathered.
    echoed: usize,
    gathered: &'a mut Vec<u8>,
}

impl<'a> Batch<'a> {
    /// # Panics
    ///
    /// In debug builds, if `gathered` is not empty.
    pub(crate) fn new(input: &'a [u8], gathered: &'a mut Vec<u8>) -> Self {
        debug_assert!(gathered.is_empty());
        Self { input, echoed: 0, gathered }
    }

    /// Replies to the frame `input[start..end]` with itself.
    #[inline]
    pub(crate) fn echo(&mut self, start: usize, end: usize) {
        if self.gathered.is_empty() {
            // Nothing has been gathered, so every frame before this one was echoed too.
            debug_assert_eq!(self.echoed, start);
            self.echoed = end;
        } else {
            self.gathered.extend_from_slice(&self.input[start..end]);
        }
    }

    /// Where a reply is appended that is not the request itself.
    #[inline]
    pub(crate) fn gathered(&mut self) -> &mut Vec<u8> {
        if self.gathered.is_empty() && self.echoed > 0 {
            self.gathered.extend_from_slice(&self.input[..self.echoed]);
        }
        self.gathered
    }

    /// The replies, if they are not what has been gathered.
    const fn echoed(&self) -> usize {
        self.echoed
    }
}

/// What one connection has received and been granted so far: the part of its state that answering
/// changes.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Data frames received whole; each has been answered, though not each answer written.
    pub(crate) frames: u64,
    /// Their payload bytes.
    pub(crate) bytes: u64,
    /// The peer has said HELLO.
    pub(crate) greeted: bool,
    /// What it called itself, if it has said so just now.
    pub(crate) hello: Option<Box<str>>,
}

/// Why answering stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    /// What is left of the input is no whole frame.
    Incomplete,
    /// Enough replies have been gathered: write them, then go on.
    Full,
    /// The peer broke the rules. The last reply is the ERROR that says so, and the connection
    /// ends with it.
    Fault(FaultError),
}

/// Why a connection ends before its peer wants it to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FaultError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("HELLO after the first frame")]
    LateHello,
    #[error("{0} from a client: only HELLO may come from one")]
    ServerOnly(&'static str),
    #[error("the server failed to answer this frame")]
    Panicked,
    /// The alert has told the peer.
    #[error("the client broke the rules of TLS: {0}")]
    BrokenTls(String),
    #[error(transparent)]
    Overdue(OverdueError),
    #[error("the server keeps {held} bytes for all its clients already, of {max}")]
    OutOfMemory { held: u64, max: u64 },
}

impl FaultError {
    /// Appends the ERROR that tells the peer.
    pub(crate) fn encode(&self, last_seq: u64, replies: &mut Vec<u8>) {
        let text = Text::new(self.to_string());
        Control::Error { reason: self.reason(), last_seq, text }.encode(replies);
    }

    pub(crate) const fn reason(&self) -> Reason {
        match self {
            Self::Frame(FrameError::TooLarge { .. }) => Reason::TooLarge,
            Self::Panicked => Reason::Internal,
            Self::OutOfMemory { .. } => Reason::OutOfMemory,
            Self::Overdue(overdue) => overdue.reason(),
            _ => Reason::Protocol,
        }
    }
}

/// What [`answer`] did.
#[derive(Debug)]
pub(crate) struct Answered {
    /// Bytes of input that are done with.
    pub(crate) consumed: usize,
    /// The replies are this many bytes of the input's front, if nothing has been gathered.
    pub(crate) echoed: usize,
    pub(crate) stop: Stop,
}

/// Answers the whole frames at the front of `input`. The replies are in `gathered`, which must be
/// empty before, or else the first [`Answered::echoed`] bytes of the input. A responder that
/// panics ends its own connection, as a fault of ours.
pub(crate) fn answer<R: Responder>(
    input: &[u8],
    max_frame: MaxFrame,
    progress: &mut Progress,
    responder: &mut R,
    gathered: &mut Vec<u8>,
) -> Answered {
    let mut batch = Batch::new(input, gathered);
    let answered_before = progress.frames;
    let frames = || answer_frames(&mut batch, max_frame, progress, responder);
    let (consumed, stop) = catch_unwind(AssertUnwindSafe(frames)).unwrap_or_else(|_panic| {
        // Without a frame it was the greeting that failed.
        let last_seq = progress.frames.saturating_sub(1);
        let replies = batch.gathered();
        cut(replies, last_seq - answered_before);
        (input.len(), refuse(FaultError::Panicked, last_seq, replies))
    });
    Answered { consumed, echoed: batch.echoed(), stop }
}

/// Returns how many bytes of the batch's input are done with, and why it stopped there.
fn answer_frames<R: Responder>(
    batch: &mut Batch<'_>,
    max_frame: MaxFrame,
    progress: &mut Progress,
    responder: &mut R,
) -> (usize, Stop) {
    let clock = Clock::default();
    let input = batch.input;
    let mut at = 0;
    let stop = loop {
        match parse(&input[at..], max_frame) {
            Ok(Parsed::Data(payload)) => {
                let end = at + HEAD_LEN + payload.len();
                progress.frames += 1;
                progress.bytes += payload.len() as u64;
                let request =
                    Request { payload, seq: progress.frames, total: progress.bytes, clock: &clock };
                let slot = Slot { batch, frame_start: at, frame_end: end };
                let _ = responder.respond(&request, slot);
                at = end;
                if batch.gathered.len() >= WRITE_LEN {
                    break Stop::Full;
                }
            }
            Ok(Parsed::Incomplete { .. }) => break Stop::Incomplete,
            Ok(Parsed::Control { control, frame_len }) => {
                match greet(control, progress, responder) {
                    Ok(granted) => welcome(granted, max_frame, batch.gathered()),
                    Err(fault) => break refuse(fault, progress.frames, batch.gathered()),
                }
                at += frame_len;
            }
            Err(error) => break refuse(error.into(), progress.frames, batch.gathered()),
        }
    };
    (at, stop)
}

/// Takes a control frame: HELLO, and only as the very first frame.
#[cold]
fn greet<R: Responder>(
    control: Control,
    progress: &mut Progress,
    responder: &mut R,
) -> Result<ReplyKind, FaultError> {
    let Control::Hello { wanted, name } = control else {
        return Err(FaultError::ServerOnly(control.name()));
    };
    if progress.greeted || progress.frames > 0 {
        return Err(FaultError::LateHello);
    }
    progress.greeted = true;
    progress.hello = Some((&*name).into());
    Ok(responder.grant(wanted))
}

fn welcome(granted: ReplyKind, max_frame: MaxFrame, replies: &mut Vec<u8>) {
    Control::Welcome { granted, max_frame, text: Text::default() }.encode(replies);
}

/// Leaves the first `data_frames` replies and what greets before them: a responder that panics may
/// have begun another.
#[cold]
fn cut(replies: &mut Vec<u8>, mut data_frames: u64) {
    let mut at = 0;
    while let Some(end) = Framed::frame_end(replies, at) {
        let is_data = Framed::is_data(replies, at);
        if is_data && data_frames == 0 {
            break;
        }
        data_frames -= u64::from(is_data);
        at = end;
    }
    replies.truncate(at);
}

#[cold]
fn refuse(fault: FaultError, last_seq: u64, replies: &mut Vec<u8>) -> Stop {
    fault.encode(last_seq, replies);
    Stop::Fault(fault)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ack, Echo, Negotiated, Replied};

    fn frames(payloads: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        payloads.iter().for_each(|payload| volley_proto::encode_data(payload, &mut bytes));
        bytes
    }

    fn run(input: &[u8], responder: &mut impl Responder) -> (Vec<u8>, Answered, Progress) {
        let (mut progress, mut gathered) = (Progress::default(), Vec::new());
        let done = answer(input, MaxFrame::DEFAULT, &mut progress, responder, &mut gathered);
        let replies = if gathered.is_empty() { input[..done.echoed].to_vec() } else { gathered };
        (replies, done, progress)
    }

    #[test]
    fn an_echo_is_the_input_itself() {
        let mut input = frames(&[b"a", b"", b"bc"]);
        let whole = input.len();
        input.extend_from_slice(b"\0\0\0\x09frag");
        let mut gathered = Vec::new();
        let mut progress = Progress::default();
        let done = answer(&input, MaxFrame::DEFAULT, &mut progress, &mut Echo, &mut gathered);
        assert_eq!((done.consumed, done.echoed), (whole, whole));
        assert!(gathered.is_empty() && matches!(done.stop, Stop::Incomplete));
        assert_eq!((progress.frames, progress.bytes), (3, 3));
    }

    #[test]
    fn replies_keep_their_order_when_echoes_and_others_are_mixed() {
        #[derive(Clone)]
        struct EvenOnesLoud;
        impl Responder for EvenOnesLoud {
            fn respond(&mut self, request: &Request<'_>, slot: Slot<'_, '_>) -> Replied {
                if request.seq().is_multiple_of(2) {
                    slot.send(&request.payload().to_ascii_uppercase())
                } else {
                    slot.echo()
                }
            }
        }
        let input = frames(&[b"a", b"b", b"c", b"d", b"e"]);
        let (replies, done, _) = run(&input, &mut EvenOnesLoud);
        assert_eq!(replies, frames(&[b"a", b"B", b"c", b"D", b"e"]));
        assert_eq!(done.consumed, input.len());
    }

    #[test]
    fn welcome_precedes_every_reply() {
        let mut input = Vec::new();
        Control::Hello { wanted: None, name: Text::default() }.encode(&mut input);
        input.extend(frames(&[b"a", b"b"]));
        let (replies, _, progress) = run(&input, &mut Negotiated::new(ReplyKind::Echo));
        let mut expected = Vec::new();
        welcome(ReplyKind::Echo, MaxFrame::DEFAULT, &mut expected);
        expected.extend(frames(&[b"a", b"b"]));
        assert_eq!(replies, expected);
        assert_eq!(progress.hello.as_deref(), Some(""));
    }

    #[test]
    fn an_error_comes_after_the_replies_before_it_and_counts_them() {
        let mut input = frames(&[b"a", b"b"]);
        input.extend_from_slice(&[0x7f, 0xff, 0xff, 0xff]);
        let (replies, done, _) = run(&input, &mut Echo);
        assert!(matches!(done.stop, Stop::Fault(FaultError::Frame(FrameError::TooLarge { .. }))));
        let text = "frame of 2147483647 bytes exceeds the limit of 1048576";
        let mut expected = frames(&[b"a", b"b"]);
        Control::Error { reason: Reason::TooLarge, last_seq: 2, text: Text::new(text) }
            .encode(&mut expected);
        assert_eq!(replies, expected);
    }

    #[test]
    fn gathering_stops_when_enough_has_been_gathered() {
        let input = frames(&[b"".as_slice(); 100_000]);
        let (replies, done, progress) = run(&input, &mut Ack);
        assert!(matches!(done.stop, Stop::Full));
        assert!((WRITE_LEN..WRITE_LEN + 36).contains(&replies.len()), "{}", replies.len());
        assert_eq!(done.consumed as u64, 4 * progress.frames);
    }
}
