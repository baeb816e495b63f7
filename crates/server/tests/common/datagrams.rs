//! A datagram server in this process, and clients that send it raw datagrams.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Instant;

use tokio::sync::oneshot;
use volley_proto::{Address, Endpoint, ReplyKind};
use volley_server::{DatagramBooks, DatagramConfig, DatagramHandle, DatagramServer, Dropped};

use super::{LIMIT, same_bytes};

/// Runs until it is finished, or dropped: then it is finished too, and its books are checked.
#[derive(Debug)]
pub(crate) struct Datagrams {
    pub(crate) address: SocketAddr,
    pub(crate) handle: DatagramHandle,
    /// The server's own socket.
    pub(crate) socket: UdpSocket,
    shutdown: Option<oneshot::Sender<()>>,
    outcome: Option<Receiver<DatagramBooks>>,
}

impl Datagrams {
    pub(crate) fn echo() -> Self {
        Self::start(DatagramConfig::default())
    }

    pub(crate) fn ack() -> Self {
        let mut config = DatagramConfig::default();
        config.reply = ReplyKind::Ack;
        Self::start(config)
    }

    pub(crate) fn start(config: DatagramConfig) -> Self {
        Self::start_on(UdpSocket::bind("127.0.0.1:0").unwrap(), config)
    }

    /// On a socket that may have received something already.
    pub(crate) fn start_on(socket: UdpSocket, config: DatagramConfig) -> Self {
        let (started, handle) = mpsc::channel();
        let (done, outcome) = mpsc::channel();
        let (shutdown, asked) = oneshot::channel::<()>();
        socket.set_nonblocking(true).unwrap();
        let served = socket.try_clone().unwrap();
        thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let books = runtime.block_on(async {
                let served = tokio::net::UdpSocket::from_std(served).unwrap();
                let server = DatagramServer::new(served, config).unwrap();
                started.send(server.handle()).unwrap();
                server.run(asked).await
            });
            // Nobody may be left to hear it.
            let _ = done.send(books);
        });
        let handle: DatagramHandle = handle.recv_timeout(LIMIT).unwrap();
        let Endpoint::Udp(Address::Socket(address)) = *handle.endpoint() else { unreachable!() };
        let (shutdown, outcome) = (Some(shutdown), Some(outcome));
        Self { address, handle, socket, shutdown, outcome }
    }

    /// Waits until its books say so.
    #[track_caller]
    pub(crate) fn wait_until(&self, so: impl Fn(&DatagramBooks) -> bool) -> DatagramBooks {
        let deadline = Instant::now() + LIMIT;
        loop {
            let books = self.handle.books();
            assert!(books.balance(), "{books}");
            if so(&books) {
                return books;
            }
            assert!(Instant::now() < deadline, "{books}");
            thread::yield_now();
        }
    }

    /// Waits until so many datagrams have been dropped for this reason.
    #[track_caller]
    pub(crate) fn wait_for_dropped(&self, why: Dropped, count: u64) {
        self.wait_until(|books| books.dropped.get(&why).copied().unwrap_or(0) == count);
    }

    /// Asks for the shutdown, waits for it and checks the books.
    #[track_caller]
    pub(crate) fn finish(mut self) -> DatagramBooks {
        self.end()
    }

    #[track_caller]
    fn end(&mut self) -> DatagramBooks {
        if let Some(shutdown) = self.shutdown.take() {
            let _ = shutdown.send(());
        }
        let books = self.outcome.take().unwrap().recv_timeout(LIMIT);
        let books = books.expect("the server ends in time");
        assert!(books.balance() && books.dropped.values().all(|&n| n > 0), "{books}");
        books
    }
}

impl Drop for Datagrams {
    fn drop(&mut self) {
        if self.outcome.is_some() && !thread::panicking() {
            self.end();
        }
    }
}

/// A client with a socket of its own, which hears one server only.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) socket: UdpSocket,
}

impl Client {
    pub(crate) fn to(server: SocketAddr) -> Self {
        let local = if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        Self::from(local.parse().unwrap(), server).unwrap()
    }

    /// None where the system does not let it have this address.
    pub(crate) fn from(local: SocketAddr, server: SocketAddr) -> Option<Self> {
        let socket = match UdpSocket::bind(local) {
            Ok(socket) => socket,
            Err(error) => {
                let kinds = [ErrorKind::PermissionDenied, ErrorKind::AddrInUse];
                assert!(kinds.contains(&error.kind()), "{local}: {error}");
                println!("skipped: cannot send from {local}: {error}");
                return None;
            }
        };
        socket.connect(server).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        Some(Self { socket })
    }

    #[track_caller]
    pub(crate) fn send(&self, payload: &[u8]) {
        assert_eq!(self.socket.send(payload).unwrap(), payload.len());
    }

    #[track_caller]
    pub(crate) fn receive(&self) -> Vec<u8> {
        let mut buffer = vec![0; 1 << 16];
        let len = self.socket.recv(&mut buffer).expect("a reply in time");
        buffer.truncate(len);
        buffer
    }

    #[track_caller]
    pub(crate) fn expect(&self, payload: &[u8]) {
        same_bytes(&self.receive(), payload);
    }

    #[track_caller]
    pub(crate) fn echoes(&self, payload: &[u8]) {
        self.send(payload);
        self.expect(payload);
    }

    /// That nothing is here. Over loopback a reply is, as soon as the books say so.
    #[track_caller]
    pub(crate) fn expect_nothing(&self) {
        self.socket.set_nonblocking(true).unwrap();
        let error = self.socket.recv(&mut [0; 1]).expect_err("no reply");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        self.socket.set_nonblocking(false).unwrap();
    }
}
