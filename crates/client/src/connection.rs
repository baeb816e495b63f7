//! Frames in flight: a sending half, a receiving half, and what they know of each other.
//!
//! ```text
//!   Sender  --- bytes --->  server  --- bytes --->  Receiver
//!      '------- each frame, before its bytes -------^
//! ```

use std::convert::Infallible;
use std::future::{Future, pending};
use std::io::{self, Cursor};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Chain};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::codec::FramedRead;
use volley_proto::{
    CodecError, Control, Frame, FrameCodec, FrameError, MaxFrame, Reason, ReplyKind, encode_data,
};

use crate::check::{Reply, Sent};
use crate::connect::Opened;
use crate::deadline::deadline;
use crate::error::{Error, ProtocolError};

/// Bytes that [`Sender::feed`] gathers before it writes.
const GATHER: usize = 64 * 1024;

/// How long a reply too many is looked out for after the last one.
const LAST_LOOK: Duration = Duration::from_millis(50);

/// A connection to a framed server.
#[derive(Debug)]
pub struct Connection {
    sender: Sender,
    receiver: Receiver,
}

/// What server and client have agreed on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) reply: ReplyKind,
    pub(crate) max_frame: MaxFrame,
}

/// The server has asked for no new frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GoAway {
    /// Why.
    pub reason: Reason,
    /// How long until the server closes, from when it said so.
    pub closes_in: Duration,
}

impl Connection {
    pub(crate) fn new(opened: Opened, reply_timeout: Duration) -> Self {
        let Opened { stream, early, reply, max_frame } = opened;
        let terms = Terms { reply, max_frame };
        let (read, write) = stream.into_split();
        let read = Cursor::new(early).chain(read);
        let frames = FramedRead::new(read, FrameCodec::new(MaxFrame::CEILING));
        let (announce, in_flight) = mpsc::unbounded_channel();
        let (goaway_said, goaway) = watch::channel(None);
        let sender = Sender {
            write,
            unsent: BytesMut::new(),
            announce: Some(announce),
            goaway,
            terms,
            seq: 0,
            total: 0,
        };
        let receiver = Receiver {
            frames,
            in_flight,
            awaited: None,
            goaway_said,
            terms,
            reply_timeout,
            waiting_since: None,
            answered: 0,
        };
        Self { sender, receiver }
    }

    /// Sends a frame and awaits its reply. It reads while it writes, so that no frame is too long
    /// for it.
    ///
    /// # Errors
    ///
    /// Those of [`Sender::feed`] and of [`Receiver::receive`].
    ///
    /// # Cancel safety
    ///
    /// The frame is sent all the same, at the latest with the next one. The next request passes
    /// over its reply.
    pub async fn request(&mut self, payload: impl Into<Bytes>) -> Result<Reply, Error> {
        self.sender.enqueue(payload.into())?;
        let seq = self.sender.seq;
        // Never the first to be done: where writing fails or waits for a server that reads
        // nothing, the receiver knows why, or when to give up.
        let write = async {
            let _ = self.sender.flush().await;
            pending::<Infallible>().await
        };
        tokio::select! {
            never = write => match never {},
            reply = self.receiver.receive_from(seq) => reply,
        }
    }

    /// Splits the connection, so that frames can be sent while replies are awaited. Drive both
    /// halves at once, for example with `tokio::join!`: a server that can't get rid of its replies
    /// takes no more frames.
    pub fn split(self) -> (Sender, Receiver) {
        (self.sender, self.receiver)
    }

    /// The kind of reply that frames get.
    pub const fn reply_kind(&self) -> ReplyKind {
        self.sender.terms.reply
    }

    /// The longest payload that can be sent.
    pub const fn max_frame(&self) -> MaxFrame {
        self.sender.terms.max_frame
    }
}

/// The sending half of a [`Connection`].
#[derive(Debug)]
pub struct Sender {
    write: OwnedWriteHalf,
    /// Encoded frames that have not been written yet.
    unsent: BytesMut,
    /// Tells the receiver of each frame before its bytes go out; `None` once finished.
    announce: Option<mpsc::UnboundedSender<InFlight>>,
    goaway: watch::Receiver<Option<GoAway>>,
    terms: Terms,
    seq: u64,
    total: u64,
}

/// A frame whose reply is awaited.
#[derive(Debug)]
struct InFlight {
    sent: Sent,
    sent_at: Instant,
}

impl Sender {
    /// Sends a frame. `feed` is faster for several.
    ///
    /// # Errors
    ///
    /// As [`Sender::feed`].
    ///
    /// # Cancel safety
    ///
    /// The frame is sent, or what is left of it with the next [`flush`](Self::flush).
    pub async fn send(&mut self, payload: impl Into<Bytes>) -> Result<(), Error> {
        self.enqueue(payload.into())?;
        self.flush().await
    }

    /// Takes a frame to be sent together with others, and writes when 64 KiB have gathered. Call
    /// [`flush`](Self::flush) after the last one.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] and [`Error::GoingAway`], after which the frame was not sent and the
    /// connection can still be used; [`Error::Send`].
    ///
    /// # Cancel safety
    ///
    /// As [`send`](Self::send).
    pub async fn feed(&mut self, payload: impl Into<Bytes>) -> Result<(), Error> {
        self.enqueue(payload.into())?;
        if self.unsent.len() >= GATHER {
            self.flush().await?;
        }
        Ok(())
    }

    /// Writes all frames that have been fed.
    ///
    /// # Errors
    ///
    /// [`Error::Send`].
    ///
    /// # Cancel safety
    ///
    /// What has not been written is kept for the next call.
    pub async fn flush(&mut self) -> Result<(), Error> {
        self.write.write_all_buf(&mut self.unsent).await.map_err(|source| Error::Send { source })
    }

    /// Whether frames have been fed and not been written.
    pub fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Writes what has been fed and half-closes: the server answers what it has received, then
    /// closes its side too. [`Receiver::receive`] returns `None` after the last reply.
    ///
    /// # Errors
    ///
    /// [`Error::Send`].
    pub async fn finish(&mut self) -> Result<(), Error> {
        let flushed = self.flush().await;
        self.announce = None;
        flushed?;
        self.write.shutdown().await.map_err(|source| Error::Send { source })
    }

    /// What the server said if it has asked for no new frames.
    pub fn goaway(&self) -> Option<GoAway> {
        *self.goaway.borrow()
    }

    /// Completes when the server asks for no new frames; the [`Receiver`] must be at work to hear it.
    pub fn going_away(&self) -> impl Future<Output = GoAway> + use<> {
        let mut goaway = self.goaway.clone();
        async move {
            let said = goaway.wait_for(Option::is_some).await.ok().and_then(|said| *said);
            match said {
                Some(goaway) => goaway,
                // Without a receiver nobody will ever hear it.
                None => pending().await,
            }
        }
    }

    /// Announces the frame and encodes it.
    fn enqueue(&mut self, payload: Bytes) -> Result<(), Error> {
        let max = self.terms.max_frame.get();
        if payload.len() > max as usize {
            return Err(Error::TooLarge { len: payload.len(), max });
        }
        if let Some(goaway) = self.goaway() {
            return Err(Error::GoingAway { reason: goaway.reason });
        }
        self.unsent.reserve(volley_proto::HEAD_LEN + payload.len());
        encode_data(&payload, &mut self.unsent);
        self.seq += 1;
        self.total += payload.len() as u64;
        let sent = Sent { seq: self.seq, total: self.total, payload };
        if let Some(announce) = &self.announce {
            // Without a receiver nobody awaits the reply.
            let _ = announce.send(InFlight { sent, sent_at: Instant::now() });
        }
        Ok(())
    }
}

/// The receiving half of a [`Connection`].
#[derive(Debug)]
pub struct Receiver {
    /// What came with WELCOME, then what comes from the socket.
    frames: FramedRead<Chain<Cursor<BytesMut>, OwnedReadHalf>, FrameCodec>,
    in_flight: mpsc::UnboundedReceiver<InFlight>,
    /// Taken from `in_flight` and not answered: the oldest.
    awaited: Option<InFlight>,
    goaway_said: watch::Sender<Option<GoAway>>,
    terms: Terms,
    reply_timeout: Duration,
    /// When `receive` was first called for the next reply; a call that was dropped counts.
    waiting_since: Option<Instant>,
    answered: u64,
}

impl Receiver {
    /// Awaits the next reply and checks it. `None` when the [`Sender`] has finished or is gone and
    /// every frame has been answered. Waits without a deadline while nothing is in flight.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`], after which the next reply can be received, and whatever ended the
    /// connection: [`Error::Refused`], [`Error::Closed`], [`Error::Io`], [`Error::TimedOut`],
    /// [`Error::Protocol`].
    ///
    /// # Cancel safety
    ///
    /// No reply is lost.
    pub async fn receive(&mut self) -> Result<Option<Reply>, Error> {
        let waiting_since = *self.waiting_since.get_or_insert_with(Instant::now);
        loop {
            let frame = match &self.awaited {
                Some(oldest) => {
                    let start = oldest.sent_at.max(waiting_since);
                    let deadline = deadline(start, self.reply_timeout);
                    let (seq, after) = (oldest.sent.seq, self.reply_timeout);
                    timeout_at(deadline, self.frames.next())
                        .await
                        .map_err(|_| Error::TimedOut { seq, after })?
                }
                None => {
                    // Both branches are cancel safe.
                    tokio::select! {
                        biased;
                        next = self.in_flight.recv() => match next {
                            Some(next) => {
                                self.awaited = Some(next);
                                continue;
                            }
                            None => return self.look_behind_the_last().await,
                        },
                        frame = self.frames.next() => frame,
                    }
                }
            };
            match frame {
                Some(Ok(Frame::Data(payload))) => return self.take(payload).map(Some),
                Some(Ok(Frame::Control(control))) => self.obey(control)?,
                // A connection that is lost within a reply is lost.
                None | Some(Err(CodecError::Frame(FrameError::Truncated { .. }))) => {
                    return Err(self.closed());
                }
                Some(Err(CodecError::Frame(error))) => {
                    return Err(ProtocolError::from(error).into());
                }
                Some(Err(error)) => {
                    let source = match error {
                        CodecError::Io(source) => source,
                        error => io::Error::other(error),
                    };
                    let (answered, outstanding) = (self.answered, self.outstanding());
                    return Err(Error::Io { answered, outstanding, source });
                }
            }
        }
    }

    /// After the last reply nothing may come but the server's close, which follows ours at once. A
    /// server that does not close is not waited for.
    async fn look_behind_the_last(&mut self) -> Result<Option<Reply>, Error> {
        match timeout(LAST_LOOK, self.frames.next()).await {
            Ok(Some(Ok(Frame::Data(payload)))) => {
                Err(ProtocolError::Unasked { len: payload.len() }.into())
            }
            _ => Ok(None),
        }
    }

    /// Awaits the reply to frame `seq` of a sender that is still there, past those to requests
    /// that were dropped.
    async fn receive_from(&mut self, seq: u64) -> Result<Reply, Error> {
        loop {
            match self.receive().await? {
                Some(reply) if reply.seq < seq => {}
                Some(reply) => return Ok(reply),
                None => return Err(self.closed()),
            }
        }
    }

    /// How many frames have been sent, or are about to be, and not been answered.
    pub fn outstanding(&self) -> u64 {
        (usize::from(self.awaited.is_some()) + self.in_flight.len()) as u64
    }

    /// What the server said if it has asked for no new frames.
    pub fn goaway(&self) -> Option<GoAway> {
        *self.goaway_said.borrow()
    }

    fn closed(&self) -> Error {
        Error::Closed { answered: self.answered, outstanding: self.outstanding() }
    }

    /// Matches a reply with the oldest frame in flight.
    fn take(&mut self, payload: Bytes) -> Result<Reply, Error> {
        // The frame was announced before its bytes went out, perhaps just now.
        let oldest = self.awaited.take().or_else(|| self.in_flight.try_recv().ok());
        let Some(InFlight { sent, sent_at }) = oldest else {
            return Err(ProtocolError::Unasked { len: payload.len() }.into());
        };
        self.answered += 1;
        self.waiting_since = None;
        let rtt = sent_at.elapsed();
        let receipt = sent.check(self.terms.reply, &payload)?;
        Ok(Reply { seq: sent.seq, sent_len: sent.payload.len(), payload, receipt, rtt })
    }

    fn obey(&self, control: Control) -> Result<(), Error> {
        match control {
            Control::Error { reason, last_seq, text } => {
                Err(Error::Refused { reason, last_seq, text: text.to_string() })
            }
            Control::GoAway { reason, closes_in, .. } => {
                // A second one changes nothing.
                self.goaway_said.send_if_modified(|said| {
                    let is_first = said.is_none();
                    said.get_or_insert(GoAway { reason, closes_in });
                    is_first
                });
                Ok(())
            }
            Control::Hello { .. } | Control::Welcome { .. } => {
                Err(ProtocolError::Control(control.name()).into())
            }
        }
    }
}
