//! The life of a datagram listener: receive, answer, and at the end answer what is still there.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::net::UdpSocket;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};
use volley_proto::{DatagramReply, Endpoint, ReplyKind};

use super::books::{DatagramBooks, Dropped};
use super::config::{DatagramConfig, is_loopback};
use super::guard::refusal;
use super::handle::{DatagramHandle, Shared};
use super::received::{Arrival, Received};
use super::replies::{Failure, Replies, Route, Way};
use super::socket::{BatchSocket, LONGEST_WAIT, MOST_QUEUED, Wanted};
use super::sources::{Rate, Sources};
use super::tally::Tally;
use crate::accept::Backoff;

/// How many datagrams are answered before the others on this thread get their turn: a fraction of a
/// millisecond, also where each reply takes a call of its own.
const DATAGRAMS_PER_TURN: usize = 256;

/// How many bytes they may have by then, as those of a connection.
const BYTES_PER_TURN: usize = crate::scratch::READ_LEN;

/// What a longer drain is cut to, thirty years: an instant that far away can still be told.
const LONGEST_DRAIN: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// Replies that could not be sent are told once in this time, with their number.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Why a socket is not served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatagramError {
    /// Others can reach it, and [`DatagramConfig::allow_public`] is off.
    #[error(
        "{address} is not a loopback address: whoever forges the source of a datagram has the \
         reply sent there"
    )]
    Public {
        /// Where the socket is bound.
        address: SocketAddr,
    },
    /// The socket can't be used: it is not bound, or not of UDP.
    #[error("cannot receive on the socket")]
    Socket(#[source] io::Error),
}

/// Answers the datagrams that `socket` receives until `shutdown` completes, then those that it has
/// received by then. A source may be forged, so by default only loopback addresses are served, and
/// some sources get no reply; see [`Dropped`].
///
/// All is done on the task that awaits this. Dropping the returned future ends it at once.
///
/// # Errors
///
/// [`DatagramError`] before anything is received. Nothing that a peer does ends a server.
///
/// # Examples
///
/// ```no_run
/// use volley_server::{DatagramConfig, bind_udp, serve_datagrams};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let socket = bind_udp("127.0.0.1:7007".parse()?)?;
/// let config = DatagramConfig::default();
/// let books = serve_datagrams(socket, config, tokio::signal::ctrl_c()).await?;
/// println!("{} datagrams answered", books.answered);
/// # Ok(())
/// # }
/// ```
pub async fn serve_datagrams(
    socket: UdpSocket,
    config: DatagramConfig,
    shutdown: impl Future,
) -> Result<DatagramBooks, DatagramError> {
    Ok(DatagramServer::new(socket, config)?.run(shutdown).await)
}

/// A socket whose datagrams are going to be answered. It keeps 2 MiB to receive in and at most as
/// much for replies, of which only what is used takes memory.
#[derive(Debug)]
pub struct DatagramServer {
    socket: BatchSocket,
    address: SocketAddr,
    shared: Arc<Shared>,
    received: Box<Received>,
    replies: Replies,
    /// Made when there is first a rate to be kept.
    sources: Option<Sources>,
    started_at: Instant,
    backoff: Backoff,
    turn: Turn,
    failures: Failures,
}

impl DatagramServer {
    /// # Errors
    ///
    /// [`DatagramError`].
    pub fn new(socket: UdpSocket, config: DatagramConfig) -> Result<Self, DatagramError> {
        let address = socket.local_addr().map_err(DatagramError::Socket)?;
        if !config.allow_public && !is_loopback(address.ip()) {
            return Err(DatagramError::Public { address });
        }
        let wanted = Wanted {
            destination: address.ip().is_unspecified(),
            time: config.reply == ReplyKind::Ack,
        };
        let socket = BatchSocket::new(socket, wanted).map_err(DatagramError::Socket)?;
        let endpoint = Endpoint::Udp(address.into());
        Ok(Self {
            address,
            shared: Arc::new(Shared::new(endpoint, socket.downgrade(), config)),
            socket,
            received: Box::new(Received::new()),
            replies: Replies::default(),
            sources: None,
            started_at: Instant::now(),
            backoff: Backoff::new(),
            turn: Turn::default(),
            failures: Failures::default(),
        })
    }

    /// To look at it while it runs.
    pub fn handle(&self) -> DatagramHandle {
        DatagramHandle::new(Arc::clone(&self.shared))
    }

    /// Serves until `shutdown` completes, as [`serve_datagrams`] does.
    pub async fn run(mut self, shutdown: impl Future) -> DatagramBooks {
        let mut shutdown = pin!(shutdown);
        loop {
            // Cancel safe: `readable` only waits.
            tokio::select! {
                biased;
                _ = &mut shutdown => break,
                // It fails only when the runtime is going.
                readable = self.socket.readable() => if readable.is_err() { break },
            }
            self.receive().await;
        }
        if !self.shared.leaves_queue() {
            self.drain().await;
        }
        self.shared.books()
    }

    /// Receives what is there, up to a batch, and answers it.
    async fn receive(&mut self) {
        match self.socket.receive(&mut self.received) {
            Ok(_) => {
                self.backoff.reset();
                self.answer().await;
            }
            Err(error) => {
                self.shared.book(|books| books.receive_errors += 1);
                let pause = self.backoff.pause();
                debug!(%error, ?pause, "cannot receive for now");
                sleep(pause).await;
            }
        }
    }

    /// Answers what was received before the shutdown: no more than can have been.
    async fn drain(&mut self) {
        let deadline = Instant::now() + self.shared.config().drain.min(LONGEST_DRAIN);
        let mut left = MOST_QUEUED;
        while left > 0 && Instant::now() < deadline {
            let Ok(more) = self.socket.receive_now(&mut self.received) else { break };
            left = left.saturating_sub(self.received.arrivals().count());
            self.answer().await;
            if !more {
                break;
            }
        }
    }

    /// Answers a batch, and enters it into the books, turn by turn.
    async fn answer(&mut self) {
        let Self { socket, received, replies, sources, turn, .. } = self;
        let (config, now) = (self.shared.config(), Instant::now());
        let mut limit = config.source_rate.on(self.address.ip()).map(|rate| Limit {
            sources: sources.get_or_insert_with(Sources::new),
            rate: Rate::new(rate),
            now: now - self.started_at,
        });
        let (mut tally, mut failure) = (Tally::default(), None);
        let mut way = Way {
            socket,
            received: received.bytes(),
            until: now + LONGEST_WAIT,
            tally: &mut tally,
            failure: &mut failure,
        };
        for arrival in received.arrivals() {
            let Arrival { source, destination, .. } = arrival;
            let refusal = refusal(source, destination, self.address.port());
            let received_at = match config.reply {
                ReplyKind::Ack => nanos_since_epoch(arrival.at),
                // Only a receipt tells.
                ReplyKind::Echo => 0,
            };
            for datagram in arrival.datagrams() {
                let payload = &way.received[datagram.clone()];
                way.tally.receive(payload.len());
                turn.spend(payload.len());
                let reply = match refusal {
                    Some(why) => Err(why),
                    None => DatagramReply::to(payload, config.reply, received_at)
                        .map_err(Dropped::from)
                        .and_then(|reply| Limit::spend(&mut limit, source).map(|()| reply)),
                };
                match reply {
                    Ok(reply) => {
                        let route = Route { to: source, from: destination };
                        replies.add(&mut way, route, datagram, &reply).await;
                    }
                    Err(why) => way.tally.drop(why),
                }
            }
            if turn.is_over() {
                replies.flush(&mut way).await;
                self.shared.book(|books| way.tally.enter(books));
                *turn = Turn::default();
                // The runtime looks at the sockets before it runs a task that has yielded.
                yield_now().await;
            }
        }
        replies.flush(&mut way).await;
        self.shared.book(|books| tally.enter(books));
        if let Some(failure) = failure {
            self.failures.tell(&failure, now);
        }
        self.socket.recover(now);
    }
}

/// What has been answered since the others on this thread had their turn.
#[derive(Debug, Default)]
struct Turn {
    datagrams: usize,
    bytes: usize,
}

impl Turn {
    /// A datagram of `len` bytes is being answered.
    fn spend(&mut self, len: usize) {
        self.datagrams += 1;
        self.bytes += len;
    }

    fn is_over(&self) -> bool {
        self.datagrams >= DATAGRAMS_PER_TURN || self.bytes >= BYTES_PER_TURN
    }
}

/// The rate that holds for a batch.
struct Limit<'a> {
    sources: &'a mut Sources,
    rate: Rate,
    now: Duration,
}

impl Limit<'_> {
    /// Spends a datagram of `source`, where there is a limit.
    fn spend(limit: &mut Option<Self>, source: SocketAddr) -> Result<(), Dropped> {
        match limit {
            Some(Self { sources, rate, now }) => sources.spend(source.ip().into(), *rate, *now),
            None => Ok(()),
        }
    }
}

/// When a datagram was received, by the kernel if it tells.
fn nanos_since_epoch(at: Option<Duration>) -> u64 {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // Overflows in the year 2554.
    u64::try_from(at.unwrap_or_else(now).as_nanos()).unwrap_or(u64::MAX)
}

/// What has become of replies that could not be sent, for the log.
#[derive(Debug, Default)]
struct Failures {
    /// Batches since it was last told.
    untold: u64,
    told_at: Option<Instant>,
}

impl Failures {
    fn tell(&mut self, failure: &Failure, now: Instant) {
        self.untold += 1;
        if self.told_at.is_none_or(|at| now.duration_since(at) >= TELL_EVERY) {
            let Failure { to, len, error } = failure;
            warn!(batches = self.untold, %to, len, %error, "cannot send replies");
            (self.untold, self.told_at) = (0, Some(now));
        }
    }
}
