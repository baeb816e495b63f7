//! The receiving half of a connection: every reply matched with its frame.

use std::io::{self, Cursor};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, Chain};
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::codec::FramedRead;
use volley_proto::{CodecError, Control, Frame, FrameCodec, FrameError, MaxFrame};

use crate::check::Reply;
use crate::connection::{GoAway, Terms};
use crate::deadline::deadline;
use crate::error::{Error, ProtocolError};
use crate::sender::InFlight;

/// How long a reply too many is looked out for after the last one.
const LAST_LOOK: Duration = Duration::from_millis(50);

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
    /// A half that first reads what came `early`, behind WELCOME.
    pub(crate) fn new(
        early: BytesMut,
        read: OwnedReadHalf,
        in_flight: mpsc::UnboundedReceiver<InFlight>,
        goaway_said: watch::Sender<Option<GoAway>>,
        terms: Terms,
        reply_timeout: Duration,
    ) -> Self {
        let read = Cursor::new(early).chain(read);
        Self {
            frames: FramedRead::new(read, FrameCodec::new(MaxFrame::CEILING)),
            in_flight,
            awaited: None,
            goaway_said,
            terms,
            reply_timeout,
            waiting_since: None,
            answered: 0,
        }
    }

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
    pub(crate) async fn receive_from(&mut self, seq: u64) -> Result<Reply, Error> {
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
