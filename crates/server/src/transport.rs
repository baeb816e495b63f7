//! What carries a connection's bytes.

use std::io;
use std::mem::MaybeUninit;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A stream to one peer.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Unpin + Send {
    /// Whether the system holds anything for the next read: bytes, their end, or an error. Asked
    /// of the system itself, which may know more than the runtime has been told yet.
    fn has_input(&self) -> bool;
}

impl Transport for TcpStream {
    fn has_input(&self) -> bool {
        let peeked = SockRef::from(self).peek(&mut [MaybeUninit::uninit()]);
        !matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tokio::net::TcpListener;

    use super::*;

    /// The runtime is not asked in between, so it can't know of what the peer does.
    #[tokio::test]
    async fn the_system_tells_of_bytes_and_of_their_end_before_the_runtime_does() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        assert!(!stream.has_input());
        peer.write_all(b"x").unwrap();
        assert!(stream.has_input());
        stream.readable().await.unwrap();
        assert_eq!(stream.try_read(&mut [0; 8]).unwrap(), 1);
        assert!(!stream.has_input());
        drop(peer);
        assert!(stream.has_input());
    }
}
