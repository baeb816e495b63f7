//! The limit of a load generator for datagrams: one thread, level-triggered epoll, a closed loop.
//!
//! Each client has a socket of its own and so many datagrams under way. As soon as half of its
//! replies are back it sends as many again, with one call. It verifies nothing and measures no
//! latency. What it gets joined it counts apart (`UDP_GRO`, udp(7)).

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

use crate::answered::Answered;
use crate::grid::Load;

/// Room for what one arrival can hold: the kernel joins no more.
const ROOM: usize = 64 << 10;

/// Clients that one wait can report.
const EVENTS: usize = 1024;

/// What has not come back by then, when nothing else came either, is lost.
const LOST_AFTER: Duration = Duration::from_millis(200);

/// How long nothing may come back before the server counts as stuck.
const STUCK_AFTER: Duration = Duration::from_secs(5);

/// Bytes that the kernel is asked to hold for each client.
const QUEUE_LEN: usize = 1 << 20;

/// A load for one server.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the server listens
    address: SocketAddrV4,
    /// CLIENTS,PIPELINE,SIZE
    load: Load,
    /// How long to measure, in nanoseconds
    nanoseconds: u64,
    /// Sends datagrams joined, as many as the kernel takes for one
    #[arg(long)]
    joined: bool,
}

impl Args {
    /// `load` for `time` on the server at `address`.
    pub(crate) fn new(address: SocketAddrV4, load: Load, time: Duration, joined: bool) -> Self {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Self { address, load, nanoseconds, joined }
    }

    /// The same on a command line.
    pub(crate) fn words(&self) -> Vec<OsString> {
        let mut words =
            vec![self.address.to_string(), self.load.to_string(), self.nanoseconds.to_string()];
        words.extend(self.joined.then(|| "--joined".to_owned()));
        words.into_iter().map(OsString::from).collect()
    }
}

/// Measures, and prints how many datagrams were answered in which time.
///
/// # Errors
///
/// When a socket fails, or when nothing comes back for five seconds.
pub(crate) fn run(args: &Args) -> Result<()> {
    let Load { connections, pipeline, size } = args.load;
    ensure!(size <= LONGEST_DATAGRAM, "a datagram holds {LONGEST_DATAGRAM} bytes at most");
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let clients = (0..connections).map(|key| Client::open(args.address, &epoll, key));
    let mut clients = clients.collect::<Result<Vec<_>>>()?;
    let payload = vec![b'x'; size * pipeline];
    let one = [IoSlice::new(&payload[..size])];
    let mut controls: Vec<_> = (0..pipeline).map(|_| SendAncillaryBuffer::default()).collect();
    let messages = controls.iter_mut().map(|control| MMsgHdr::new(&one, control)).collect();
    let mut outbound = match args.joined {
        true => Outbound::Joined { payload: &payload, size },
        false => Outbound::Apart { messages },
    };
    let time = Duration::from_nanos(args.nanoseconds);
    let answered = measure(&epoll, &mut clients, &mut outbound, pipeline, time)?;
    writeln!(io::stdout(), "{answered}").context("cannot print what was answered")
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
    /// Datagrams that have not come back.
    under_way: usize,
}

fn measure(
    epoll: &OwnedFd,
    clients: &mut [Client],
    outbound: &mut Outbound<'_>,
    pipeline: usize,
    time: Duration,
) -> Result<Answered> {
    let mut buffers = vec![0; ROOM * BATCH_SIZE];
    let mut events = Vec::with_capacity(EVENTS);
    let look_every = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
    let start = Instant::now();
    for client in &mut *clients {
        client.send(pipeline, outbound)?;
    }
    let (mut datagrams, mut moved) = (0, start);
    let mut tried = start;
    loop {
        retry_on_intr(|| epoll::wait(epoll, spare_capacity(&mut events), Some(&look_every)))?;
        let now = Instant::now();
        if !events.is_empty() {
            (moved, tried) = (now, now);
        }
        for epoll::Event { data, .. } in events.drain(..) {
            let client = &mut clients[usize::try_from(data.u64())?];
            datagrams += client.receive(&mut buffers)?;
            let missing = pipeline - client.under_way;
            if missing >= pipeline.div_ceil(2) {
                client.send(missing, outbound)?;
            }
        }
        let elapsed = now - start;
        if elapsed >= time && datagrams > 0 {
            return Ok(Answered { datagrams, time: elapsed });
        }
        ensure!(now - moved < STUCK_AFTER, "no reply for {STUCK_AFTER:?}");
        if now - tried >= LOST_AFTER {
            tried = now;
            for client in &mut *clients {
                let lost = std::mem::take(&mut client.under_way);
                client.send(lost, outbound)?;
            }
        }
    }
}

impl Client {
    fn open(address: SocketAddrV4, epoll: &OwnedFd, key: usize) -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0").context("cannot bind")?;
        SockRef::from(&socket).set_recv_buffer_size(QUEUE_LEN)?;
        socket.connect(address)?;
        let state = UdpSocketState::new((&socket).into())?;
        let data = epoll::EventData::new_u64(key as u64);
        epoll::add(epoll, &socket, data, epoll::EventFlags::IN)?;
        Ok(Self { socket, state, address, under_way: 0 })
    }

    fn send(&mut self, count: usize, outbound: &mut Outbound<'_>) -> Result<()> {
        let mut left = count;
        while left > 0 {
            left -= self.send_some(left, outbound).context("cannot send")?;
        }
        self.under_way += count;
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

    /// Receives what is there, at most what is under way. Returns how many datagrams it was.
    fn receive(&mut self, buffers: &mut [u8]) -> Result<u64> {
        let mut received = 0;
        while self.under_way > 0 {
            let mut rooms = buffers.chunks_exact_mut(ROOM);
            let mut rooms: [IoSliceMut<'_>; BATCH_SIZE] =
                std::array::from_fn(|_| IoSliceMut::new(rooms.next().unwrap_or_default()));
            let mut arrivals = [RecvMeta::default(); BATCH_SIZE];
            let count = match self.state.recv((&self.socket).into(), &mut rooms, &mut arrivals) {
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("cannot receive"),
            };
            let joined = arrivals[..count].iter().map(joined).sum::<usize>();
            received += joined as u64;
            // One that had been given up may have come after all.
            self.under_way = self.under_way.saturating_sub(joined);
            if count < BATCH_SIZE {
                break;
            }
        }
        Ok(received)
    }
}

/// How many datagrams arrived joined.
fn joined(arrival: &RecvMeta) -> usize {
    arrival.len.div_ceil(arrival.stride.max(1)).max(1)
}
