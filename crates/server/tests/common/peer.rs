//! A client that speaks raw bytes and waits for nothing without a limit.

use std::io::{self, ErrorKind, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};
use volley_proto::{Address, Endpoint};

use super::{ERROR, LIMIT, same_bytes};

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct Peer {
    stream: Socket,
}

/// A frame as it came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    Data(Vec<u8>),
    Control { kind: u8, flags: u8, code: u16, arg: u64, text: String },
}

impl Received {
    /// From a stream that is read by so many bytes at a time.
    pub(crate) fn read(mut read: impl FnMut(usize) -> Vec<u8>) -> Self {
        let head = u32::from_be_bytes(read(4).try_into().unwrap());
        let body = read((head & (u32::MAX >> 1)) as usize);
        if head >> 31 == 0 {
            return Self::Data(body);
        }
        let (fixed, text) = body.split_at(12);
        Self::Control {
            kind: fixed[0],
            flags: fixed[1],
            code: u16::from_be_bytes([fixed[2], fixed[3]]),
            arg: u64::from_be_bytes(fixed[4..].try_into().unwrap()),
            text: String::from_utf8(text.to_vec()).unwrap(),
        }
    }
}

impl Peer {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::connect_with(address, |_| {})
    }

    /// To what a daemon has printed: of TCP, or a Unix socket.
    pub(crate) fn connect_to(endpoint: &str) -> Self {
        Self::try_connect_to(endpoint).unwrap()
    }

    /// As [`connect_to`](Self::connect_to), where nobody may be.
    pub(crate) fn try_connect_to(endpoint: &str) -> io::Result<Self> {
        let address = match endpoint.parse().unwrap() {
            Endpoint::Tcp(Address::Socket(address)) => address.into(),
            Endpoint::Unix(address) => SockAddr::unix(address.sun_path())?,
            other => panic!("no address: {other}"),
        };
        let socket = Socket::new(address.domain(), Type::STREAM, None)?;
        socket.connect(&address)?;
        Ok(Self::new(socket))
    }

    /// From an address of this host's own.
    pub(crate) fn connect_from(local: &str, address: SocketAddr) -> Self {
        let local = SocketAddr::new(local.parse().unwrap(), 0);
        Self::connect_with(address, |socket| socket.bind(&local.into()).unwrap())
    }

    /// With a receive buffer of about this size, so that replies soon get stuck.
    pub(crate) fn connect_narrow(address: SocketAddr, buffer: usize) -> Self {
        Self::connect_with(address, |socket| socket.set_recv_buffer_size(buffer).unwrap())
    }

    /// With both buffers of about this size, so that little fits between the two ends.
    pub(crate) fn connect_tight(address: SocketAddr, buffer: usize) -> Self {
        Self::connect_with(address, |socket| {
            socket.set_recv_buffer_size(buffer).unwrap();
            socket.set_send_buffer_size(buffer).unwrap();
        })
    }

    fn connect_with(address: SocketAddr, tune: impl FnOnce(&Socket)) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        tune(&socket);
        socket.connect_timeout(&address.into(), LIMIT).unwrap();
        socket.set_tcp_nodelay(true).unwrap();
        Self::new(socket)
    }

    fn new(stream: Socket) -> Self {
        stream.set_write_timeout(Some(LIMIT)).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        Self { stream }
    }

    pub(crate) fn local(&self) -> SocketAddr {
        self.stream.local_addr().unwrap().as_socket().unwrap()
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// One write, which the peer may have closed against.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    /// Sends in a thread, so that the replies can be read meanwhile.
    pub(crate) fn send_aside(&self, bytes: Vec<u8>) -> thread::JoinHandle<io::Result<()>> {
        let mut stream = self.stream.try_clone().unwrap();
        thread::spawn(move || stream.write_all(&bytes))
    }

    /// Sends copies of `unit` and reads what comes back, both as fast as it can be done, until it
    /// is over.
    pub(crate) fn flood(self, unit: Vec<u8>, over: Arc<AtomicBool>) -> thread::JoinHandle<()> {
        let mut reader = self.stream.try_clone().unwrap();
        let mut writer = self.stream;
        thread::spawn(move || {
            let discard = thread::spawn(move || {
                let mut bytes = vec![0; 1 << 18];
                while matches!(reader.read(&mut bytes), Ok(1..)) {}
            });
            while !over.load(Ordering::Relaxed) {
                writer.write_all(&unit).unwrap();
            }
            writer.shutdown(Shutdown::Write).unwrap();
            discard.join().unwrap();
        })
    }

    /// Writes copies of `unit` until nothing more has been taken for `patience`. Returns how many
    /// bytes were; the last copy may be cut.
    pub(crate) fn push_until_blocked(&mut self, unit: &[u8], patience: Duration) -> usize {
        let chunk = unit.repeat((16 * 1024 / unit.len()).max(1));
        self.stream.set_write_timeout(Some(patience)).unwrap();
        let mut pushed = 0;
        loop {
            match self.stream.write(&chunk[pushed % chunk.len()..]) {
                Ok(n) => pushed += n,
                Err(error) if would_block(&error) => break,
                Err(error) => panic!("after {pushed} bytes: {error}"),
            }
        }
        self.stream.set_write_timeout(Some(LIMIT)).unwrap();
        pushed
    }

    /// Writes copies of `unit`, and reads nothing, until the server ends the connection.
    #[track_caller]
    pub(crate) fn push_until_reset(&mut self, unit: &[u8]) {
        let error = self.stream.write_all(&unit.repeat((64 << 20) / unit.len())).unwrap_err();
        let ended = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
        assert!(ended.contains(&error.kind()), "{error}");
    }

    /// Reads a byte, if there is one.
    pub(crate) fn read_a_little(&mut self) {
        self.stream.set_nonblocking(true).unwrap();
        let _ = self.stream.read(&mut [0]);
        self.stream.set_nonblocking(false).unwrap();
    }

    #[track_caller]
    pub(crate) fn read(&mut self, len: usize) -> Vec<u8> {
        let (deadline, mut bytes, mut at) = (Instant::now() + LIMIT, vec![0; len], 0);
        while at < len {
            match self.read_some(&mut bytes[at..], deadline) {
                Ok(0) => panic!("the end of the stream after {at} of {len} bytes"),
                Ok(n) => at += n,
                Err(error) => panic!("after {at} of {len} bytes: {error}"),
            }
        }
        bytes
    }

    /// Reads to the end of the stream, which must be a clean one.
    #[track_caller]
    pub(crate) fn read_to_end(&mut self) -> Vec<u8> {
        let (bytes, error) = self.read_to_any_end();
        assert!(error.is_none(), "after {} bytes: {error:?}", bytes.len());
        bytes
    }

    /// Reads to the end of the stream, or to the error that ends it.
    pub(crate) fn read_to_any_end(&mut self) -> (Vec<u8>, Option<io::Error>) {
        let (deadline, mut bytes, mut chunk) = (Instant::now() + LIMIT, vec![], [0; 65_536]);
        loop {
            match self.read_some(&mut chunk, deadline) {
                Ok(0) => return (bytes, None),
                Ok(n) => bytes.extend_from_slice(&chunk[..n]),
                Err(error) => {
                    assert!(!would_block(&error), "no end after {} bytes", bytes.len());
                    return (bytes, Some(error));
                }
            }
        }
    }

    fn read_some(&mut self, bytes: &mut [u8], deadline: Instant) -> io::Result<usize> {
        let left = deadline.saturating_duration_since(Instant::now());
        self.stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        self.stream.read(bytes)
    }

    /// The next bytes must be these.
    #[track_caller]
    pub(crate) fn expect(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        same_bytes(&self.read(expected.len()), expected);
    }

    /// The stream must end here, without a reset.
    #[track_caller]
    pub(crate) fn expect_end(&mut self) {
        let rest = self.read_to_end();
        assert!(rest.is_empty(), "{} more bytes: {:02x?}", rest.len(), &rest[..rest.len().min(64)]);
    }

    /// Nothing may be there to be read by now.
    #[track_caller]
    pub(crate) fn expect_nothing_yet(&mut self) {
        self.stream.set_nonblocking(true).unwrap();
        let peeked = self.stream.peek(&mut [MaybeUninit::uninit()]);
        self.stream.set_nonblocking(false).unwrap();
        assert!(peeked.as_ref().is_err_and(would_block), "{peeked:?}");
    }

    #[track_caller]
    pub(crate) fn frame(&mut self) -> Received {
        Received::read(|len| self.read(len))
    }

    /// The next frame must be an ERROR. Returns its code, last_seq and text.
    #[track_caller]
    pub(crate) fn error(&mut self) -> (u16, u64, String) {
        match self.frame() {
            Received::Control { kind: ERROR, flags: 0, code, arg, text } => (code, arg, text),
            other => panic!("no ERROR but {other:?}"),
        }
    }

    /// A frame there and its echo back.
    #[track_caller]
    pub(crate) fn echoes(&mut self, payload: &[u8]) {
        let frame = super::data(payload);
        self.send(&frame);
        self.expect(&frame);
    }

    /// Sends no more; the replies can still be read.
    pub(crate) fn half_close(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Closes, and waits until the server has: it has seen the end by then.
    #[track_caller]
    pub(crate) fn leave(mut self) {
        self.half_close();
        self.expect_end();
    }

    /// Ends the connection with a reset.
    pub(crate) fn reset(self) {
        self.stream.set_linger(Some(Duration::ZERO)).unwrap();
    }
}

fn would_block(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
