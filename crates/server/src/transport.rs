//! What carries a connection's bytes.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::net::RecvFlags;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest};
use tokio::net::{TcpStream, UnixStream};

use crate::bind::{TUNE_ACCEPTED, tune};

/// A stream to one peer.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// The socket underneath.
    fn socket(&self) -> SockRef<'_>;

    /// Whether the system holds anything for the next read: bytes, their end, or an error. Asked
    /// of the system itself, which may know more than the runtime has been told yet.
    fn has_input(&self) -> bool {
        let peeked = self.socket().peek(&mut [MaybeUninit::uninit()]);
        !matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// What the system knows of the way to the peer; `None` where it tells nothing.
    fn path(&self) -> Option<PathInfo> {
        None
    }

    /// Sets the options that the listener could not hand on.
    fn tune(&self) -> io::Result<()> {
        Ok(())
    }

    /// Says that nothing more will come, if the socket takes it at once, where the end of the
    /// stream alone does not say it.
    fn say_end(&mut self, _cx: &mut Context<'_>) {}
}

/// A stream that is a socket and no more.
pub(crate) trait Socket: Transport + Sync {
    /// Waits until there is something to read: bytes, their end, or an error.
    fn poll_spoken(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// Copies what the system holds for the next read, without waiting and without taking it. Returns
/// how many bytes that are; 0 where it can't be told.
pub(crate) fn peek(stream: &impl Transport, bytes: &mut [u8]) -> usize {
    try_peek(&*stream.socket(), bytes).unwrap_or(0)
}

fn try_peek(socket: &impl AsFd, bytes: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::net::recv(socket, bytes, RecvFlags::PEEK)?.0)
}

/// How the way to a peer was, as `TCP_INFO` tells it (tcp(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PathInfo {
    /// The smoothed round-trip time.
    pub(crate) rtt: Duration,
    /// How many segments were sent again.
    pub(crate) retransmits: u32,
}

impl Transport for TcpStream {
    fn socket(&self) -> SockRef<'_> {
        self.into()
    }

    #[cfg(target_os = "linux")]
    fn path(&self) -> Option<PathInfo> {
        tcp_info::read(self)
    }

    fn tune(&self) -> io::Result<()> {
        if TUNE_ACCEPTED { tune(&self.socket()) } else { Ok(()) }
    }
}

impl Transport for UnixStream {
    fn socket(&self) -> SockRef<'_> {
        self.into()
    }
}

/// For the streams of Tokio, which have the same methods and no trait for them.
macro_rules! socket {
    ($($stream:ty),*) => { $(
        impl Socket for $stream {
            fn poll_spoken(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                loop {
                    // Of a new socket the runtime assumes it: the system has to be asked.
                    ready!(self.poll_read_ready(cx))?;
                    match self.try_io(Interest::READABLE, || try_peek(self, &mut [0])) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        peeked => return Poll::Ready(peeked.map(drop)),
                    }
                }
            }
        }
    )* };
}

socket!(TcpStream, UnixStream);

/// Linux's `TCP_INFO`, which no crate reads in a safe way: nix has the macro for it.
#[cfg(target_os = "linux")]
mod tcp_info {
    use std::os::fd::AsFd;
    use std::time::Duration;

    use nix::sys::socket::GetSockOpt;
    use nix::sys::socket::sockopt::GetStruct;

    use super::PathInfo;

    /// The front of `struct tcp_info` (linux/tcp.h), up to `tcpi_total_retrans`, as it has been
    /// since Linux 2.6.10. Later kernels have appended to it; asked for less they give less.
    #[derive(Clone, Copy)]
    #[repr(C)]
    struct TcpInfo {
        _state: [u8; 8],
        words: [u32; 24],
    }

    /// Places in `words`: `tcpi_rtt` in microseconds, and `tcpi_total_retrans`.
    const RTT: usize = 15;
    const TOTAL_RETRANS: usize = 23;

    #[derive(Clone, Copy, Debug)]
    struct TcpInfoOption;

    nix::getsockopt_impl!(
        TcpInfoOption,
        libc::IPPROTO_TCP,
        libc::TCP_INFO,
        TcpInfo,
        GetStruct<TcpInfo>
    );

    pub(super) fn read(socket: &impl AsFd) -> Option<PathInfo> {
        let TcpInfo { words, .. } = TcpInfoOption.get(&socket.as_fd()).ok()?;
        let rtt = Duration::from_micros(words[RTT].into());
        Some(PathInfo { rtt, retransmits: words[TOTAL_RETRANS] })
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Write;

    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;

    /// The runtime is not asked in between, so it can't know of what the peer does.
    async fn system_tells_before_the_runtime_does(
        mut stream: impl Transport,
        mut peer: impl Write,
    ) {
        assert!(!stream.has_input());
        peer.write_all(b"x").unwrap();
        assert!(stream.has_input());
        assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 1);
        assert!(!stream.has_input());
        drop(peer);
        assert!(stream.has_input());
    }

    async fn speaks_when_it_does(stream: impl Socket, mut peer: impl Write) {
        let mut spoken = tokio_test::task::spawn(poll_fn(|cx| stream.poll_spoken(cx)));
        tokio_test::assert_pending!(spoken.poll());
        peer.write_all(b"x").unwrap();
        timeout(Duration::from_secs(20), spoken).await.unwrap().unwrap();
        // It is still there.
        assert_eq!(peek(&stream, &mut [0; 8]), 1);
    }

    #[tokio::test]
    async fn a_peer_has_spoken_with_its_first_byte_and_not_before() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        speaks_when_it_does(stream, peer).await;
        let (stream, peer) = std::os::unix::net::UnixStream::pair().unwrap();
        stream.set_nonblocking(true).unwrap();
        speaks_when_it_does(UnixStream::from_std(stream).unwrap(), peer).await;
    }

    #[tokio::test]
    async fn the_system_tells_of_bytes_and_of_their_end_before_the_runtime_does() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        system_tells_before_the_runtime_does(stream, peer).await;
        let (stream, peer) = std::os::unix::net::UnixStream::pair().unwrap();
        stream.set_nonblocking(true).unwrap();
        system_tells_before_the_runtime_does(UnixStream::from_std(stream).unwrap(), peer).await;
    }
}
