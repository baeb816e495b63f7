//! What stands between accept(2) and the first frame: nothing, or a PROXY header, a TLS handshake,
//! or both. [`server`](crate::server) accepts, a [`Connection`](crate::connection::Connection)
//! serves what is open.
//!
//! ```text
//!   accept -> first byte -> a place -> PROXY header -> TLS handshake -> connection
//!             '------------------- one deadline -------------------'
//! ```
//!
//! An opening is a task of its own, so that nobody who is slow at it holds up the others, and so
//! that what it needs is gone when its connection begins. It takes its place among those that may
//! be under way at once with its first byte: who says nothing keeps nobody waiting.

mod attempt;
mod error;
mod instead;
mod places;

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use volley_proto::{Control, Reason, Text};

use crate::Peer;
use crate::limits::connections::Permit;
use crate::linger::linger;
use crate::transport::{Socket, Transport};

pub(crate) use attempt::{enter_failure, open};
pub(crate) use error::OpenError;
pub(crate) use instead::Instead;
pub(crate) use places::Places;

/// How long a peer may take to take the little that it is told.
const TELL_WITHIN: Duration = Duration::from_secs(1);

/// Makes streams for frames of what was accepted.
pub(crate) trait Opener: Clone + fmt::Debug + Send + Sync + 'static {
    /// What accept(2) brings.
    type Raw: Socket;
    /// What frames pass on.
    type Stream: Transport;
    /// Whether accept(2) tells who the peer is.
    const KNOWS_PEER: bool;

    /// Where there is nothing to be done or waited for: the stream. Else the socket again.
    fn open_at_once(&self, raw: Self::Raw) -> Result<Self::Stream, Self::Raw>;

    /// Whether anything is taken from `peer`, as accept(2) tells it.
    fn admit(&self, _peer: &Peer) -> Result<(), OpenError> {
        Ok(())
    }

    /// Does what has to be done, once something can be read, and keeps `arrival` up to date
    /// meanwhile.
    fn open(
        self,
        raw: Self::Raw,
        arrival: &mut Arrival,
    ) -> impl Future<Output = Result<Self::Stream, Unopened>> + Send;

    /// The last word to a peer that is not served, in the language of those who connect here. It is
    /// a control frame only if their framing `has_control` frames.
    fn farewell(reason: Reason, text: &str, has_control: bool) -> Vec<u8>;
}

/// Somebody who has connected, and is not served yet.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) id: u64,
    /// As far as is known by now.
    pub(crate) peer: Peer,
    pub(crate) permit: Permit,
    pub(crate) stage: Stage,
    /// Whether its framing has control frames, in which it can be told why it is not served.
    pub(crate) has_control: bool,
    /// What was agreed upon, where the stream is one of TLS.
    pub(crate) handshake: Option<Handshake>,
}

impl Arrival {
    pub(crate) const fn new(id: u64, peer: Peer, permit: Permit, has_control: bool) -> Self {
        Self { id, peer, permit, stage: Stage::FirstByte, has_control, handshake: None }
    }
}

/// What an opening waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    FirstByte,
    Place,
    Header,
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "only TLS has one"))]
    Handshake,
}

/// A TLS handshake that is over.
#[derive(Debug)]
pub(crate) struct Handshake {
    pub(crate) version: &'static str,
    pub(crate) cipher: &'static str,
    /// An earlier session went on, which saves most of the work.
    pub(crate) is_resumed: bool,
}

/// Why somebody is not served.
pub(crate) struct Unopened {
    pub(crate) error: OpenError,
    /// What is still to be done for the peer's sake; it takes a second or two at most.
    pub(crate) leave: Option<Leave>,
}

pub(crate) type Leave = Pin<Box<dyn Future<Output = ()> + Send>>;

impl From<OpenError> for Unopened {
    fn from(error: OpenError) -> Self {
        Self { error, leave: None }
    }
}

/// Says `farewell`, then closes in a way that lets the peer read it.
pub(crate) fn leave(mut stream: impl Transport, farewell: Vec<u8>) -> Leave {
    Box::pin(async move {
        if matches!(timeout(TELL_WITHIN, stream.write_all(&farewell)).await, Ok(Ok(()))) {
            linger(&mut stream).await;
        }
    })
}

/// Frames begin at once.
#[derive(Debug)]
pub(crate) struct Direct<S>(PhantomData<fn() -> S>);

impl<S> Direct<S> {
    pub(crate) const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<S> Clone for Direct<S> {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl<S: Socket + fmt::Debug> Opener for Direct<S> {
    type Raw = S;
    type Stream = S;
    const KNOWS_PEER: bool = true;

    fn open_at_once(&self, raw: S) -> Result<S, S> {
        Ok(raw)
    }

    async fn open(self, raw: S, _arrival: &mut Arrival) -> Result<S, Unopened> {
        Ok(raw)
    }

    /// An ERROR for which nothing was answered.
    fn farewell(reason: Reason, text: &str, has_control: bool) -> Vec<u8> {
        let mut frame = Vec::new();
        if has_control {
            Control::Error { reason, last_seq: 0, text: Text::new(text) }.encode(&mut frame);
        }
        frame
    }
}
