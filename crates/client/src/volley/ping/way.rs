//! On what pings fly: a connection, or datagrams.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;
use volley_proto::ReplyKind;

use super::arrival::{Arrival, NotSent, Took};
use super::datagram_link::DatagramLink;
use super::event::Loss;
use super::flight::{Flight, Landing};
use super::link::Link;

/// A way to a target, with pings in flight.
#[derive(Debug)]
pub(crate) enum Way {
    Stream(Box<Link>),
    Datagrams(Box<DatagramLink>),
}

impl Way {
    /// The server's address and port, if it has them.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Stream(link) => link.address(),
            Self::Datagrams(link) => Some(link.address()),
        }
    }

    /// The kind of reply that comes.
    pub(crate) const fn reply(&self) -> ReplyKind {
        match self {
            Self::Stream(link) => link.reply(),
            Self::Datagrams(link) => link.reply(),
        }
    }

    /// How long it was until a ping could be sent.
    pub(crate) const fn took(&self) -> Took {
        match self {
            Self::Stream(link) => link.took(),
            Self::Datagrams(link) => link.took(),
        }
    }

    /// The pings whose replies may come.
    pub(crate) const fn flight(&self) -> &Flight {
        match self {
            Self::Stream(link) => link.flight(),
            Self::Datagrams(link) => link.flight(),
        }
    }

    /// Gives up the pings that have waited for `longest`, and returns their numbers.
    pub(crate) fn expire(&mut self, longest: Duration) -> Vec<u64> {
        match self {
            Self::Stream(link) => link.expire(longest),
            Self::Datagrams(link) => {
                link.flight_mut().expire(Instant::now(), longest, Loss::NoReply)
            }
        }
    }

    /// Whether the server has asked for no new frames.
    pub(crate) const fn is_going_away(&self) -> bool {
        match self {
            Self::Stream(link) => link.is_going_away(),
            Self::Datagrams(_) => false,
        }
    }

    /// Sends ping `seq`; waits for nobody.
    pub(crate) async fn send(&mut self, seq: u64) -> Result<(), NotSent> {
        match self {
            Self::Stream(link) => link.send(seq),
            Self::Datagrams(link) => link.send(seq).await,
        }
    }

    /// Awaits what the server does next. After [`Arrival::End`] the way is of no more use.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub(crate) async fn next(&mut self) -> Arrival {
        match self {
            Self::Stream(link) => link.next().await,
            Self::Datagrams(link) => link.next().await,
        }
    }

    /// Looks after the last reply whether another one comes all the same. `None` once none will.
    pub(crate) async fn last_look(&mut self) -> Option<Landing> {
        match self {
            Self::Stream(link) => link.last_look().await,
            Self::Datagrams(link) => link.last_look().await,
        }
    }
}
