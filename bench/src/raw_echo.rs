//! The limit of a server: one thread, level-triggered epoll, one receive and one send per turn.
//!
//! It looks at no frame and has no timeouts, no limits and no queues, so a server that does
//! everything else as well can at best come level with it. It is for its own load only: a peer
//! that doesn't read stops it for everybody.
//!
//! It counts what it receives and tells at SIGTERM, so that it is the referee for load generators.
//! That costs a look at the clock per turn.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;
use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, epoll, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::sockopt::set_tcp_nodelay;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, accept_with, bind, getsockname,
    listen, recv, send, socket_with,
};
use slab::Slab;

use crate::counted::RECEIVED;
use crate::received::{self, Meter};
use crate::{listening, report};

/// Bytes that one receive can take: more than a socket holds by default.
const RECEIVE_LEN: usize = 256 << 10;

/// Connections that one wait can report.
const EVENTS: usize = 1024;

/// The listener's key, which no connection can have.
const LISTENER: u64 = u64::MAX;

/// The key of the wish that it ends, which no connection can have either.
const END: u64 = LISTENER - 1;

/// Where it listens and what it counts.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    listening: listening::Args,

    /// Connections whose bytes are not counted: the first ones, when they are not yet the load
    #[arg(long, default_value_t = 0)]
    uncounted: usize,
}

/// Serves until SIGTERM, then prints what it has received.
///
/// # Errors
///
/// When the listener or epoll fails; what a connection does ends only that connection.
pub(crate) fn run(args: &Args) -> Result<()> {
    let end = catch_sigterm()?;
    let listener = open(&args.listening)?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    add(&epoll, &listener, LISTENER)?;
    add(&epoll, &end, END)?;
    listening::announce(&SocketAddr::try_from(getsockname(&listener)?)?.into())?;

    let mut connections = Connections { open: Slab::new(), uncounted: args.uncounted };
    let mut meter = Meter::default();
    let mut begun = false;
    let mut ending = false;
    let mut buffer = vec![0; RECEIVE_LEN];
    let mut events = Vec::with_capacity(EVENTS);
    while !ending {
        retry_on_intr(|| epoll::wait(&epoll, spare_capacity(&mut events), None))?;
        let now = Instant::now();
        for event in events.drain(..) {
            match event.data.u64() {
                LISTENER => connections.accept_all(&listener, &epoll)?,
                // What else has happened until now still counts.
                END => ending = true,
                key => {
                    let key = usize::try_from(key)?;
                    let connection = &connections.open[key];
                    if !connection.echo(&mut buffer, &mut meter, now, &end) {
                        connections.open.remove(key);
                    }
                }
            }
        }
        if !begun && meter.has_begun() {
            begun = true;
            report::print(&format_args!("{}\n", received::BEGUN))?;
        }
    }
    report::print(&format_args!("{}\n", RECEIVED.of(meter.received())))
}

/// A descriptor that becomes readable with SIGTERM, which then does nothing else.
fn catch_sigterm() -> Result<SignalFd> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.thread_block().context("cannot block SIGTERM")?;
    SignalFd::new(&signals).context("cannot catch SIGTERM")
}

fn open(args: &listening::Args) -> Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let listener = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    let address = args.address();
    bind(&listener, &address).with_context(|| format!("cannot bind {address}"))?;
    listen(&listener, i32::try_from(listening::BACKLOG)?).context("cannot listen")?;
    Ok(listener)
}

fn add(epoll: &OwnedFd, source: impl AsFd, key: u64) -> Result<(), Errno> {
    epoll::add(epoll, source, epoll::EventData::new_u64(key), epoll::EventFlags::IN)
}

struct Connections {
    /// By the keys that epoll reports.
    open: Slab<Connection>,
    /// How many of those to come are not counted.
    uncounted: usize,
}

struct Connection {
    socket: OwnedFd,
    counts: bool,
}

impl Connections {
    fn accept_all(&mut self, listener: &OwnedFd, epoll: &OwnedFd) -> Result<()> {
        loop {
            match accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(socket) => {
                    set_tcp_nodelay(&socket, true)?;
                    let entry = self.open.vacant_entry();
                    add(epoll, &socket, entry.key() as u64)?;
                    entry.insert(Connection { socket, counts: self.uncounted == 0 });
                    self.uncounted = self.uncounted.saturating_sub(1);
                }
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(error) => return Err(error).context("cannot accept"),
            }
        }
    }
}

impl Connection {
    /// Sends back what one receive brings, and says whether the connection stays open.
    fn echo(&self, buffer: &mut [u8], meter: &mut Meter, now: Instant, end: &SignalFd) -> bool {
        match recv(&self.socket, &mut *buffer, RecvFlags::empty()) {
            Ok((_, 0)) => false,
            Ok((_, received)) => {
                if self.counts {
                    meter.count(received, now);
                }
                self.send_all(&buffer[..received], end).is_ok()
            }
            Err(error) => matches!(error, Errno::AGAIN | Errno::INTR),
        }
    }

    fn send_all(&self, mut bytes: &[u8], end: &SignalFd) -> Result<(), Errno> {
        while !bytes.is_empty() {
            match send(&self.socket, bytes, SendFlags::NOSIGNAL) {
                Ok(sent) => bytes = &bytes[sent..],
                Err(Errno::AGAIN) => {
                    let mut ready = [
                        PollFd::new(&self.socket, PollFlags::OUT),
                        PollFd::new(end, PollFlags::IN),
                    ];
                    retry_on_intr(|| poll(&mut ready, None))?;
                    // Who doesn't read must not keep it from ending.
                    if !ready[1].revents().is_empty() {
                        return Err(Errno::CANCELED);
                    }
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
