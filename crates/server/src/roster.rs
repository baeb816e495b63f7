//! The open connections of one listener: who must be woken when the phase changes, and the books.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use slab::Slab;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use volley_proto::Endpoint;

use crate::linger::LINGER;
use crate::opening::Places;
use crate::seat::{Orders, Seat};
use crate::service_time::ServiceTime;
use crate::{Books, BufferLimit, Config, ConnectionStatus, End};

/// How long a lingering close may go on when the draining has ended: it keeps replies from being
/// destroyed that were sent in time, and the server from being over within a second.
const LINGER_AFTER_DEADLINE: Duration = Duration::from_millis(900);

/// Shared by a listener and its connections. Locked when a connection opens or closes, when
/// somebody looks at all of them and when the phase changes, never per frame.
#[derive(Debug)]
pub(crate) struct Roster {
    /// Where it listens.
    pub(crate) endpoint: Endpoint,
    open: Mutex<Open>,
    /// Somebody has come: the sweep, which rests while nobody is there, goes on.
    pub(crate) joined: Notify,
    /// When the draining ends; not set while serving.
    deadline: OnceLock<Instant>,
    config: Mutex<Arc<Config>>,
    pub(crate) service_time: ServiceTime,
    pub(crate) buffers: BufferLimit,
    /// How often a connection had to wait because of its rate.
    pub(crate) throttled: AtomicU64,
    /// Whether accepting waits for [`Config::accept_rate`] now.
    pub(crate) accepting_waits: AtomicBool,
    /// Where those wait that have been accepted and are not open yet.
    pub(crate) places: Places,
    /// Cancelled when the draining begins: who has said nothing is not waited for much longer.
    pub(crate) drain_begins: CancellationToken,
    /// Cancelled when they are cut off.
    pub(crate) openings_end: CancellationToken,
    /// At the end the backlog is left to another process, which has the same socket.
    pub(crate) leaves_backlog: AtomicBool,
}

#[derive(Debug, Default)]
struct Open {
    seats: Slab<Arc<Seat>>,
    books: Books,
    /// What a connection finds that comes now.
    orders: Option<Orders>,
}

impl Roster {
    pub(crate) fn new(endpoint: Endpoint, config: Config) -> Self {
        Self {
            endpoint,
            open: Mutex::default(),
            joined: Notify::new(),
            deadline: OnceLock::new(),
            buffers: config.buffers.clone(),
            places: Places::new(config.max_handshakes),
            drain_begins: CancellationToken::new(),
            openings_end: CancellationToken::new(),
            config: Mutex::new(Arc::new(config)),
            service_time: ServiceTime::default(),
            throttled: AtomicU64::new(0),
            accepting_waits: AtomicBool::new(false),
            leaves_backlog: AtomicBool::new(false),
        }
    }

    /// What is in force.
    pub(crate) fn config(&self) -> Arc<Config> {
        Arc::clone(&lock(&self.config))
    }

    /// Puts another configuration in force, and has all connections look at it.
    pub(crate) fn reconfigure(&self, config: Config) {
        *lock(&self.config) = Arc::new(config);
        self.order_all(Orders::RECONFIGURE);
        self.joined.notify_one();
    }

    /// When the draining ends; `None` while serving.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline.get().copied()
    }

    /// How long a close that begins now may linger.
    pub(crate) fn longest_linger(&self) -> Duration {
        let until = self.deadline().map(|deadline| deadline + LINGER_AFTER_DEADLINE);
        until.map_or(LINGER, |until| until.saturating_duration_since(Instant::now()).min(LINGER))
    }

    /// Puts a connection on the roster, as accepted. Returns the key to [`leave`](Self::leave)
    /// with.
    pub(crate) fn join(&self, seat: &Arc<Seat>) -> usize {
        let mut open = self.open();
        open.books.accepted += 1;
        if let Some(orders) = open.orders {
            seat.order(orders);
        }
        if open.seats.is_empty() {
            self.joined.notify_one();
        }
        open.seats.insert(Arc::clone(seat))
    }

    /// Takes a connection off it and enters it into the books. `answered` may be more than its
    /// seat shows: a part of the last batch.
    pub(crate) fn leave(&self, key: usize, end: End, answered: u64) {
        let mut open = self.open();
        let seat = open.seats.remove(key);
        let figures = seat.figures();
        let books = &mut open.books;
        books.frames_received += figures.frames;
        books.frames_answered += answered;
        books.payload_bytes += figures.payload_bytes;
        books.bytes_in += figures.read;
        books.bytes_out += figures.written;
        *books.ends.entry(end).or_default() += 1;
        if figures.frames > answered {
            *books.dropped.entry(end).or_default() += figures.frames - answered;
        }
        // A crowd that has gone is no reason to keep its room.
        if open.seats.capacity() > 1024 && open.seats.len() < open.seats.capacity() / 8 {
            open.seats.shrink_to_fit();
        }
    }

    /// Asks all connections to finish by `deadline`, those too that are still to come.
    pub(crate) fn drain(&self, deadline: Instant) {
        // Set once: a listener is drained once.
        let _ = self.deadline.set(deadline);
        self.drain_begins.cancel();
        self.order_from_now_on(Orders::DRAIN);
    }

    /// Ends all connections at once.
    pub(crate) fn cut_off(&self) {
        self.openings_end.cancel();
        self.order_from_now_on(Orders::CUT_OFF);
    }

    fn order_from_now_on(&self, orders: Orders) {
        let mut open = self.open();
        open.orders = Some(orders);
        open.seats.iter().for_each(|(_, seat)| seat.order(orders));
    }

    fn order_all(&self, orders: Orders) {
        self.open().seats.iter().for_each(|(_, seat)| seat.order(orders));
    }

    /// Changes the books.
    pub(crate) fn book(&self, entry: impl FnOnce(&mut Books)) {
        entry(&mut self.open().books);
    }

    /// The books at this instant, with what open connections have done so far.
    pub(crate) fn books(&self) -> Books {
        let open = self.open();
        let mut books = open.books.clone();
        books.active = open.seats.len() as u64;
        for (_, seat) in &open.seats {
            let figures = seat.figures();
            books.frames_received += figures.frames;
            books.frames_answered += figures.answered;
            books.frames_pending += figures.frames - figures.answered;
            books.payload_bytes += figures.payload_bytes;
            books.bytes_in += figures.read;
            books.bytes_out += figures.written;
        }
        books.throttled = self.throttled.load(Ordering::Relaxed);
        books
    }

    /// What each open connection does, the oldest first.
    pub(crate) fn connections(&self) -> Vec<ConnectionStatus> {
        let seats: Vec<_> = self.open().seats.iter().map(|(_, seat)| Arc::clone(seat)).collect();
        let mut connections: Vec<_> = seats.iter().map(|seat| ConnectionStatus::of(seat)).collect();
        connections.sort_unstable_by_key(|connection| connection.id);
        connections
    }

    /// How many there are now.
    pub(crate) fn active(&self) -> usize {
        self.open().seats.len()
    }

    /// Looks at every `step`th seat, from the `first` on.
    pub(crate) fn look_at(&self, first: usize, step: usize, mut look: impl FnMut(&Seat)) {
        let open = self.open();
        // By key and not by number: those that come and go shift nobody from one part to another.
        let keys = (first..open.seats.capacity()).step_by(step);
        keys.filter_map(|key| open.seats.get(key)).for_each(|seat| look(seat));
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        lock(&self.open)
    }
}

/// A connection's place on the roster, and its end in the books.
#[derive(Debug)]
pub(crate) struct Membership {
    pub(crate) roster: Arc<Roster>,
    pub(crate) seat: Arc<Seat>,
    key: u32,
}

impl Membership {
    /// Sits down; `waker` is that of the connection's task.
    pub(crate) fn begin(roster: Arc<Roster>, seat: Arc<Seat>) -> Self {
        // A process has fewer descriptors than this holds.
        let key = u32::try_from(roster.join(&seat)).unwrap_or(u32::MAX);
        Self { roster, seat, key }
    }

    /// Gets up.
    pub(crate) fn end(&self, end: End, answered: u64) {
        self.roster.leave(self.key as usize, end, answered);
    }
}

/// What a poisoned lock guards is still whole: no code under these locks can panic half-way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
