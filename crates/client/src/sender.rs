//! The sending half of a connection: frames out, each announced to the receiving half.

use std::future::{Future, pending};
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::check::Sent;
use crate::error::Error;
use crate::options::Options;
use crate::stream::WriteHalf;
use crate::tap::{Direction, Passing, Tap};
use crate::terms::{GoAway, Terms};
use crate::unsent::Unsent;

/// Bytes that [`Sender::feed`] gathers before it writes. Each write wakes the peer.
const GATHER: usize = 256 << 10;

/// The sending half of a [`Connection`](crate::Connection).
#[derive(Debug)]
pub struct Sender {
    write: WriteHalf,
    /// Frames that have not been written yet.
    unsent: Unsent,
    /// Whether what has been written may be kept back, as TLS does.
    is_unflushed: bool,
    /// Tells the receiver of each frame before its bytes go out; `None` once finished.
    announce: Option<mpsc::UnboundedSender<InFlight>>,
    goaway: watch::Receiver<Option<GoAway>>,
    terms: Terms,
    seq: u64,
    total: u64,
    tap: Option<Arc<dyn Tap>>,
}

/// A frame whose reply is awaited.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) sent: Sent,
    pub(crate) sent_at: Instant,
}

impl Sender {
    /// A half that announces its frames to the receiving one and hears of GOAWAY from it.
    pub(crate) fn new(
        write: WriteHalf,
        announce: mpsc::UnboundedSender<InFlight>,
        goaway: watch::Receiver<Option<GoAway>>,
        terms: Terms,
        options: &Options,
    ) -> Self {
        Self {
            write,
            unsent: Unsent::new(options.framing),
            is_unflushed: false,
            announce: Some(announce),
            goaway,
            terms,
            seq: 0,
            total: 0,
            tap: options.tap.clone(),
        }
    }

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

    /// Takes a frame to be sent together with others, and writes when 256 KiB have gathered. Call
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
        let failed = |source| Error::Send { source };
        self.is_unflushed |= !self.unsent.is_empty();
        self.write.write_all_buf(self.unsent.pieces()).await.map_err(failed)?;
        self.write.flush().await.map_err(failed)?;
        self.is_unflushed = false;
        Ok(())
    }

    /// Whether frames have been fed and not been written.
    pub fn has_unsent(&self) -> bool {
        !self.unsent.is_empty() || self.is_unflushed
    }

    /// Writes what has been fed and half-closes: the server answers what it has received, then
    /// closes its side too. [`Receiver::receive`](crate::Receiver::receive) returns `None` after the last reply.
    ///
    /// # Errors
    ///
    /// [`Error::Send`].
    pub async fn finish(&mut self) -> Result<(), Error> {
        let flushed = self.flush().await;
        self.announce = None;
        flushed?;
        self.show(Passing::End);
        self.write.shutdown().await.map_err(|source| Error::Send { source })
    }

    /// What the server said if it has asked for no new frames.
    pub fn goaway(&self) -> Option<GoAway> {
        *self.goaway.borrow()
    }

    /// Completes when the server asks for no new frames; the
    /// [`Receiver`](crate::Receiver) must be at work to hear it.
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

    /// The number of the last frame that was taken to be sent.
    pub(crate) const fn seq(&self) -> u64 {
        self.seq
    }

    pub(crate) const fn stream(&self) -> &WriteHalf {
        &self.write
    }

    /// What was agreed on.
    pub(crate) const fn terms(&self) -> Terms {
        self.terms
    }

    /// Announces the frame and encodes it.
    pub(crate) fn enqueue(&mut self, payload: Bytes) -> Result<(), Error> {
        let max = self.terms.max_frame.get();
        if payload.len() > max as usize {
            return Err(Error::TooLarge { len: payload.len(), max });
        }
        if let Some(goaway) = self.goaway() {
            return Err(Error::GoingAway { reason: goaway.reason });
        }
        self.unsent.push(&payload);
        self.seq += 1;
        self.total += payload.len() as u64;
        self.show(Passing::Data { seq: self.seq, payload: &payload });
        let sent = Sent { seq: self.seq, total: self.total, payload };
        if let Some(announce) = &self.announce {
            // Without a receiver nobody awaits the reply.
            let _ = announce.send(InFlight { sent, sent_at: Instant::now() });
        }
        Ok(())
    }

    fn show(&self, passing: Passing<'_>) {
        if let Some(tap) = &self.tap {
            tap.pass(Direction::Out, passing);
        }
    }
}
