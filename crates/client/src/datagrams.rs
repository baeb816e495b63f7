//! Datagrams to a server: each frame is one, and each reply another. They may come in any order,
//! twice, or never, and nobody says HELLO or GOAWAY: which reply is whose is for others to find out.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};
use volley_proto::{Endpoint, LONGEST_DATAGRAM, MaxFrame, ReplyKind};

use crate::deadline::deadline;
use crate::error::Error;
use crate::options::Options;
use crate::resolve::{candidates, no_address, resolve};
use crate::tap::{Direction, Passing, Tap};
use crate::udp_error::{is_too_long, take_error};

/// Room for a datagram of any length. Where IPv6 has longer ones than IPv4, it is by 20 bytes.
const ROOM: usize = 64 << 10;

/// [`LONGEST_DATAGRAM`] as a limit on frames.
pub(crate) const LONGEST: MaxFrame = match MaxFrame::new(LONGEST_DATAGRAM as u64) {
    Ok(longest) => longest,
    Err(_) => MaxFrame::DEFAULT,
};

/// A UDP socket that sends to one server and hears of it alone.
#[derive(Debug)]
pub struct Datagrams {
    socket: UdpSocket,
    endpoint: Endpoint,
    address: SocketAddr,
    reply: ReplyKind,
    tap: Option<Arc<dyn Tap>>,
    /// How many were sent.
    sent: u64,
    /// How many have come.
    received: u64,
    room: Box<[u8]>,
}

impl Datagrams {
    /// A socket for the first address of `endpoint`. Nothing is sent: whether anybody is there is
    /// told by the first reply, or by the system when it has been told that there is not.
    ///
    /// # Errors
    ///
    /// [`Error::Resolve`], [`Error::Bind`], [`Error::Family`], [`Error::Connect`] where there is no
    /// way to the address, [`Error::ConnectTimedOut`]; [`Error::Unsupported`] unless the endpoint is
    /// [`Endpoint::Udp`].
    pub async fn open(endpoint: &Endpoint, options: &Options) -> Result<Self, Error> {
        let (socket, address) = connected(endpoint, options).await?;
        Ok(Self {
            socket,
            endpoint: endpoint.clone(),
            address,
            reply: options.reply,
            tap: options.tap.clone(),
            sent: 0,
            received: 0,
            room: vec![0; ROOM].into(),
        })
    }

    /// Sends a datagram.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] for more than [`LONGEST_DATAGRAM`] bytes, [`Error::PathTooNarrow`] for
    /// more than the way takes; it was not sent. [`Error::Connect`] when the system has heard that
    /// nobody got an earlier one, which may have been lost with it. [`Error::Send`].
    ///
    /// # Cancel safety
    ///
    /// It is sent whole or not at all.
    pub async fn send(&mut self, payload: &[u8]) -> Result<(), Error> {
        let len = payload.len();
        if len > LONGEST_DATAGRAM {
            return Err(Error::TooLarge { len, max: LONGEST.get() });
        }
        match self.socket.send(payload).await {
            Ok(_) => {
                self.sent += 1;
                self.show(Direction::Out, Passing::Data { seq: self.sent, payload });
                Ok(())
            }
            Err(error) if is_too_long(&error) => Err(Error::PathTooNarrow { len }),
            Err(error) => Err(self.failed(error, |source| Error::Send { source })),
        }
    }

    /// Awaits the next datagram from the server. Without a deadline: it may never come.
    ///
    /// # Errors
    ///
    /// [`Error::Connect`] when the system has heard that nobody got an earlier one; the socket can
    /// still be used. [`Error::Io`].
    ///
    /// # Cancel safety
    ///
    /// None is lost.
    pub async fn receive(&mut self) -> Result<&[u8], Error> {
        match receive(&self.socket, &mut self.room).await {
            Ok(len) => {
                self.received += 1;
                let payload = &self.room[..len];
                self.show(Direction::In, Passing::Data { seq: self.received, payload });
                Ok(payload)
            }
            Err(error) => Err(self.failed(error, |source| {
                let (answered, outstanding) = (0, 0);
                Error::Io { answered, outstanding, source }
            })),
        }
    }

    /// The server's address.
    pub const fn peer_addr(&self) -> SocketAddr {
        self.address
    }

    /// The address of this machine that datagrams come from.
    ///
    /// # Errors
    ///
    /// What getsockname(2) says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The kind of reply to expect.
    pub const fn reply_kind(&self) -> ReplyKind {
        self.reply
    }

    fn show(&self, direction: Direction, passing: Passing<'_>) {
        if let Some(tap) = &self.tap {
            tap.pass(direction, passing);
        }
    }

    /// ICMP's word that nobody listens there, or what else went wrong.
    fn failed(&self, error: io::Error, other: impl FnOnce(io::Error) -> Error) -> Error {
        match error.kind() {
            io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable => unreachable(&self.endpoint, self.address, error),
            _ => other(error),
        }
    }
}

/// A socket for the first address of `endpoint`, which it is connected to, and that address. Errors
/// as [`Datagrams::open`].
pub(crate) async fn connected(
    endpoint: &Endpoint,
    options: &Options,
) -> Result<(UdpSocket, SocketAddr), Error> {
    let Endpoint::Udp(address) = endpoint else {
        return Err(Error::Unsupported { endpoint: endpoint.clone() });
    };
    let (limit, local) = (options.connect_timeout, options.local);
    let until = deadline(Instant::now(), limit);
    let Ok(addresses) = timeout_at(until, resolve(endpoint, address)).await else {
        let (endpoint, awaited) = (endpoint.clone(), "address");
        return Err(Error::ConnectTimedOut { endpoint, awaited, after: limit });
    };
    let addresses = addresses?;
    let Some(address) = candidates(&addresses, local).next() else {
        return Err(no_address(endpoint, &addresses, local));
    };
    let any =
        if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let from = local.unwrap_or(any);
    let bound = UdpSocket::bind((from, 0)).await;
    let socket = bound.map_err(|source| Error::Bind { local: from, source })?;
    let failed = |source| unreachable(endpoint, address, source);
    socket.connect(address).await.map_err(failed)?;
    Ok((socket, address))
}

/// Receives a datagram, or hears of an error. The system tells of an error apart, and the runtime
/// wakes nobody for it who only waits for datagrams.
async fn receive(socket: &UdpSocket, room: &mut [u8]) -> io::Result<usize> {
    loop {
        let ready = socket.ready(Interest::READABLE | Interest::ERROR).await?;
        match socket.try_recv(room) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            received => return received,
        }
        if ready.is_error()
            && let Some(error) = take_error(socket)?
        {
            return Err(error);
        }
    }
}

fn unreachable(endpoint: &Endpoint, address: SocketAddr, source: io::Error) -> Error {
    Error::Connect { endpoint: endpoint.clone(), address: Some(address), source }
}
