//! What an open connection shows to others while it runs, and what they ask of it.
//!
//! ```text
//!   connection --- frames, bytes, what it is doing ---> sweep, metrics
//!              <-- orders, and a wake-up -------------- sweep, shutdown
//! ```
//!
//! The connection alone writes its figures, with plain stores: others may see them a moment late,
//! and never half.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::task::Waker;

use tokio::time::Instant;

use crate::Peer;
use crate::deadlines::Overdue;
use crate::limits::connections::Permit;

/// What a connection is doing. Its code is [`Doing::encode`]d in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    /// Waiting for a frame, of which nothing is there yet.
    Waiting,
    /// Waiting for the rest of a frame of so many bytes.
    Receiving(u64),
    /// Waiting for its peer to take replies, so many bytes in the batch.
    Writing(u64),
    /// Waiting until its rate allows more.
    Throttled,
    /// Over; its peer may still read why.
    Closing,
}

impl Doing {
    const SHIFT: u32 = 56;

    const fn encode(self) -> u64 {
        match self {
            Self::Waiting => 0,
            Self::Receiving(bytes) => 1 << Self::SHIFT | bytes,
            Self::Writing(bytes) => 2 << Self::SHIFT | bytes,
            Self::Throttled => 3 << Self::SHIFT,
            Self::Closing => 4 << Self::SHIFT,
        }
    }

    const fn decode(word: u64) -> Self {
        let bytes = word & ((1 << Self::SHIFT) - 1);
        match word >> Self::SHIFT {
            0 => Self::Waiting,
            1 => Self::Receiving(bytes),
            2 => Self::Writing(bytes),
            3 => Self::Throttled,
            _ => Self::Closing,
        }
    }
}

/// What others ask of a connection: bits, 0 when nothing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Orders(u8);

impl Orders {
    /// Finish what has been received.
    pub(crate) const DRAIN: Self = Self(1);
    /// End now.
    pub(crate) const CUT_OFF: Self = Self(2);
    /// As old as a connection may get: go, as for a shutdown.
    pub(crate) const RETIRE: Self = Self(4);
    /// The configuration has changed: look at it.
    pub(crate) const RECONFIGURE: Self = Self(8);
    /// Above these bits: what is overdue.
    const OVERDUE_SHIFT: u32 = 4;

    const fn overdue_bits(overdue: Overdue) -> Self {
        Self((overdue as u8) << Self::OVERDUE_SHIFT)
    }

    pub(crate) const fn are_none(self) -> bool {
        self.0 == 0
    }

    pub(crate) const fn contain(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether the connection shall go, now or when it is done.
    pub(crate) const fn to_go(self) -> bool {
        self.0 & (Self::DRAIN.0 | Self::RETIRE.0) != 0
    }

    pub(crate) const fn overdue(self) -> Option<Overdue> {
        Overdue::from_u8(self.0 >> Self::OVERDUE_SHIFT)
    }
}

/// One open connection. See the module's page.
#[derive(Debug)]
pub(crate) struct Seat {
    frames: AtomicU64,
    answered: AtomicU64,
    payload_bytes: AtomicU64,
    read: AtomicU64,
    written: AtomicU64,
    doing: AtomicU64,
    orders: AtomicU8,
    /// What the connection keeps, as far as it is counted.
    pub(crate) buffered: AtomicU64,
    pub(crate) id: u64,
    pub(crate) peer: Peer,
    pub(crate) accepted_at: Instant,
    /// What the peer called itself in its HELLO; empty if it said none.
    pub(crate) hello: OnceLock<Box<str>>,
    waker: OnceLock<Waker>,
    pub(crate) seen: Seen,
    _permit: Permit,
}

/// What the sweep remembers of a connection between two looks. Nobody else touches it. The low 32
/// bits of a count tell whether it has changed.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    frames: AtomicU32,
    written: AtomicU32,
    doing: AtomicU8,
    /// Milliseconds from the connection's start to the first look that saw these.
    frames_at: AtomicU32,
    written_at: AtomicU32,
}

/// A connection's figures at one instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) frames: u64,
    /// Never more than `frames`.
    pub(crate) answered: u64,
    pub(crate) payload_bytes: u64,
    pub(crate) read: u64,
    pub(crate) written: u64,
    pub(crate) doing: Doing,
}

/// How long a connection has been doing the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Since {
    /// Milliseconds since a frame came or it began to do something else.
    pub(crate) unchanged: u64,
    /// Milliseconds since a byte was written.
    pub(crate) unwritten: u64,
}

impl Seat {
    pub(crate) fn new(id: u64, peer: Peer, permit: Permit) -> Self {
        Self {
            frames: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            payload_bytes: AtomicU64::new(0),
            read: AtomicU64::new(0),
            written: AtomicU64::new(0),
            doing: AtomicU64::new(0),
            orders: AtomicU8::new(0),
            buffered: AtomicU64::new(0),
            id,
            peer,
            accepted_at: Instant::now(),
            hello: OnceLock::new(),
            waker: OnceLock::new(),
            seen: Seen::default(),
            _permit: permit,
        }
    }

    // What the connection itself uses.

    pub(crate) fn frames(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    pub(crate) fn payload_bytes(&self) -> u64 {
        self.payload_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Whoever sees an answered frame shall see it received, too: so it is stored first here.
    #[inline]
    pub(crate) fn show_frames(&self, frames: u64, payload_bytes: u64, answered: u64) {
        self.payload_bytes.store(payload_bytes, Ordering::Relaxed);
        self.frames.store(frames, Ordering::Relaxed);
        self.answered.store(answered, Ordering::Release);
    }

    #[inline]
    pub(crate) fn count_read(&self, bytes: usize) {
        let read = self.read.load(Ordering::Relaxed);
        self.read.store(read + bytes as u64, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn count_written(&self, bytes: usize) {
        let written = self.written.load(Ordering::Relaxed);
        self.written.store(written + bytes as u64, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn show(&self, doing: Doing) {
        self.doing.store(doing.encode(), Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn orders(&self) -> Orders {
        Orders(self.orders.load(Ordering::Acquire))
    }

    /// Takes note of orders that need no more be followed.
    pub(crate) fn done(&self, orders: Orders) {
        self.orders.fetch_and(!orders.0, Ordering::AcqRel);
    }

    /// What was overdue is so no more.
    pub(crate) fn caught_up(&self) {
        self.orders.fetch_and((1 << Orders::OVERDUE_SHIFT) - 1, Ordering::AcqRel);
    }

    /// The task that has to be woken for an order.
    pub(crate) fn sit(&self, waker: &Waker) {
        // A task keeps its waker for life.
        let _ = self.waker.set(waker.clone());
    }

    // What others use.

    /// Gives an order; those given before stay.
    pub(crate) fn order(&self, orders: Orders) {
        self.orders.fetch_or(orders.0, Ordering::AcqRel);
        self.wake();
    }

    /// Says that something took too long. Only the sweep does.
    pub(crate) fn order_overdue(&self, overdue: Overdue) {
        if self.orders().overdue().is_none() {
            self.order(Orders::overdue_bits(overdue));
        }
    }

    pub(crate) fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    pub(crate) fn figures(&self) -> Figures {
        let answered = self.answered.load(Ordering::Acquire);
        Figures {
            answered,
            frames: self.frames(),
            payload_bytes: self.payload_bytes(),
            read: self.read.load(Ordering::Relaxed),
            written: self.written.load(Ordering::Relaxed),
            doing: Doing::decode(self.doing.load(Ordering::Relaxed)),
        }
    }

    /// Looks once more, `now` milliseconds after the connection's start.
    pub(crate) fn look(&self, figures: &Figures, now: u64) -> Since {
        let seen = &self.seen;
        let now = u32::try_from(now).unwrap_or(u32::MAX);
        let update = |place: &AtomicU32, count: u64, at: &AtomicU32| {
            #[expect(clippy::cast_possible_truncation, reason = "the low bits tell of a change")]
            let low = count as u32;
            let changed = place.load(Ordering::Relaxed) != low;
            if changed {
                place.store(low, Ordering::Relaxed);
                at.store(now, Ordering::Relaxed);
            }
            changed
        };
        update(&seen.frames, figures.frames, &seen.frames_at);
        update(&seen.written, figures.written, &seen.written_at);
        let doing = (figures.doing.encode() >> Doing::SHIFT) as u8;
        if seen.doing.swap(doing, Ordering::Relaxed) != doing {
            seen.frames_at.store(now, Ordering::Relaxed);
            seen.written_at.store(now, Ordering::Relaxed);
        }
        let since = |at: &AtomicU32| u64::from(now.saturating_sub(at.load(Ordering::Relaxed)));
        Since { unchanged: since(&seen.frames_at), unwritten: since(&seen.written_at) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_in_a_word_comes_back() {
        let all = [
            Doing::Waiting,
            Doing::Receiving(64 << 20),
            Doing::Writing(1),
            Doing::Throttled,
            Doing::Closing,
        ];
        for doing in all {
            assert_eq!(Doing::decode(doing.encode()), doing);
        }
    }

    #[test]
    fn an_order_keeps_those_before_it_and_what_is_overdue_is_told_once() {
        let peer = Peer::Socket("127.0.0.1:1".parse().unwrap());
        let permit = crate::ConnectionLimit::new(1).try_acquire(&peer).unwrap();
        let seat = Seat::new(1, peer, permit);
        assert!(seat.orders().are_none());
        seat.order(Orders::DRAIN);
        seat.order_overdue(Overdue::Lifetime);
        seat.order_overdue(Overdue::FirstFrame);
        let orders = seat.orders();
        assert!(orders.to_go() && !orders.contain(Orders::CUT_OFF));
        assert_eq!(orders.overdue(), Some(Overdue::Lifetime));
        seat.caught_up();
        assert_eq!((seat.orders(), seat.orders().overdue()), (Orders::DRAIN, None));
        seat.done(Orders::DRAIN);
        assert!(seat.orders().are_none());
    }

    /// Each idle connection has one.
    #[test]
    fn a_seat_stays_small() {
        assert!(size_of::<Seat>() <= 208, "{} bytes", size_of::<Seat>());
    }
}
