//! The limit of a load generator: one thread, level-triggered epoll, a closed loop.
//!
//! On each connection it sends a batch of frames in one piece, counts the bytes that come back,
//! and sends the next batch when all replies are there. It verifies nothing and measures no
//! latency.

use std::ffi::OsString;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustls::{ClientConfig, ClientConnection};
use volley_proto::{HEAD_LEN, encode_data};

use crate::grid::Load;
use crate::target::Target;
use crate::tls_client;

/// Bytes that one receive can take: more than a socket holds by default.
const RECEIVE_LEN: usize = 256 << 10;

/// Connections that one wait can report.
const EVENTS: usize = 1024;

/// The longest wait between two looks at the clock.
const LOOK_EVERY: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// How long no byte may move before the server counts as stuck.
const STUCK_AFTER: Duration = Duration::from_secs(5);

/// A load for one server.
#[derive(Debug, PartialEq, Eq, clap::Args)]
pub(crate) struct Args {
    /// Where the server listens
    address: SocketAddrV4,
    /// CONNECTIONS,PIPELINE,SIZE
    load: Load,
    /// How long to measure, in nanoseconds
    nanoseconds: u64,
    /// Payload bytes of each reply; the size of the frame when not given
    #[arg(long)]
    reply_size: Option<usize>,
    /// Speak TLS with a server whose certificate is signed by this one, in PEM
    #[arg(long)]
    ca: Option<PathBuf>,
}

impl Args {
    /// `load` for `time` on the server at `address`, which echoes.
    pub(crate) fn new(address: SocketAddrV4, load: Load, time: Duration) -> Self {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Self { address, load, nanoseconds, reply_size: None, ca: None }
    }

    /// The same on a server that is `target`.
    pub(crate) fn on(self, target: &Target) -> Self {
        Self { reply_size: target.reply_size, ca: target.ca.clone(), ..self }
    }

    /// The same on a command line.
    pub(crate) fn words(&self) -> Vec<OsString> {
        let mut words =
            vec![self.address.to_string(), self.load.to_string(), self.nanoseconds.to_string()];
        words.extend(self.reply_size.map(|bytes| format!("--reply-size={bytes}")));
        let mut words: Vec<_> = words.into_iter().map(OsString::from).collect();
        if let Some(ca) = &self.ca {
            words.extend(["--ca".into(), ca.into()]);
        }
        words
    }
}

/// Connects, then measures, and prints the answered frames per second on stdout.
///
/// # Errors
///
/// When a connection fails or is closed, when the replies are longer than told, or when nothing
/// happens for five seconds.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut generator = Generator::connect(args)?;
    let rate = generator.measure(Duration::from_nanos(args.nanoseconds))?;
    writeln!(std::io::stdout(), "{rate:.3}").context("cannot print the rate")
}

struct Generator {
    epoll: OwnedFd,
    /// The key of each is its index.
    connections: Vec<Connection>,
    batch: Vec<u8>,
    /// Bytes of the replies to one batch.
    want: usize,
    pipeline: u64,
    answered: u64,
}

struct Connection {
    stream: TcpStream,
    /// Its TLS session, if it has one.
    session: Option<Box<ClientConnection>>,
    /// Bytes of the present batch that have been sent, or entered into the session.
    sent: usize,
    /// Bytes of its replies that have been received.
    received: usize,
    /// Whether epoll reports that there is room to send.
    awaits_room: bool,
}

impl Generator {
    fn connect(args: &Args) -> Result<Self> {
        let Load { connections, pipeline, size } = args.load;
        let mut batch = Vec::with_capacity(pipeline * (HEAD_LEN + size));
        let payload = vec![b'x'; size];
        for _ in 0..pipeline {
            encode_data(&payload, &mut batch);
        }
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let tls = args.ca.as_deref().map(tls_client::config).transpose()?;
        let connections = (0..connections)
            .map(|key| {
                Connection::open(args.address, tls.as_ref(), &epoll, key)
                    .with_context(|| format!("connection {} of {connections}", key + 1))
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            epoll,
            connections,
            batch,
            want: pipeline * (HEAD_LEN + args.reply_size.unwrap_or(size)),
            pipeline: pipeline as u64,
            answered: 0,
        })
    }

    fn measure(&mut self, time: Duration) -> Result<f64> {
        let mut buffer = vec![0; RECEIVE_LEN];
        let mut events = Vec::with_capacity(EVENTS);
        let start = Instant::now();
        for key in 0..self.connections.len() {
            self.send(key)?;
        }
        let mut moved = start;
        loop {
            retry_on_intr(|| {
                epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&LOOK_EVERY))
            })?;
            if !events.is_empty() {
                moved = Instant::now();
            }
            for epoll::Event { data, flags } in events.drain(..) {
                let key = usize::try_from(data.u64())?;
                self.turn(key, flags, &mut buffer)?;
            }
            let now = Instant::now();
            let elapsed = now - start;
            // A batch that takes longer than the time is still waited for: it is a measurement.
            if elapsed >= time && self.answered > 0 {
                return Ok(self.answered as f64 / elapsed.as_secs_f64());
            }
            ensure!(
                now - moved < STUCK_AFTER,
                "no reply for {STUCK_AFTER:?}: are the replies shorter than expected (--reply-size)?"
            );
        }
    }

    fn turn(&mut self, key: usize, flags: epoll::EventFlags, buffer: &mut [u8]) -> Result<()> {
        let connection = &mut self.connections[key];
        // Errors and hang-ups are told by the receive.
        if flags != epoll::EventFlags::OUT {
            connection.receive(buffer)?;
            ensure!(
                connection.received <= self.want,
                "the replies are longer than expected: set their length with --reply-size"
            );
        }
        if !connection.has_sent(&self.batch) {
            return self.send(key);
        }
        if connection.received == self.want {
            self.answered += self.pipeline;
            connection.received = 0;
            connection.sent = 0;
            return self.send(key);
        }
        Ok(())
    }

    fn send(&mut self, key: usize) -> Result<()> {
        let connection = &mut self.connections[key];
        let done = connection.send(&self.batch)?;
        if connection.awaits_room == done {
            connection.awaits_room = !done;
            let mut flags = epoll::EventFlags::IN;
            flags.set(epoll::EventFlags::OUT, !done);
            epoll::modify(&self.epoll, &connection.stream, data(key), flags)?;
        }
        Ok(())
    }
}

impl Connection {
    fn open(
        address: SocketAddrV4,
        tls: Option<&Arc<ClientConfig>>,
        epoll: &OwnedFd,
        key: usize,
    ) -> Result<Self> {
        let mut stream = TcpStream::connect(address).context("cannot connect")?;
        stream.set_nodelay(true)?;
        let mut session = tls.map(tls_client::session).transpose()?.map(Box::new);
        if let Some(session) = &mut session {
            session.complete_io(&mut stream).context("no TLS handshake")?;
        }
        stream.set_nonblocking(true)?;
        epoll::add(epoll, &stream, data(key), epoll::EventFlags::IN)?;
        Ok(Self { stream, session, sent: 0, received: 0, awaits_room: false })
    }

    /// Whether nothing of the batch is left to send.
    fn has_sent(&self, batch: &[u8]) -> bool {
        self.sent == batch.len() && self.session.as_ref().is_none_or(|one| !one.wants_write())
    }

    /// Sends what is left of the batch, as far as there is room, and says whether that was all.
    fn send(&mut self, batch: &[u8]) -> Result<bool> {
        if self.session.is_some() { self.send_sealed(batch) } else { self.send_plain(batch) }
    }

    fn send_sealed(&mut self, batch: &[u8]) -> Result<bool> {
        let session = self.session.as_mut().context("no TLS session")?;
        loop {
            while session.wants_write() {
                match session.write_tls(&mut self.stream) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error).context("cannot send"),
                }
            }
            if self.sent == batch.len() {
                return Ok(true);
            }
            self.sent += session.writer().write(&batch[self.sent..])?;
        }
    }

    fn send_plain(&mut self, batch: &[u8]) -> Result<bool> {
        while self.sent < batch.len() {
            match send(&self.stream, &batch[self.sent..], SendFlags::NOSIGNAL) {
                Ok(sent) => self.sent += sent,
                Err(Errno::AGAIN) => return Ok(false),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error).context("cannot send"),
            }
        }
        Ok(true)
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<()> {
        match recv(&self.stream, &mut *buffer, RecvFlags::empty()) {
            Ok((_, 0)) => bail!("the server closed a connection"),
            Ok((_, received)) => self.received += self.opened(&buffer[..received])?,
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(error).context("cannot receive"),
        }
        Ok(())
    }

    /// How many bytes of replies there are in what has been received.
    fn opened(&mut self, mut bytes: &[u8]) -> Result<usize> {
        let Some(session) = &mut self.session else { return Ok(bytes.len()) };
        let mut opened = 0;
        while !bytes.is_empty() {
            session.read_tls(&mut bytes)?;
            let there = session.process_new_packets()?.plaintext_bytes_to_read();
            io::copy(&mut session.reader().take(there as u64), &mut io::sink())?;
            opened += there;
        }
        Ok(opened)
    }
}

fn data(key: usize) -> epoll::EventData {
    epoll::EventData::new_u64(key as u64)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn reads_back_its_own_command_line() {
        let address = "127.0.0.1:7".parse().unwrap();
        let load = "64,16,0".parse().unwrap();
        for (reply_size, ca) in [(None, None), (Some(32), Some("/tmp/ca.pem".into()))] {
            let mut target = Target::announcing("it", Vec::new());
            (target.reply_size, target.ca) = (reply_size, ca);
            let args = Args::new(address, load, Duration::from_millis(1500)).on(&target);
            let line = std::iter::once("raw-load".into()).chain(args.words());
            assert_eq!(Line::try_parse_from(line).unwrap().args, args);
        }
    }
}
