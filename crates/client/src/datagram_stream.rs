//! Datagrams as if they were a stream of frames, for those who have a frame path of their own: each
//! frame that is written goes out as a datagram, and each datagram that comes is read as a frame.
//!
//! ```text
//!   written:  [len|payload][len|payload][len|payload]    read:  [len|payload][len|payload]
//!                 |             |            |                       ^            ^
//!              datagram      datagram     datagram                datagram     datagram
//! ```
//!
//! They may come in any order, twice or never, and there is no end: who reads finds out whose a reply
//! is. Frames of one length are handed to the kernel together where it can cut them itself (GSO), and
//! taken from it together (GRO). What is longer than a packet goes in several, as from any socket.

use std::cell::RefCell;
use std::io::{self, IoSliceMut};
use std::mem;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

#[cfg(target_os = "linux")]
use nix::sys::socket::{setsockopt, sockopt::Ipv6DontFrag};
use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
#[cfg(target_os = "linux")]
use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};
use tokio::net::UdpSocket;
use tokio_util::sync::ReusableBoxFuture;
use volley_proto::{HEAD_LEN, LONGEST_DATAGRAM, MaxFrame, Parsed, encode_data_head, parse};

use crate::udp_error::{is_too_long, take_error};

/// Room for what one call receives: a datagram of any length, or as many shorter ones as the kernel
/// joins.
const ROOM: usize = 64 << 10;

/// Room for the heads that are put before them: the kernel joins no more than 128
/// (`UDP_MAX_SEGMENTS` in linux/udp.h).
const HEADS: usize = 128 * HEAD_LEN;

thread_local! {
    /// Payloads that are handed to the kernel together, without their heads. Lent for one call.
    static TRAIN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A UDP socket that is connected to a server.
#[derive(Debug)]
pub(crate) struct DatagramStream {
    socket: Arc<UdpSocket>,
    /// Waits for datagrams and for errors, while there are none. The runtime wakes nobody for an
    /// error who only waits for datagrams.
    ready: ReusableBoxFuture<'static, io::Result<Ready>>,
    /// Whether `ready` has not been awaited to its end.
    is_waiting: bool,
    /// Whether the runtime has told of an error.
    may_have_failed: bool,
    /// What the system told before it gave the datagrams that had come until then.
    failure: Option<io::Error>,
    state: UdpSocketState,
    /// Datagrams of this length, and longer ones, are not handed over together: a packet of the
    /// way's holds none.
    too_long_to_join: usize,
    /// Where datagrams go.
    server: SocketAddr,
}

impl DatagramStream {
    /// # Errors
    ///
    /// What the system says to a socket that is none of UDP, or not connected.
    pub(crate) fn new(socket: UdpSocket) -> io::Result<Self> {
        let server = socket.peer_addr()?;
        let state = cut_by_the_kernel(&socket, server.is_ipv4())?;
        let socket = Arc::new(socket);
        let ready = ReusableBoxFuture::new(until_ready(Arc::clone(&socket)));
        Ok(Self {
            socket,
            ready,
            is_waiting: true,
            may_have_failed: false,
            failure: None,
            state,
            too_long_to_join: usize::MAX,
            server,
        })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.peer_addr()
    }

    /// Waits until there is something to receive, or an error to be told.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_waiting {
            self.may_have_failed = ready!(self.ready.poll(cx))?.is_error();
            self.is_waiting = false;
        }
        Poll::Ready(Ok(()))
    }

    /// There was nothing.
    fn wait_again(&mut self) {
        self.ready.set(until_ready(Arc::clone(&self.socket)));
        self.is_waiting = true;
    }

    /// Sends the frames at the front of `bytes` with one call. Returns how many bytes they are.
    fn send_front(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let first = payload_at(bytes)?;
        let may_join = self.state.max_gso_segments() > 1 && first.len() < self.too_long_to_join;
        if may_join
            && !first.is_empty()
            && let Some(end) = self.send_train(first.len(), bytes)?
        {
            return Ok(end);
        }
        match self.send(first, None) {
            // This was said of an earlier one: the way is narrower than it was long.
            Err(error) if is_too_long(&error) => self.send(first, None)?,
            sent => sent?,
        }
        Ok(HEAD_LEN + first.len())
    }

    /// Sends the frames of this length at the front of `bytes` if there are several. Returns how
    /// many bytes they are; `None` if the kernel does not take them together.
    fn send_train(&mut self, len: usize, bytes: &[u8]) -> io::Result<Option<usize>> {
        TRAIN.with_borrow_mut(|train| {
            train.clear();
            let (mut end, mut segments) = (0, 0);
            while segments < self.state.max_gso_segments()
                && let Ok(next) = payload_at(&bytes[end..])
                && next.len() == len
                && train.len() + len <= LONGEST_DATAGRAM
            {
                train.extend_from_slice(next);
                end += HEAD_LEN + len;
                segments += 1;
            }
            if segments < 2 {
                return Ok(None);
            }
            match self.send(train, Some(len)) {
                Ok(()) => Ok(Some(end)),
                Err(error) if is_too_long(&error) => {
                    self.too_long_to_join = len;
                    Ok(None)
                }
                // The interface or what is below it cuts none.
                Err(_) if self.state.max_gso_segments() == 1 => Ok(None),
                Err(error) => Err(error),
            }
        })
    }

    fn send(&self, contents: &[u8], segment_size: Option<usize>) -> io::Result<()> {
        let transmit =
            Transmit { destination: self.server, ecn: None, contents, segment_size, src_ip: None };
        self.socket
            .try_io(Interest::WRITABLE, || self.state.try_send((&*self.socket).into(), &transmit))
    }

    /// Receives into the second half of `room`, and puts what came into the first, a head before
    /// each datagram. Returns how many bytes that makes.
    fn receive(&self, room: &mut [u8]) -> io::Result<usize> {
        let (frames, received) = room.split_at_mut(room.len() - ROOM);
        let mut meta = [RecvMeta::default()];
        self.socket.try_io(Interest::READABLE, || {
            let mut rooms = [IoSliceMut::new(received)];
            self.state.recv((&*self.socket).into(), &mut rooms, &mut meta)
        })?;
        let [RecvMeta { len, stride, .. }] = meta;
        if len == 0 {
            frames[..HEAD_LEN].copy_from_slice(&encode_data_head(0));
            return Ok(HEAD_LEN);
        }
        let mut end = 0;
        for payload in received[..len].chunks(stride.max(1)) {
            frames[end..end + HEAD_LEN].copy_from_slice(&encode_data_head(payload.len()));
            end += HEAD_LEN;
            frames[end..end + payload.len()].copy_from_slice(payload);
            end += payload.len();
        }
        Ok(end)
    }
}

/// What is known of a socket, which goes on cutting datagrams that are longer than a packet: QUIC,
/// for which quinn-udp is made, wants none that are cut.
#[cfg(target_os = "linux")]
fn cut_by_the_kernel(socket: &UdpSocket, is_ipv4: bool) -> io::Result<UdpSocketState> {
    let of_ipv4 = sockopt::ip_mtu_discover(socket)?;
    let of_ipv6 = (!is_ipv4).then(|| sockopt::ipv6_mtu_discover(socket)).transpose()?;
    let state = UdpSocketState::new(socket.into())?;
    sockopt::set_ip_mtu_discover(socket, of_ipv4)?;
    if let Some(of_ipv6) = of_ipv6 {
        sockopt::set_ipv6_mtu_discover(socket, of_ipv6)?;
        setsockopt(socket, Ipv6DontFrag, &false)?;
    }
    Ok(state)
}

#[cfg(not(target_os = "linux"))]
fn cut_by_the_kernel(socket: &UdpSocket, _: bool) -> io::Result<UdpSocketState> {
    UdpSocketState::new(socket.into())
}

/// What a reader waits for.
const WANTED: Interest = Interest::READABLE.add(Interest::ERROR);

async fn until_ready(socket: Arc<UdpSocket>) -> io::Result<Ready> {
    socket.ready(WANTED).await
}

/// The payload of the whole data frame at the front.
fn payload_at(bytes: &[u8]) -> io::Result<&[u8]> {
    match parse(bytes, MaxFrame::CEILING) {
        Ok(Parsed::Data(payload)) => Ok(payload),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "a datagram is a whole data frame")),
    }
}

impl AsyncRead for DatagramStream {
    /// Gives whole frames only. `buffer` must have room for what the kernel may join, twice.
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut has_read = false;
        loop {
            let room = buffer.initialize_unfilled();
            if room.len() < 2 * ROOM + HEADS {
                return Poll::Ready(if has_read {
                    Ok(())
                } else {
                    Err(io::Error::new(io::ErrorKind::InvalidInput, "no room for datagrams"))
                });
            }
            if !has_read {
                ready!(self.poll_ready(cx))?;
            }
            match self.receive(room) {
                Ok(len) => {
                    buffer.advance(len);
                    has_read = true;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if has_read && self.failure.is_some() {
                        return Poll::Ready(Ok(()));
                    }
                    self.wait_again();
                    if has_read {
                        return Poll::Ready(Ok(()));
                    }
                    let told = mem::take(&mut self.may_have_failed);
                    let told = if told { take_error(&self.socket)? } else { None };
                    if let Some(error) = self.failure.take().or(told) {
                        return Poll::Ready(Err(error));
                    }
                }
                // The way is narrower than one was long. From now on they are cut for it.
                Err(error) if is_too_long(&error) => {}
                // Replies that have come count all the same.
                Err(error) if self.failure.is_none() => self.failure = Some(error),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for DatagramStream {
    /// Takes whole data frames only.
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut written = 0;
        while written < bytes.len() {
            match self.send_front(&bytes[written..]) {
                Ok(len) => written += len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.socket.poll_send_ready(cx)?.is_pending() {
                        break;
                    }
                }
                Err(error) if written == 0 => return Poll::Ready(Err(error)),
                // What is out is out; the next call meets the error again, or it has passed.
                Err(_) => break,
            }
        }
        if written == 0 { Poll::Pending } else { Poll::Ready(Ok(written)) }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Nobody is told: there is no end of datagrams.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    use super::*;

    /// No test comes near it.
    const LIMIT: Duration = Duration::from_secs(20);

    /// A stream of datagrams, and the socket at its other end.
    async fn pair() -> (DatagramStream, UdpSocket) {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        client.connect(server.local_addr().unwrap()).await.unwrap();
        server.connect(client.local_addr().unwrap()).await.unwrap();
        (DatagramStream::new(client).unwrap(), server)
    }

    fn frames(lens: &[usize]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (fill, &len) in (0..).zip(lens) {
            volley_proto::encode_data(&vec![fill; len], &mut bytes);
        }
        bytes
    }

    /// Empty ones, many of one length, a shorter one among them, the longest.
    const LENS: [usize; 9] = [0, 64, 64, 64, 5, 64, 0, LONGEST_DATAGRAM, 1];

    #[tokio::test]
    async fn each_frame_is_a_datagram_whatever_its_length() {
        let (mut stream, server) = pair().await;
        timeout(LIMIT, stream.write_all(&frames(&LENS))).await.unwrap().unwrap();
        let mut room = vec![0; 1 << 16];
        for (fill, len) in (0..).zip(LENS) {
            let received = timeout(LIMIT, server.recv(&mut room)).await.unwrap().unwrap();
            assert_eq!(received, len);
            assert!(room[..len].iter().all(|&byte| byte == fill));
        }
    }

    #[tokio::test]
    async fn each_datagram_is_a_frame_whatever_its_length() {
        let (mut stream, server) = pair().await;
        for (fill, len) in (0..).zip(LENS) {
            assert_eq!(server.send(&vec![fill; len]).await.unwrap(), len);
        }
        let (expected, mut read) = (frames(&LENS), Vec::new());
        let mut room = vec![0; 4 * ROOM];
        while read.len() < expected.len() {
            let len = timeout(LIMIT, stream.read(&mut room)).await.unwrap().unwrap();
            read.extend_from_slice(&room[..len]);
        }
        assert!(read == expected);
    }

    #[tokio::test]
    async fn what_the_kernel_joins_is_taken_apart() {
        let (mut to, from) = pair().await;
        let mut back = DatagramStream::new(from).unwrap();
        let many = frames(&[100; 200]);
        timeout(LIMIT, to.write_all(&many)).await.unwrap().unwrap();
        let (mut read, mut room) = (Vec::new(), vec![0; 4 * ROOM]);
        while read.len() < many.len() {
            let len = timeout(LIMIT, back.read(&mut room)).await.unwrap().unwrap();
            read.extend_from_slice(&room[..len]);
        }
        assert!(read == many);
    }

    #[tokio::test]
    async fn nobody_there_is_an_error_and_no_silence() {
        let (mut stream, server) = pair().await;
        drop(server);
        stream.write_all(&frames(&[1])).await.unwrap();
        let error = timeout(LIMIT, stream.read(&mut vec![0; 4 * ROOM])).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn what_came_before_an_error_is_read_before_it() {
        let (mut stream, server) = pair().await;
        server.send(b"hello").await.unwrap();
        drop(server);
        stream.write_all(&frames(&[1])).await.unwrap();
        let mut room = vec![0; 4 * ROOM];
        let len = timeout(LIMIT, stream.read(&mut room)).await.unwrap().unwrap();
        assert_eq!(room[..len], *b"\0\0\0\x05hello");
        let error = timeout(LIMIT, stream.read(&mut room)).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn what_is_no_frame_is_not_sent() {
        let (mut stream, _server) = pair().await;
        let error = stream.write_all(b"\0\0\0\x05ab").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
