//! What carries a connection's bytes.

use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
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
    use std::io::Write;

    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

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
