//! What carries a connection's bytes, whichever transport it is: one type, so that those who send
//! frames need not be of several. Which one it is costs a branch per system call, and none per frame.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{self as halves, AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream, tcp, unix};
use tokio_util::either::Either;
use volley_proto::UnixAddress;

use crate::datagram_stream::DatagramStream;
use crate::tls::{Handshake, TlsSession};

/// A connected stream. Several pieces are written at once, if it is given several.
///
/// Over TLS some of what was written may be kept back until it is flushed, and is then when there is
/// room.
#[derive(Debug)]
pub struct Stream {
    // What is rarer is in a box: who keeps thousands of streams pays for TCP's size and no more.
    kind: Either<TcpStream, Box<Rarer>>,
}

/// What is no plain TCP.
#[derive(Debug)]
enum Rarer {
    Unix(UnixStream),
    Tls(Box<TlsSession>),
    /// Whose frames are datagrams.
    Datagrams(Box<DatagramStream>),
}

/// Calls a method of whichever it is.
macro_rules! of_whichever {
    ($rarer:expr, $stream:ident => $call:expr) => {
        match $rarer {
            Rarer::Unix($stream) => $call,
            Rarer::Tls($stream) => $call,
            Rarer::Datagrams($stream) => $call,
        }
    };
}

/// The reading half of a [`Stream`].
#[derive(Debug)]
pub struct ReadHalf {
    kind: Either<tcp::OwnedReadHalf, halves::ReadHalf<Rarer>>,
}

/// The writing half of a [`Stream`]. Dropped, it half-closes.
#[derive(Debug)]
pub struct WriteHalf {
    kind: Either<tcp::OwnedWriteHalf, halves::WriteHalf<Rarer>>,
    /// Both ends of the connection, if it knew them when it was split.
    ends: Option<(StreamAddress, StreamAddress)>,
}

/// Where one end of a connection is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamAddress {
    /// An address and a port.
    Socket(SocketAddr),
    /// A Unix socket; mostly only that of the server has an address.
    Unix(Option<UnixAddress>),
}

impl Stream {
    /// Where this end is.
    ///
    /// # Errors
    ///
    /// What getsockname(2) says.
    pub fn local_addr(&self) -> io::Result<StreamAddress> {
        match &self.kind {
            Either::Left(tcp) => tcp.local_addr().map(StreamAddress::from),
            Either::Right(rarer) => {
                of_whichever!(&**rarer, stream => stream.local_addr().map(StreamAddress::from))
            }
        }
    }

    /// Where the other end is.
    ///
    /// # Errors
    ///
    /// What getpeername(2) says.
    pub fn peer_addr(&self) -> io::Result<StreamAddress> {
        match &self.kind {
            Either::Left(tcp) => tcp.peer_addr().map(StreamAddress::from),
            Either::Right(rarer) => {
                of_whichever!(&**rarer, stream => stream.peer_addr().map(StreamAddress::from))
            }
        }
    }

    /// What came of the TLS handshake, if there was one.
    pub fn handshake(&self) -> Option<Handshake> {
        match &self.kind {
            Either::Right(rarer) => match &**rarer {
                Rarer::Tls(tls) => Some(tls.handshake()),
                _ => None,
            },
            Either::Left(_) => None,
        }
    }

    /// Whether each frame is a datagram, and may be lost or overtaken.
    pub fn is_of_datagrams(&self) -> bool {
        match &self.kind {
            Either::Right(rarer) => matches!(**rarer, Rarer::Datagrams(_)),
            Either::Left(_) => false,
        }
    }

    /// Splits it, so that two tasks can read and write at the same time.
    pub fn into_split(self) -> (ReadHalf, WriteHalf) {
        let ends = self.local_addr().and_then(|local| Ok((local, self.peer_addr()?))).ok();
        let (read, write) = match self.kind {
            Either::Left(tcp) => {
                let (read, write) = tcp.into_split();
                (Either::Left(read), Either::Left(write))
            }
            Either::Right(rarer) => {
                let (read, write) = halves::split(*rarer);
                (Either::Right(read), Either::Right(write))
            }
        };
        (ReadHalf { kind: read }, WriteHalf { kind: write, ends })
    }
}

impl WriteHalf {
    /// As [`Stream::local_addr`].
    ///
    /// # Errors
    ///
    /// What getsockname(2) says.
    pub fn local_addr(&self) -> io::Result<StreamAddress> {
        self.ends().map(|(local, _)| local.clone())
    }

    /// As [`Stream::peer_addr`].
    ///
    /// # Errors
    ///
    /// What getpeername(2) says.
    pub fn peer_addr(&self) -> io::Result<StreamAddress> {
        self.ends().map(|(_, peer)| peer.clone())
    }

    /// The only reason for which a connection does not know its ends is that it has none any more.
    fn ends(&self) -> io::Result<&(StreamAddress, StreamAddress)> {
        self.ends.as_ref().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for WriteHalf {
    /// The half of TCP half-closes by itself.
    fn drop(&mut self) {
        if let Either::Right(rarer) = &mut self.kind {
            // There is nobody to wait for more.
            let _ = Pin::new(rarer).poll_shutdown(&mut Context::from_waker(Waker::noop()));
        }
    }
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self { kind: Either::Left(stream) }
    }
}

impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Self {
        Self { kind: Either::Right(Box::new(Rarer::Unix(stream))) }
    }
}

impl From<TlsSession> for Stream {
    fn from(stream: TlsSession) -> Self {
        Self { kind: Either::Right(Box::new(Rarer::Tls(Box::new(stream)))) }
    }
}

impl From<DatagramStream> for Stream {
    fn from(stream: DatagramStream) -> Self {
        Self { kind: Either::Right(Box::new(Rarer::Datagrams(Box::new(stream)))) }
    }
}

impl AsyncRead for Rarer {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        of_whichever!(&mut *self, stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Rarer {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        of_whichever!(&mut *self, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        of_whichever!(&mut *self, stream => Pin::new(stream).poll_write_vectored(cx, pieces))
    }

    fn is_write_vectored(&self) -> bool {
        of_whichever!(self, stream => stream.is_write_vectored())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        of_whichever!(&mut *self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        of_whichever!(&mut *self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

macro_rules! read_as_what_they_are {
    ($($name:ident),*) => {$(
        impl AsyncRead for $name {
            #[inline]
            fn poll_read(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                Pin::new(&mut self.kind).poll_read(cx, buffer)
            }
        }
    )*};
}

macro_rules! write_as_what_they_are {
    ($($name:ident),*) => {$(
        impl AsyncWrite for $name {
            #[inline]
            fn poll_write(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.kind).poll_write(cx, bytes)
            }

            #[inline]
            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                pieces: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.kind).poll_write_vectored(cx, pieces)
            }

            #[inline]
            fn is_write_vectored(&self) -> bool {
                self.kind.is_write_vectored()
            }

            fn poll_flush(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<io::Result<()>> {
                Pin::new(&mut self.kind).poll_flush(cx)
            }

            fn poll_shutdown(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<io::Result<()>> {
                Pin::new(&mut self.kind).poll_shutdown(cx)
            }
        }
    )*};
}

read_as_what_they_are!(Stream, ReadHalf);
write_as_what_they_are!(Stream, WriteHalf);

impl StreamAddress {
    /// The address and the port, where there are such.
    pub const fn socket(&self) -> Option<SocketAddr> {
        match self {
            Self::Socket(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

impl From<SocketAddr> for StreamAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Socket(address)
    }
}

impl From<unix::SocketAddr> for StreamAddress {
    fn from(address: unix::SocketAddr) -> Self {
        Self::Unix(UnixAddress::of(&address.into()))
    }
}

impl fmt::Display for StreamAddress {
    /// `127.0.0.1:54058`, `unix:/run/volley.sock`, or `unix` of a socket without an address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(address) => address.fmt(f),
            Self::Unix(Some(address)) => write!(f, "unix:{address}"),
            Self::Unix(None) => f.pad("unix"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    /// Who has thousands of connections has thousands of these.
    #[test]
    fn a_stream_is_as_small_as_one_of_tcp() {
        assert_eq!(size_of::<Stream>(), size_of::<TcpStream>());
    }

    async fn of_tcp() -> (Stream, Stream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connect = TcpStream::connect(listener.local_addr().unwrap());
        let (ours, theirs) = tokio::join!(connect, listener.accept());
        (ours.unwrap().into(), theirs.unwrap().0.into())
    }

    fn of_unix() -> (Stream, Stream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (ours.into(), theirs.into())
    }

    /// One system call takes them all, or the buffer would be full.
    async fn writes_pieces_at_once(mut write: impl AsyncWrite + Unpin, theirs: &mut Stream) {
        assert!(write.is_write_vectored());
        let pieces = [IoSlice::new(b"in"), IoSlice::new(b" several "), IoSlice::new(b"pieces")];
        let written = poll_fn(|cx| Pin::new(&mut write).poll_write_vectored(cx, &pieces)).await;
        assert_eq!(written.unwrap(), 17);
        let mut read = [0; 17];
        theirs.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"in several pieces");
    }

    #[tokio::test]
    async fn pieces_are_written_at_once_whole_or_split() {
        for (ours, mut theirs) in [of_tcp().await, of_unix()] {
            writes_pieces_at_once(ours, &mut theirs).await;
        }
        for (ours, mut theirs) in [of_tcp().await, of_unix()] {
            let (_read, write) = ours.into_split();
            writes_pieces_at_once(write, &mut theirs).await;
        }
    }

    #[tokio::test]
    async fn a_writing_half_that_is_dropped_half_closes() {
        for (ours, mut theirs) in [of_tcp().await, of_unix()] {
            let (_read, write) = ours.into_split();
            drop(write);
            assert_eq!(theirs.read(&mut [0]).await.unwrap(), 0);
        }
    }

    #[test]
    fn an_end_is_shown_as_the_endpoint_that_it_is() {
        let address: SocketAddr = "127.0.0.1:7".parse().unwrap();
        assert_eq!(StreamAddress::from(address).to_string(), "127.0.0.1:7");
        assert_eq!(StreamAddress::from(address).socket(), Some(address));
        let address = StreamAddress::Unix(Some("@volley".parse().unwrap()));
        assert_eq!((address.to_string(), address.socket()), ("unix:@volley".to_owned(), None));
        assert_eq!(StreamAddress::Unix(None).to_string(), "unix");
    }
}
