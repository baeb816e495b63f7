//! The open connections of one listener: who must be woken when the phase changes, and the books.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;

use slab::Slab;
use tokio::time::Instant;

use crate::Summary;

/// How far the listener is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Serving.
    Open,
    /// A shutdown was asked for: finish what has been received.
    Draining,
    /// The drain deadline is over: end now.
    CutOff,
}

/// Shared by a listener and its connections. Locked when a connection opens or closes and when
/// the phase changes, never per frame; the phase is one relaxed load per wake-up.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    phase: AtomicU8,
    deadline: OnceLock<Instant>,
    wakers: Mutex<Slab<Waker>>,
    books: Mutex<Summary>,
}

impl Roster {
    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Open,
            1 => Phase::Draining,
            _ => Phase::CutOff,
        }
    }

    /// When the draining ends; `None` while open.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline.get().copied()
    }

    /// Puts a connection on the roster: `waker` is called whenever the phase changes. Returns the
    /// key to [`leave`](Self::leave) with.
    pub(crate) fn join(&self, waker: Waker) -> usize {
        lock(&self.wakers).insert(waker)
    }

    pub(crate) fn leave(&self, key: usize) {
        lock(&self.wakers).remove(key);
    }

    /// Asks all connections to finish by `deadline`.
    pub(crate) fn drain(&self, deadline: Instant) {
        // Set once: a listener is drained once.
        let _ = self.deadline.set(deadline);
        self.enter(1);
    }

    /// Ends all connections at once.
    pub(crate) fn cut_off(&self) {
        self.enter(2);
    }

    /// Changes the books.
    pub(crate) fn book(&self, entry: impl FnOnce(&mut Summary)) {
        entry(&mut lock(&self.books));
    }

    pub(crate) fn summary(&self) -> Summary {
        lock(&self.books).clone()
    }

    /// A connection that joins after this sees the new phase by itself: it looks after joining.
    fn enter(&self, phase: u8) {
        let wakers = lock(&self.wakers);
        self.phase.store(phase, Ordering::Release);
        wakers.iter().for_each(|(_, waker)| waker.wake_by_ref());
    }
}

/// What a poisoned lock guards is still whole: no code under these locks can panic half-way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
