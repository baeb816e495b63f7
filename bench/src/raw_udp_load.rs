//! A load generator for datagrams that can be no limit: it stops the server, fills the server's
//! queue, lets the server go on, and takes the time until all replies are there.
//!
//! ```text
//!   stop --> fill the queue --> continue --> replies --> stop ...
//!                                  '-- timed --'
//! ```
//!
//! Sending a datagram costs as much as answering it, so a generator that sends meanwhile would be
//! measured, too. Each client has a socket of its own. It verifies nothing and measures no latency.

use std::ffi::OsString;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Write};
use std::net::{SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;
use rustix::io::retry_on_intr;
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, sendmmsg};
use socket2::SockRef;
use volley_proto::LONGEST_DATAGRAM;

use crate::counted::{ANSWERED, Counted};
use crate::grid::Load;
use crate::stopped::Stopped;

/// Room for what one arrival can hold: the kernel joins no more.
const ROOM: usize = 64 << 10;

/// Clients that one wait can report.
const EVENTS: usize = 1024;

/// What has not come back when nothing came for so long is lost.
const LOST_AFTER: Duration = Duration::from_millis(200);

/// It never sleeps while it waits for replies: to wake it would be the server's work.
const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// Of each burst so many may be lost, as a part, before the figures mean nothing.
const MOST_LOST: f64 = 0.01;

/// What the kernel counts of a queue for a datagram, beside twice its bytes: an upper limit.
const OVERHEAD: usize = 1024;

/// The longest burst, some 20 ms of a server's time.
const LONGEST_BURST: usize = 8192;

/// A load for one server.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the server listens
    address: SocketAddrV4,
    /// The server's process
    server: u32,
    /// CLIENTS,ROW,SIZE
    load: Load,
    /// How long the server is to answer, in nanoseconds
    nanoseconds: u64,
    /// Sends datagrams joined, as many as the kernel takes for one
    #[arg(long)]
    joined: bool,
}

impl Args {
    /// `load` for `time` on the server at `address`, a process of its own.
    pub(crate) fn new(
        address: SocketAddrV4,
        server: u32,
        load: Load,
        time: Duration,
        joined: bool,
    ) -> Self {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Self { address, server, load, nanoseconds, joined }
    }

    /// The same on a command line.
    pub(crate) fn words(&self) -> Vec<OsString> {
        let mut words = vec![
            self.address.to_string(),
            self.server.to_string(),
            self.load.to_string(),
            self.nanoseconds.to_string(),
        ];
        words.extend(self.joined.then(|| "--joined".to_owned()));
        words.into_iter().map(OsString::from).collect()
    }
}

/// Measures, and prints how many datagrams were answered in which time.
///
/// # Errors
///
/// When a socket fails, the server ends, or more is lost than now and then a datagram.
pub(crate) fn run(args: &Args) -> Result<()> {
    let Load { connections, pipeline: row, size } = args.load;
    ensure!(size <= LONGEST_DATAGRAM, "a datagram holds {LONGEST_DATAGRAM} bytes at most");
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let clients = (0..connections).map(|key| Client::open(args.address, &epoll, key));
    let clients = clients.collect::<Result<Vec<_>>>()?;
    let payload = vec![b'x'; size * row];
    let one = [IoSlice::new(&payload[..size])];
    let mut controls: Vec<_> = (0..row).map(|_| SendAncillaryBuffer::default()).collect();
    let messages = controls.iter_mut().map(|control| MMsgHdr::new(&one, control)).collect();
    let outbound = match args.joined {
        true => Outbound::Joined { payload: &payload, size },
        false => Outbound::Apart { messages },
    };
    let rows = (burst(size)? / row).max(1);
    let mut generator =
        Generator { epoll, clients, outbound, row, rows, buffers: vec![0; ROOM * BATCH_SIZE] };
    let answered = generator.measure(args.server, Duration::from_nanos(args.nanoseconds))?;
    writeln!(io::stdout(), "{}", ANSWERED.of(answered)).context("cannot print what was answered")
}

/// How many datagrams a server's queue holds at least.
fn burst(size: usize) -> Result<usize> {
    const PATH: &str = "/proc/sys/net/core/rmem_max";
    let most = std::fs::read_to_string(PATH).with_context(|| format!("cannot read {PATH}"))?;
    let most: usize = most.trim().parse().with_context(|| format!("{PATH} says `{most}`"))?;
    // Twice as much is granted as is asked for.
    let queue = 2 * most.min(crate::plain_udp::QUEUE_LEN);
    Ok((queue / (OVERHEAD + 2 * size)).clamp(1, LONGEST_BURST))
}

struct Generator<'a> {
    epoll: OwnedFd,
    /// The key of each is its index.
    clients: Vec<Client>,
    outbound: Outbound<'a>,
    /// How many datagrams a client sends in a row, before it is another one's turn.
    row: usize,
    /// How many such rows make a burst.
    rows: usize,
    buffers: Vec<u8>,
}

/// What clients send.
enum Outbound<'a> {
    /// Datagrams of `size` bytes, up to 64 of which the kernel takes for one.
    Joined { payload: &'a [u8], size: usize },
    /// The same datagram again and again.
    Apart { messages: Vec<MMsgHdr<'a>> },
}

struct Client {
    socket: UdpSocket,
    state: UdpSocketState,
    address: SocketAddrV4,
}

impl Generator<'_> {
    fn measure(&mut self, server: u32, time: Duration) -> Result<Counted> {
        let mut total = Counted::default();
        // The first one is not counted: the server and its memory are still cold.
        let mut is_warm = false;
        while total.time < time {
            let stopped = Stopped::stop(server)?;
            for row in 0..self.rows {
                let client = &self.clients[row % self.clients.len()];
                client.send(self.row, &mut self.outbound).context("cannot send")?;
            }
            let start = Instant::now();
            drop(stopped);
            let answered = self.receive(start)?;
            let sent = (self.row * self.rows) as f64;
            ensure!(
                answered.count as f64 >= sent * (1.0 - MOST_LOST),
                "of {sent} datagrams {} came back",
                answered.count
            );
            if is_warm {
                total.count += answered.count;
                total.time += answered.time;
            }
            is_warm = true;
        }
        Ok(total)
    }

    /// Receives until all is back, or nothing more comes.
    fn receive(&mut self, start: Instant) -> Result<Counted> {
        let sent = (self.row * self.rows) as u64;
        let mut events = Vec::with_capacity(EVENTS);
        let mut answered = Counted::default();
        while answered.count < sent && start.elapsed() < answered.time + LOST_AFTER {
            retry_on_intr(|| {
                epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&AT_ONCE))
            })?;
            if events.is_empty() {
                continue;
            }
            for epoll::Event { data, .. } in events.drain(..) {
                let client = &self.clients[usize::try_from(data.u64())?];
                answered.count += client.receive(&mut self.buffers)?;
            }
            answered.time = start.elapsed();
        }
        Ok(answered)
    }
}

impl Client {
    fn open(address: SocketAddrV4, epoll: &OwnedFd, key: usize) -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0").context("cannot bind")?;
        SockRef::from(&socket).set_recv_buffer_size(crate::plain_udp::QUEUE_LEN)?;
        socket.connect(address)?;
        let state = UdpSocketState::new((&socket).into())?;
        let data = epoll::EventData::new_u64(key as u64);
        epoll::add(epoll, &socket, data, epoll::EventFlags::IN)?;
        Ok(Self { socket, state, address })
    }

    fn send(&self, count: usize, outbound: &mut Outbound<'_>) -> io::Result<()> {
        let mut left = count;
        while left > 0 {
            left -= self.send_some(left, outbound)?;
        }
        Ok(())
    }

    /// Sends up to `count` datagrams. Returns how many.
    fn send_some(&self, count: usize, outbound: &mut Outbound<'_>) -> io::Result<usize> {
        match outbound {
            Outbound::Apart { messages } => {
                Ok(sendmmsg(&self.socket, &mut messages[..count], SendFlags::empty())?)
            }
            Outbound::Joined { payload, size } => {
                let most = LONGEST_DATAGRAM / (*size).max(1);
                let count = count.min(self.state.max_gso_segments()).min(most.max(1));
                // Empty ones can't be joined.
                let count = if *size == 0 { 1 } else { count };
                let datagrams = Transmit {
                    destination: self.address.into(),
                    ecn: None,
                    contents: &payload[..count * *size],
                    segment_size: Some(*size),
                    src_ip: None,
                };
                self.state.try_send((&self.socket).into(), &datagrams)?;
                Ok(count)
            }
        }
    }

    /// Receives what is there, up to a batch. Returns how many datagrams it was.
    fn receive(&self, buffers: &mut [u8]) -> Result<u64> {
        let mut rooms = buffers.chunks_exact_mut(ROOM);
        let mut rooms: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| IoSliceMut::new(rooms.next().unwrap_or_default()));
        let mut arrivals = [RecvMeta::default(); BATCH_SIZE];
        match self.state.recv((&self.socket).into(), &mut rooms, &mut arrivals) {
            Ok(count) => Ok(arrivals[..count].iter().map(joined).sum()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error).context("cannot receive"),
        }
    }
}

/// How many datagrams arrived joined.
fn joined(arrival: &RecvMeta) -> u64 {
    arrival.len.div_ceil(arrival.stride.max(1)).max(1) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_shorter_the_longer_its_datagrams_are() {
        let lens = [0, 64, 1_472, LONGEST_DATAGRAM].map(|size| burst(size).unwrap());
        assert!(lens.is_sorted_by(|a, b| a >= b) && lens[3] >= 1, "{lens:?}");
    }
}
