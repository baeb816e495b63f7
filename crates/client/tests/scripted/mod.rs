//! A server that does what a test says, byte for byte, over a real socket.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio::time::timeout;
use volley_proto::{
    Control, Endpoint, MaxFrame, Reason, Receipt, ReplyKind, Text, UnixAddress, encode_data,
};

/// No test comes near it; a hang ends here.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// Lets `server` serve the first connection while `client` is given its endpoint, until both are
/// done. The listener lives as long, and the connection as long as the script does.
pub(crate) async fn play<T>(
    server: impl AsyncFnOnce(Peer),
    client: impl AsyncFnOnce(Endpoint) -> T,
) -> T {
    let (listener, endpoint) = listen().await;
    let client_done = Arc::new(Notify::new());
    let serve = async {
        let client_done = Arc::clone(&client_done);
        server(Peer { client_done, ..Peer::accept(&listener).await }).await;
    };
    let run = async {
        let outcome = client(endpoint).await;
        client_done.notify_one();
        outcome
    };
    within(async { tokio::join!(serve, run).1 }).await
}

pub(crate) async fn listen() -> (TcpListener, Endpoint) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address.into())
}

pub(crate) async fn within<F: Future>(work: F) -> F::Output {
    timeout(LIMIT, work).await.expect("the test hangs")
}

/// The server's side of a connection.
pub(crate) struct Peer<S = TcpStream> {
    pub(crate) stream: S,
    client_done: Arc<Notify>,
}

impl Peer {
    /// The next connection of a server that a test runs by itself.
    pub(crate) async fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = listener.accept().await.unwrap();
        Self::over(stream)
    }

    /// Closes with a reset instead of an end of the stream.
    pub(crate) fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

impl Peer<UnixStream> {
    /// The same at a Unix socket.
    pub(crate) async fn accept_unix(listener: &UnixListener) -> Self {
        let (stream, _) = listener.accept().await.unwrap();
        Self::over(stream)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    /// The server's side of a connection that is there.
    pub(crate) fn over(stream: S) -> Self {
        Self { stream, client_done: Arc::default() }
    }

    pub(crate) async fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.stream.read_exact(&mut bytes).await.unwrap();
        bytes
    }

    /// Awaits a whole frame, of whatever kind: its head and what follows it.
    pub(crate) async fn frame(&mut self) -> (u32, Vec<u8>) {
        let head = self.stream.read_u32().await.unwrap();
        (head, self.bytes((head & 0x7fff_ffff) as usize).await)
    }

    /// Awaits a data frame's payload.
    pub(crate) async fn payload(&mut self) -> Vec<u8> {
        let (head, payload) = self.frame().await;
        assert!(head < 1 << 31, "a control frame: {head:08x} {payload:02x?}");
        payload
    }

    /// Awaits a data frame's payload, or the end.
    #[allow(dead_code, reason = "the tests of the library have no use for it")]
    pub(crate) async fn payload_or_end(&mut self) -> Option<Vec<u8>> {
        let head = self.stream.read_u32().await.ok()?;
        assert!(head < 1 << 31, "a control frame: {head:08x}");
        Some(self.bytes(head as usize).await)
    }

    /// Awaits a HELLO and returns the flags that ask for a reply.
    pub(crate) async fn hello(&mut self) -> u8 {
        let (head, body) = self.frame().await;
        assert!(head >= 1 << 31 && body[0] == 1, "no HELLO: {head:08x} {body:02x?}");
        body[1]
    }

    /// Awaits a HELLO and answers it.
    pub(crate) async fn greet(&mut self, granted: ReplyKind) {
        self.hello().await;
        self.welcome(granted, MaxFrame::DEFAULT).await;
    }

    pub(crate) async fn welcome(&mut self, granted: ReplyKind, max_frame: MaxFrame) {
        self.control(Control::Welcome { granted, max_frame, text: Text::default() }).await;
    }

    pub(crate) async fn goaway(&mut self, reason: Reason) {
        let closes_in = Duration::from_secs(10);
        self.control(Control::GoAway { reason, closes_in, text: Text::default() }).await;
    }

    pub(crate) async fn error(&mut self, reason: Reason, last_seq: u64, text: &str) {
        self.control(Control::Error { reason, last_seq, text: Text::new(text) }).await;
    }

    pub(crate) async fn control(&mut self, control: Control) {
        let mut bytes = Vec::new();
        control.encode(&mut bytes);
        self.write(&bytes).await;
    }

    pub(crate) async fn reply(&mut self, payload: &[u8]) {
        let mut bytes = Vec::new();
        encode_data(payload, &mut bytes);
        self.write(&bytes).await;
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Returns the next `count` data frames as they are.
    pub(crate) async fn echo(&mut self, count: usize) {
        for _ in 0..count {
            let payload = self.payload().await;
            self.reply(&payload).await;
        }
    }

    /// Returns data frames until the client closes or half-closes, then closes.
    pub(crate) async fn echo_all(mut self) {
        while let Ok(head) = self.stream.read_u32().await {
            let mut frame = head.to_be_bytes().to_vec();
            frame.resize(frame.len() + head as usize, 0);
            // A client may leave without its replies; whether it has them is for it to say.
            if self.stream.read_exact(&mut frame[4..]).await.is_err()
                || self.stream.write_all(&frame).await.is_err()
            {
                break;
            }
        }
        // TLS may have kept back some of what it took.
        let _ = self.stream.flush().await;
    }

    /// Reads what may still come until the client closes or half-closes, and returns it.
    pub(crate) async fn until_closed(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset is a way to close.
        let _ = self.stream.read_to_end(&mut rest).await;
        rest
    }

    /// Keeps the connection open, and says nothing, until the client is done.
    pub(crate) async fn until_client_is_done(&self) {
        self.client_done.notified().await;
    }
}

/// Greets the client and echoes what it sends.
#[allow(dead_code, reason = "the tests of the library have no use for it")]
pub(crate) async fn echo(mut peer: Peer) {
    peer.greet(ReplyKind::Echo).await;
    peer.echo_all().await;
}

/// A place for a Unix socket that is there for as long as the directory, and the endpoint there.
pub(crate) fn place() -> (TempDir, PathBuf, Endpoint) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("volley.sock");
    let endpoint = UnixAddress::from_path(&path).unwrap().into();
    (directory, path, endpoint)
}

/// The receipt for `payload`, received at the start of 2026.
pub(crate) fn receipt(payload: &[u8], seq: u64, total: u64) -> Receipt {
    let crc32c = volley_proto::crc32c(payload);
    Receipt { crc32c, seq, total, received_at: 1_767_225_600_000_000_000 }
}
