//! The receiving half of a connection: every reply matched with its frame.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};
use volley_proto::{Control, Parsed};

use crate::check::{Arrival, Reply};
use crate::deadline::deadline;
use crate::error::{Error, Part, ProtocolError};
use crate::framing::Framing;
use crate::inbox::Inbox;
use crate::options::Options;
use crate::sender::InFlight;
use crate::tap::{Direction, Passing, Tap};
use crate::terms::{GoAway, Terms};

/// How long a reply too many is looked out for after the last one.
const LAST_LOOK: Duration = Duration::from_millis(50);

/// The receiving half of a [`Connection`](crate::Connection).
#[derive(Debug)]
pub struct Receiver {
    inbox: Inbox,
    in_flight: mpsc::UnboundedReceiver<InFlight>,
    /// Taken from `in_flight` and not answered: the oldest.
    awaited: Option<InFlight>,
    goaway_said: watch::Sender<Option<GoAway>>,
    framing: Framing,
    terms: Terms,
    reply_timeout: Duration,
    /// When `receive` was first called for the next reply; a call that was dropped counts.
    waiting_since: Option<Instant>,
    answered: u64,
    tap: Option<Arc<dyn Tap>>,
}

impl Receiver {
    /// A half that hears of its frames from the sending one and tells it of GOAWAY.
    pub(crate) fn new(
        inbox: Inbox,
        in_flight: mpsc::UnboundedReceiver<InFlight>,
        goaway_said: watch::Sender<Option<GoAway>>,
        terms: Terms,
        options: &Options,
    ) -> Self {
        Self {
            inbox,
            in_flight,
            awaited: None,
            goaway_said,
            framing: options.framing,
            terms,
            reply_timeout: options.reply_timeout,
            waiting_since: None,
            answered: 0,
            tap: options.tap.clone(),
        }
    }

    /// Awaits the next reply and checks it. `None` when the [`Sender`](crate::Sender) has finished
    /// or is gone and every frame has been answered. Waits without a deadline while nothing is in
    /// flight.
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
        match self.receive_unchecked().await? {
            Some(arrival) => Ok(Some(arrival.check()?)),
            None => Ok(None),
        }
    }

    /// Awaits the next reply as [`receive`](Self::receive) does, and leaves it to the caller to
    /// check it: for servers that answer something else than echoes and receipts.
    ///
    /// # Errors
    ///
    /// As [`receive`](Self::receive), but for [`Error::Mismatch`].
    ///
    /// # Cancel safety
    ///
    /// No reply is lost.
    pub async fn receive_unchecked(&mut self) -> Result<Option<Arrival>, Error> {
        let waiting_since = *self.waiting_since.get_or_insert_with(Instant::now);
        loop {
            let due = self.due();
            match self.inbox.front(due).map_err(ProtocolError::from)? {
                Parsed::Data(payload) => {
                    let len = payload.len();
                    return self.take(len).map(Some);
                }
                Parsed::Control { control, frame_len } => {
                    self.inbox.take(frame_len);
                    self.obey(control)?;
                    continue;
                }
                Parsed::Incomplete { .. } => {}
            }
            let read = match &self.awaited {
                Some(oldest) => {
                    let start = oldest.sent_at.max(waiting_since);
                    let deadline = deadline(start, self.reply_timeout);
                    let (seq, after) = (oldest.sent.seq, self.reply_timeout);
                    let Ok(read) = timeout_at(deadline, self.inbox.read()).await else {
                        return Err(Error::TimedOut { seq, after, part: self.part() });
                    };
                    read
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
                        read = self.inbox.read() => read,
                    }
                }
            };
            self.note(read)?;
        }
    }

    /// How long the next reply is if nothing but the frame tells.
    fn due(&mut self) -> Option<usize> {
        if self.framing == Framing::Frames {
            return None;
        }
        // The frame was announced before its bytes went out, perhaps just now.
        self.awaited = self.awaited.take().or_else(|| self.in_flight.try_recv().ok());
        self.awaited.as_ref().map(|oldest| oldest.sent.payload.len())
    }

    /// After the last reply nothing may come but the server's close, which follows ours at once. A
    /// server that does not close is not waited for.
    async fn look_behind_the_last(&mut self) -> Result<Option<Arrival>, Error> {
        let look = async {
            while let Ok(Parsed::Incomplete { .. }) = self.inbox.front(None) {
                let read = self.inbox.read().await;
                self.note(read).ok()?;
            }
            match self.inbox.front(None) {
                Ok(Parsed::Data(payload)) => Some(payload.len()),
                _ => None,
            }
        };
        match timeout(LAST_LOOK, look).await {
            Ok(Some(len)) => self.take(len).map(Some),
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
        let (answered, outstanding) = (self.answered, self.outstanding());
        Error::Closed { answered, outstanding, part: self.part() }
    }

    /// What has come of a reply that is not whole.
    fn part(&self) -> Option<Part> {
        let due = self.awaited.as_ref().map(|oldest| oldest.sent.payload.len());
        match self.inbox.front(due) {
            Ok(Parsed::Incomplete { needs }) => self.inbox.part(needs),
            _ => None,
        }
    }

    /// What a read means that has come back.
    fn note(&self, read: io::Result<usize>) -> Result<(), Error> {
        match read {
            // A connection that is lost within a reply is lost.
            Ok(0) => {
                self.show(Passing::End);
                Err(self.closed())
            }
            Ok(_) => Ok(()),
            Err(source) => {
                let (answered, outstanding) = (self.answered, self.outstanding());
                Err(Error::Io { answered, outstanding, source })
            }
        }
    }

    /// Matches the reply at the front, of `len` bytes, with the oldest frame in flight.
    fn take(&mut self, len: usize) -> Result<Arrival, Error> {
        let received = self.inbox.payload(len);
        self.show(Passing::Data { seq: self.answered + 1, payload: received });
        // The frame was announced before its bytes went out, perhaps just now.
        let oldest = self.awaited.take().or_else(|| self.in_flight.try_recv().ok());
        let Some(InFlight { sent, sent_at }) = oldest else {
            return Err(ProtocolError::Unasked { len }.into());
        };
        let arrival = Arrival::new(sent, received, self.terms.reply, sent_at.elapsed());
        self.inbox.take_data(len);
        self.answered += 1;
        self.waiting_since = None;
        Ok(arrival)
    }

    fn obey(&self, control: Control) -> Result<(), Error> {
        self.show(Passing::Control(&control));
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

    fn show(&self, passing: Passing<'_>) {
        if let Some(tap) = &self.tap {
            tap.pass(Direction::In, passing);
        }
    }
}
