//! An established TLS connection: the bytes inside, what was agreed on, and an end that is said.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustls::{HandshakeKind, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;

use super::fault::TlsFault;
use super::overheard::Overheard;

/// What came of a TLS handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Handshake {
    /// `TLS 1.3` or `TLS 1.2`.
    pub version: &'static str,
    /// The cipher suite, by its name at IANA.
    pub cipher_suite: String,
    /// The protocol that the server has chosen (ALPN); `None` of a server that does not choose.
    pub alpn: Option<String>,
    /// Whether it went on with an earlier session, without certificates.
    pub resumed: bool,
    /// How long it took, the TCP connection before it left out.
    pub took: Duration,
}

impl fmt::Display for Handshake {
    /// `TLS 1.3, TLS_AES_256_GCM_SHA384, volley/1, resumed`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let alpn = self.alpn.as_deref().unwrap_or("no ALPN");
        let kind = if self.resumed { "resumed" } else { "full handshake" };
        write!(f, "{}, {}, {alpn}, {kind}", self.version, self.cipher_suite)
    }
}

/// A TLS connection. Dropped, it tells the server that nothing more comes, as far as the socket
/// takes it at once.
#[derive(Debug)]
pub(crate) struct TlsSession {
    stream: TlsStream<Overheard>,
    took: Duration,
}

impl TlsSession {
    pub(super) const fn new(stream: TlsStream<Overheard>, took: Duration) -> Self {
        Self { stream, took }
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.get_ref().0.tcp.local_addr()
    }

    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.get_ref().0.tcp.peer_addr()
    }

    pub(crate) fn handshake(&self) -> Handshake {
        let session = self.stream.get_ref().1;
        let suite = session.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite()));
        let alpn = session.alpn_protocol();
        Handshake {
            version: match session.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
                // There is no other that rustls speaks.
                _ => "TLS 1.3",
            },
            // At IANA those of TLS 1.3 begin as those before.
            cipher_suite: suite.unwrap_or_default().replace("TLS13_", "TLS_"),
            alpn: alpn.map(|alpn| String::from_utf8_lossy(alpn).into_owned()),
            resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
            took: self.took,
        }
    }
}

impl Drop for TlsSession {
    fn drop(&mut self) {
        // There is nobody to wait for more.
        let _ = Pin::new(&mut self.stream).poll_shutdown(&mut Context::from_waker(Waker::noop()));
    }
}

impl AsyncRead for TlsSession {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer).map(|read| match read {
            // A server that closes without a word of TLS has closed. Frames say themselves whether
            // they are whole, and each of their replies is missed.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            read => read.map_err(TlsFault::explain),
        })
    }
}

impl AsyncWrite for TlsSession {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes).map_err(TlsFault::explain)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces).map_err(TlsFault::explain)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx).map_err(TlsFault::explain)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx).map_err(TlsFault::explain)
    }
}
