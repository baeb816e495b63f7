//! What can go wrong between a frame and its reply, told apart.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use volley_proto::{Address, Endpoint, Foreign, FrameError, Reason};

use crate::{Mismatch, TlsFault, TlsSetupError};

/// Why there is no connection, or no good reply.
///
/// After [`Error::Mismatch`], [`Error::TooLarge`] and [`Error::GoingAway`] the connection can
/// still be used; after any other it is over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The endpoint's name has no address.
    #[error("cannot resolve {endpoint}: {source}")]
    Resolve {
        /// Where to connect.
        endpoint: Endpoint,
        /// What the resolver said.
        source: io::Error,
    },
    /// Nobody accepted the connection.
    #[error("cannot connect to {}: {source}", place(endpoint, *address))]
    Connect {
        /// Where to connect.
        endpoint: Endpoint,
        /// The last address that was tried; a Unix socket has none.
        address: Option<SocketAddr>,
        /// What the system said.
        source: io::Error,
    },
    /// [`Options::local`] cannot be connected from: mostly it is no address of this machine.
    ///
    /// [`Options::local`]: crate::Options::local
    #[error("cannot connect from {local}: {source}")]
    Bind {
        /// The address to connect from.
        local: IpAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The endpoint has no address of the family of [`Options::local`].
    ///
    /// [`Options::local`]: crate::Options::local
    #[error("cannot connect to {endpoint}{}: it has no {} address", source(*local), family(*local))]
    Family {
        /// Where to connect.
        endpoint: Endpoint,
        /// The address to connect from.
        local: IpAddr,
    },
    /// The endpoint's transport is not one that this version speaks.
    #[error("cannot connect to {endpoint}: the transport is not supported")]
    Unsupported {
        /// Where to connect.
        endpoint: Endpoint,
    },
    /// No connection, or no WELCOME, within [`Options::connect_timeout`].
    ///
    /// [`Options::connect_timeout`]: crate::Options::connect_timeout
    #[error("no {awaited} from {endpoint} within {after:?}")]
    ConnectTimedOut {
        /// Where to connect.
        endpoint: Endpoint,
        /// What was awaited: `address`, `connection`, `TLS handshake` or `WELCOME`.
        awaited: &'static str,
        /// The deadline.
        after: Duration,
    },
    /// There is no [`Options::tls`], and what is taken in its place cannot be had.
    ///
    /// [`Options::tls`]: crate::Options::tls
    #[error(transparent)]
    TlsSetup(#[from] TlsSetupError),
    /// The server was reached, and TLS did not come about, or the server took back its consent.
    #[error("cannot speak TLS with {endpoint}: {fault}")]
    Tls {
        /// Where to connect.
        endpoint: Endpoint,
        /// Why.
        #[source]
        fault: TlsFault,
    },
    /// The server answered HELLO with something else than WELCOME or ERROR.
    #[error("the server answered HELLO with {answer}, not with WELCOME: it may not know HELLO")]
    NoWelcome {
        /// What it did instead.
        answer: &'static str,
    },
    /// The server refused the connection or ended it, and said why: an ERROR.
    #[error("refused by the server after {}: {reason}{}", frames(*last_seq), explained(text))]
    Refused {
        /// Why.
        reason: Reason,
        /// How many data frames of this connection were answered. Later ones got no reply and can
        /// be sent again elsewhere.
        last_seq: u64,
        /// The reason for a person; may be empty.
        text: String,
    },
    /// The server said GOAWAY: it takes no new frame on this connection. This one was not sent;
    /// replies to earlier ones still come.
    #[error("the server takes no new frames: {reason}")]
    GoingAway {
        /// Why.
        reason: Reason,
    },
    /// The server closed while replies were awaited.
    #[error("the server closed the connection{}{}", when(*answered, *outstanding), came(*part))]
    Closed {
        /// How many data frames were answered.
        answered: u64,
        /// How many were sent, or about to be, and got no reply.
        outstanding: u64,
        /// What has come of the next reply, if it has begun.
        part: Option<Part>,
    },
    /// The connection failed while replies were awaited.
    #[error("the connection failed: {source}: {}", books(*answered, *outstanding))]
    Io {
        /// How many data frames were answered.
        answered: u64,
        /// How many were sent, or about to be, and got no reply.
        outstanding: u64,
        /// What the system said.
        source: io::Error,
    },
    /// Writing to the connection failed. The receiving side may know why.
    #[error("cannot send: {source}")]
    Send {
        /// What the system said.
        source: io::Error,
    },
    /// No reply for [`Options::reply_timeout`].
    ///
    /// [`Options::reply_timeout`]: crate::Options::reply_timeout
    #[error("no reply to frame {seq} within {after:?}{}", came(*part))]
    TimedOut {
        /// The frame's number on its connection, from 1.
        seq: u64,
        /// The deadline.
        after: Duration,
        /// What has come of the reply, if it has begun.
        part: Option<Part>,
    },
    /// The server sent what no server may.
    #[error("the server broke the protocol: {0}")]
    Protocol(#[from] ProtocolError),
    /// The reply is not the one that its frame must get.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// The datagram is longer than the way to the server takes; it was not sent.
    #[error("a datagram of {len} bytes is more than the way to the server takes at once")]
    PathTooNarrow {
        /// The payload's length in bytes.
        len: usize,
    },
    /// The frame is longer than the server takes; it was not sent.
    #[error("frame of {} exceeds the limit of {max}", bytes(*len as u64))]
    TooLarge {
        /// The payload's length in bytes.
        len: usize,
        /// The limit in bytes.
        max: u32,
    },
}

/// The front of a frame whose rest has not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its length in bytes, with its head.
    pub have: usize,
    /// How long it must be before more is known of it; where the head is there, the whole frame.
    pub needs: usize,
}

/// What a server must never send.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// Bytes that are no frame.
    #[error(transparent)]
    Frame(FrameError),
    /// The first bytes of some other protocol.
    #[error("this is {protocol}, not a framed server")]
    Foreign {
        /// The protocol they belong to.
        protocol: Foreign,
    },
    /// A data frame while no reply was awaited.
    #[error("a reply of {} while none was awaited", bytes(*len as u64))]
    Unasked {
        /// Its payload's length in bytes.
        len: usize,
    },
    /// A control frame that only a client may send, or WELCOME twice.
    #[error("{0} may not be sent here")]
    Control(&'static str),
}

impl From<FrameError> for ProtocolError {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Foreign { protocol } => Self::Foreign { protocol },
            error => Self::Frame(error),
        }
    }
}

fn explained(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

/// A reply that has begun, behind what is said of it.
fn came(part: Option<Part>) -> String {
    part.map_or_else(String::new, |Part { have, needs }| {
        format!(", but for {have} of {needs} bytes of it")
    })
}

/// What a close means for the frames of its connection, behind what is said of it.
fn when(answered: u64, outstanding: u64) -> String {
    match (answered, outstanding) {
        (0, 0) => " before any frame was sent".to_owned(),
        _ => format!(": {}", books(answered, outstanding)),
    }
}

/// What a lost connection means for its frames.
fn books(answered: u64, outstanding: u64) -> String {
    format!("{} answered, {outstanding} without a reply", frames(answered))
}

fn frames(count: u64) -> String {
    format!("{count} frame{}", if count == 1 { "" } else { "s" })
}

pub(crate) fn bytes(count: u64) -> String {
    format!("{count} byte{}", if count == 1 { "" } else { "s" })
}

/// Where to connect from, if that is a certain address and not any of a family.
fn source(local: IpAddr) -> String {
    if local.is_unspecified() { String::new() } else { format!(" from {local}") }
}

const fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

/// The endpoint, and behind a name the address that it stands for.
fn place(endpoint: &Endpoint, address: Option<SocketAddr>) -> String {
    match (endpoint, address) {
        (
            Endpoint::Tcp(Address::Name { .. })
            | Endpoint::Tls(Address::Name { .. })
            | Endpoint::Udp(Address::Name { .. }),
            Some(address),
        ) => format!("{endpoint} ({address})"),
        _ => endpoint.to_string(),
    }
}
