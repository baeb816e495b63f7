//! The bytes below a handshake, of which the first are kept: a server that does not speak TLS is
//! known by them.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Bytes that are kept: an ERROR of volleyd's, or the status line of an HTTP server.
const KEPT: usize = 256;

/// A TCP stream whose first bytes are kept for as long as anybody wants to know them.
#[derive(Debug)]
pub(super) struct Overheard {
    pub(super) tcp: TcpStream,
    first: Option<Vec<u8>>,
}

impl Overheard {
    pub(super) const fn new(tcp: TcpStream) -> Self {
        Self { tcp, first: Some(Vec::new()) }
    }

    /// What came first from the server.
    pub(super) fn first(&self) -> &[u8] {
        self.first.as_deref().unwrap_or_default()
    }

    /// Keeps nothing any more.
    pub(super) fn forget(&mut self) {
        self.first = None;
    }
}

impl AsyncRead for Overheard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.tcp).poll_read(cx, buffer);
        if let Some(first) = &mut self.first {
            let came = &buffer.filled()[before..];
            first.extend_from_slice(&came[..came.len().min(KEPT - first.len())]);
        }
        read
    }
}

impl AsyncWrite for Overheard {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
