//! What is told of a way on which pings fly, be it a connection or datagrams: how long it took to have
//! it, what arrives on it, and why a ping could not be sent.

use std::time::Duration;

use volley_client::{Error, Handshake};
use volley_proto::{NoReply, Reason};

use super::flight::Landing;

/// How long a reply too many is looked out for after the last one, at a server that does not close
/// when the client does.
pub(crate) const LAST_LOOK: Duration = Duration::from_millis(50);

/// How long it was until a ping could be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Took {
    /// All but the TLS handshake.
    pub(crate) connect: Duration,
    /// The TLS handshake, if there was one.
    pub(crate) handshake: Option<Duration>,
}

impl Took {
    /// Parts what it took in all.
    pub(crate) fn new(all: Duration, handshake: Option<Handshake>) -> Self {
        let handshake = handshake.map(|handshake| handshake.took);
        Self { connect: all.saturating_sub(handshake.unwrap_or_default()), handshake }
    }
}

/// What a server has done.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// It has sent a reply.
    Landing(Landing),
    /// It takes no new frames.
    GoingAway(Reason),
    /// Nobody is there, says the network.
    Unreachable(Unreachable),
    /// The connection is over, and this is why.
    End(String),
}

/// Pings that get no reply, as far as the network knows.
#[derive(Debug)]
pub(crate) struct Unreachable {
    pub(crate) pings: Vec<u64>,
    pub(crate) why: String,
}

/// Why a ping could not be sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotSent {
    #[error("the server takes no new frames")]
    GoingAway,
    #[error("the server does not read: the ping before is still being written")]
    Stuck,
    #[error("{} (try a smaller --size)", Error::TooLarge { len: *.len, max: *.max })]
    TooLarge { len: usize, max: u32 },
    #[error("it would get no reply: {0}")]
    NoReply(#[from] NoReply),
    #[error(transparent)]
    Datagram(#[from] Error),
}
