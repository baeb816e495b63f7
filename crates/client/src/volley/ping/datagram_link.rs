//! A UDP socket from which pings fly. There is no connection that could end.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use volley_client::advice::with_hint;
use volley_client::{Datagrams, Error};
use volley_proto::{DatagramReply, ReplyKind};

use super::arrival::{Arrival, LAST_LOOK, NotSent, Took, Unreachable};
use super::event::Loss;
use super::flight::{Flight, Landing};
use super::payload::Payloads;

/// A socket with pings in flight.
#[derive(Debug)]
pub(crate) struct DatagramLink {
    socket: Datagrams,
    payloads: Payloads,
    flight: Flight,
    /// What the system has heard of pings before, which it told when another was sent.
    unreachable: Option<Unreachable>,
    took: Took,
}

impl DatagramLink {
    /// `took` is how long it was until a ping could be sent.
    pub(crate) fn new(socket: Datagrams, payloads: Payloads, took: Took) -> Self {
        let flight = Flight::of_datagrams(socket.reply_kind(), payloads.clone());
        Self { socket, payloads, flight, unreachable: None, took }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.socket.peer_addr()
    }

    pub(crate) const fn reply(&self) -> ReplyKind {
        self.socket.reply_kind()
    }

    pub(crate) const fn took(&self) -> Took {
        self.took
    }

    pub(crate) const fn flight(&self) -> &Flight {
        &self.flight
    }

    pub(crate) const fn flight_mut(&mut self) -> &mut Flight {
        &mut self.flight
    }

    /// Sends ping `seq`.
    pub(crate) async fn send(&mut self, seq: u64) -> Result<(), NotSent> {
        let payload = self.payloads.make(seq);
        DatagramReply::to(&payload, self.reply(), 0)?;
        loop {
            let now = Instant::now();
            match self.socket.send(&payload).await {
                // This was said of those before, and the next attempt sends.
                Err(error @ Error::Connect { .. }) if self.unreachable.is_none() => {
                    self.unreachable = Some(self.give_up(&error));
                }
                sent => {
                    sent?;
                    self.flight.launch(seq, now);
                    return Ok(());
                }
            }
        }
    }

    /// Awaits what comes next.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub(crate) async fn next(&mut self) -> Arrival {
        if let Some(unreachable) = self.unreachable.take() {
            return Arrival::Unreachable(unreachable);
        }
        match self.socket.receive().await {
            Ok(payload) => Arrival::Landing(self.flight.land(payload, Instant::now())),
            Err(error @ Error::Connect { .. }) => Arrival::Unreachable(self.give_up(&error)),
            Err(error) => Arrival::End(with_hint(&error)),
        }
    }

    /// Gives up all pings that have no reply: nobody is there, says the network.
    fn give_up(&mut self, error: &Error) -> Unreachable {
        let pings = self.flight.expire(Instant::now(), Duration::ZERO, Loss::Disconnected);
        Unreachable { pings, why: with_hint(error) }
    }

    /// Looks whether another reply comes after the last one.
    pub(crate) async fn last_look(&mut self) -> Option<Landing> {
        match timeout(LAST_LOOK, self.next()).await {
            Ok(Arrival::Landing(landing)) => Some(landing),
            _ => None,
        }
    }
}
