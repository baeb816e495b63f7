//! What connections come from. A listener's type says what it accepts and how that is
//! [opened](crate::opening), and the rest of the crate is compiled for it: none asks per frame
//! which one it is.

use std::fmt;
use std::io;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use volley_proto::{Endpoint, UnixAddress};

use crate::bind::tune;
use crate::opening::{Direct, Opener};
use crate::{Credentials, Peer};

/// A bound socket that [`serve`](crate::serve) can take: a [`TcpListener`] or a [`UnixListener`] of
/// Tokio.
#[expect(private_bounds, reason = "no other crate can bring a listener of its own yet")]
pub trait Listener: Accept {}

impl Listener for TcpListener {}

impl Listener for UnixListener {}

/// What the accept loop asks of a listener.
pub(crate) trait Accept: fmt::Debug + Send + Sync + Unpin + 'static {
    /// What stands between accept(2) and the first frame.
    type Opener: Opener;

    /// That, for the connections that come from now on. It outlives the listener.
    fn opener(&self) -> Self::Opener;

    /// Waits for the next connection.
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Accepted<Self>>;

    /// Where it listens.
    fn endpoint(&self) -> io::Result<Endpoint>;

    /// Sets the options that it hands on to what it accepts.
    fn tune(&self) -> io::Result<()>;
}

/// A connection, or the error that came in its place.
pub(crate) type Accepted<L> = io::Result<(Incoming<L>, Peer)>;

/// What accept(2) brings.
pub(crate) type Incoming<L> = <<L as Accept>::Opener as Opener>::Raw;

impl Accept for TcpListener {
    type Opener = Direct<TcpStream>;

    fn opener(&self) -> Self::Opener {
        Direct::new()
    }

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

impl Accept for UnixListener {
    type Opener = Direct<UnixStream>;

    fn opener(&self) -> Self::Opener {
        Direct::new()
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Accepted<Self>> {
        let (stream, _) = ready!(Self::poll_accept(self, cx))?;
        // The system noted them when the peer connected, so they are there.
        let process = stream.peer_cred().map_err(|_| io::ErrorKind::ConnectionAborted)?;
        let credentials = Credentials {
            pid: process.pid().and_then(|pid| u32::try_from(pid).ok()).filter(|&pid| pid > 0),
            uid: process.uid(),
            gid: process.gid(),
        };
        Poll::Ready(Ok((stream, Peer::Unix(credentials))))
    }

    fn endpoint(&self) -> io::Result<Endpoint> {
        let address = UnixAddress::of(&self.local_addr()?.into());
        Ok(address.ok_or(io::ErrorKind::AddrNotAvailable)?.into())
    }

    fn tune(&self) -> io::Result<()> {
        Ok(())
    }
}
