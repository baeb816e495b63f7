//! How many bytes all connections together may keep: incomplete frames, and replies that their
//! peers have not taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a connection keeps is counted in steps of this many bytes, so that the fragment at the end
/// of a read, which most reads leave, costs nothing. A connection can keep one step less than this
/// uncounted.
const STEP: u64 = 4096;

/// A counter of bytes with a ceiling. Clones share the count.
#[derive(Clone, Debug)]
pub struct BufferLimit {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    held: AtomicU64,
    max: AtomicU64,
}

impl Default for BufferLimit {
    /// 1 GiB.
    fn default() -> Self {
        Self::new(1 << 30)
    }
}

impl BufferLimit {
    /// At most `max` bytes; `u64::MAX` is without limit.
    pub fn new(max: u64) -> Self {
        Self { inner: Arc::new(Inner { held: AtomicU64::new(0), max: AtomicU64::new(max) }) }
    }

    /// The ceiling, in bytes.
    pub fn max(&self) -> u64 {
        self.inner.max.load(Ordering::Relaxed)
    }

    /// Moves the ceiling. What is held above a lower one is not taken back; it just does not grow.
    pub fn set_max(&self, max: u64) {
        self.inner.max.store(max, Ordering::Relaxed);
    }

    /// Bytes held now.
    pub fn held(&self) -> u64 {
        self.inner.held.load(Ordering::Relaxed)
    }

    /// Whether `more` bytes fit below the ceiling. It is only asked, not taken: connections that
    /// ask at the same moment may go above it by what they ask for.
    pub(crate) fn has_room(&self, more: usize) -> bool {
        self.held().saturating_add(more as u64) <= self.max()
    }

    /// Counts that a connection holds `now` bytes in place of what `counted` says, and says so.
    pub(crate) fn recount(&self, counted: &AtomicU64, now: usize) {
        let now = now as u64 / STEP * STEP;
        // Only the connection itself changes its count.
        let before = counted.load(Ordering::Relaxed);
        if now != before {
            counted.store(now, Ordering::Relaxed);
            // Wraps: a difference below zero is added as its two's complement.
            self.inner.held.fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_connections_hold_in_steps() {
        let limit = BufferLimit::new(10_000);
        let (one, other) = (AtomicU64::new(0), AtomicU64::new(0));
        limit.recount(&one, 4095);
        assert_eq!(limit.held(), 0);
        limit.recount(&one, 4096);
        limit.recount(&other, 9000);
        assert_eq!((limit.held(), one.load(Ordering::Relaxed)), (12_288, 4096));
        assert!(!limit.has_room(1));
        limit.recount(&other, 0);
        assert!(limit.has_room(5904) && !limit.has_room(5905));
        limit.recount(&one, 0);
        assert_eq!(limit.held(), 0);
    }
}
