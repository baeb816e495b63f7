//! What connections come from. A transport is a pair of types, a listener and its stream, for which
//! the rest of the crate is compiled: none asks per frame which one it is.

use std::fmt;
use std::io;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::net::TcpListener;
use volley_proto::Endpoint;

use crate::Peer;
use crate::bind::tune;
use crate::transport::Transport;

/// A bound socket that [`serve`](crate::serve) can take: a [`TcpListener`] of Tokio.
#[expect(private_bounds, reason = "no other crate can bring a listener of its own yet")]
pub trait Listener: Accept {}

impl Listener for TcpListener {}

/// What the accept loop asks of a listener.
pub(crate) trait Accept: fmt::Debug + Send + Sync + Unpin + 'static {
    type Stream: Transport;

    /// Waits for the next connection.
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Accepted<Self>>;

    /// Where it listens.
    fn endpoint(&self) -> io::Result<Endpoint>;

    /// Sets the options that it hands on to what it accepts.
    fn tune(&self) -> io::Result<()>;
}

/// A connection, or the error that came in its place.
pub(crate) type Accepted<L> = io::Result<(<L as Accept>::Stream, Peer)>;

impl Accept for TcpListener {
    type Stream = tokio::net::TcpStream;

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Accepted<Self>> {
        let (stream, address) = ready!(Self::poll_accept(self, cx))?;
        Poll::Ready(Ok((stream, Peer::Socket(address))))
    }

    fn endpoint(&self) -> io::Result<Endpoint> {
        self.local_addr().map(Endpoint::from)
    }

    fn tune(&self) -> io::Result<()> {
        tune(&SockRef::from(self))
    }
}
