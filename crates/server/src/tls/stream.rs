//! A stream of frames inside TLS.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

use crate::transport::{PathInfo, Transport};

/// A stream whose writes count as TCP's do: what has been written is with the kernel.
///
/// TLS takes a write, encrypts it, and may have to keep some of it until the socket takes more. A
/// connection that believed such bytes to be out would count frames as answered that are not, and
/// would wait for a peer that waits for them. So bytes that are not out are not reported as
/// written. The caller offers them again, as it does with all that it was not told to be written,
/// and then they are only waited for.
pub(crate) struct Sealed<S> {
    tls: TlsStream<S>,
    /// Bytes that were encrypted, and not reported as written.
    held: usize,
}

impl<S> Sealed<S> {
    pub(super) const fn new(tls: TlsStream<S>) -> Self {
        Self { tls, held: 0 }
    }
}

impl<S> fmt::Debug for Sealed<S> {
    /// Without keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed").field("held", &self.held).finish_non_exhaustive()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Sealed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_read(cx, buf).map_err(of_peer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Sealed<S> {
    /// `bytes` begin with those that were offered last, if these are not written yet.
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.held == 0 {
            self.held = ready!(Pin::new(&mut self.tls).poll_write(cx, bytes))?;
        }
        ready!(Pin::new(&mut self.tls).poll_flush(cx))?;
        let written = self.held.min(bytes.len());
        self.held -= written;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_shutdown(cx)
    }
}

/// An alert is how a peer resets a connection in TLS. Other errors of the session are invalid data
/// already.
fn of_peer(error: io::Error) -> io::Error {
    match error.get_ref().and_then(|cause| cause.downcast_ref()) {
        Some(rustls::Error::AlertReceived(_)) => io::ErrorKind::ConnectionReset.into(),
        _ => error,
    }
}

impl<S: Transport> Transport for Sealed<S> {
    fn socket(&self) -> SockRef<'_> {
        self.tls.get_ref().0.socket()
    }

    /// As of any stream; what has been decrypted counts too, and so does the end that the peer has
    /// told.
    fn has_input(&self) -> bool {
        let (stream, session) = self.tls.get_ref();
        !session.wants_read() || stream.has_input()
    }

    fn path(&self) -> Option<PathInfo> {
        self.tls.get_ref().0.path()
    }

    /// The peer is told that the stream was not cut.
    fn say_end(&mut self, cx: &mut Context<'_>) {
        // If the socket does not take it at once, it is not told.
        let _ = Pin::new(&mut self.tls).poll_shutdown(cx);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::time::Duration;

    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use rustls::crypto::ring::default_provider;
    use rustls::{ClientConfig, RootCertStore};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::timeout;
    use tokio_rustls::{TlsAcceptor, TlsConnector, client};
    use tokio_test::{assert_pending, task};

    use super::*;
    use crate::TlsConfig;

    const LIMIT: Duration = Duration::from_secs(20);

    /// What fits between the two ends.
    const ROOM: usize = 8192;

    async fn pair() -> (Sealed<DuplexStream>, client::TlsStream<DuplexStream>) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (pem, key) = (cert.pem(), signing_key.serialize_pem());
        let config = TlsConfig::from_pem(pem.as_bytes(), key.as_bytes(), None).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        let client = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let (near, far) = duplex(ROOM);
        let name = "localhost".try_into().unwrap();
        let (near, far) = tokio::join!(
            TlsAcceptor::from(config.server()).accept(near),
            TlsConnector::from(Arc::new(client)).connect(name, far)
        );
        let (mut near, mut far) = (Sealed::new(near.unwrap()), far.unwrap());
        // Has the tickets taken, so that nothing is on its way.
        near.write_all(b"x").await.unwrap();
        far.read_exact(&mut [0]).await.unwrap();
        (near, far)
    }

    #[tokio::test]
    async fn bytes_count_as_written_when_all_of_them_are_out() {
        let (mut near, mut far) = pair().await;
        let bytes: Vec<u8> = (0..=255).cycle().take(3 * ROOM).collect();
        // It is encrypted, and more than fits is held back: it must be offered again.
        for _ in 0..2 {
            let mut offer = task::spawn(poll_fn(|cx| Pin::new(&mut near).poll_write(cx, &bytes)));
            assert_pending!(offer.poll());
        }
        let mut found = vec![0; bytes.len()];
        let both = async {
            tokio::join!(
                poll_fn(|cx| Pin::new(&mut near).poll_write(cx, &bytes)),
                far.read_exact(&mut found)
            )
        };
        let (written, read) = timeout(LIMIT, both).await.unwrap();
        assert_eq!((written.unwrap(), read.unwrap()), (bytes.len(), bytes.len()));
        // Each byte has gone once.
        assert!(found == bytes);
        near.write_all(b"next").await.unwrap();
        assert_eq!(timeout(LIMIT, far.read(&mut found)).await.unwrap().unwrap(), 4);
    }
}
