//! How many connections may be open at once, over all listeners that share the limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Resource, getrlimit};

/// Descriptors that are not for connections: standard streams, epoll, the waker, signals, the
/// listeners, the spare one, and the refused connections whose peers are still reading why.
const RESERVED_DESCRIPTORS: usize = 32;

/// A counter with a ceiling. Clones share the count.
#[derive(Clone, Debug)]
pub struct ConnectionLimit {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    open: AtomicUsize,
    max: usize,
}

impl ConnectionLimit {
    /// At most `max` connections at once.
    pub fn new(max: usize) -> Self {
        Self { inner: Arc::new(Inner { open: AtomicUsize::new(0), max }) }
    }

    /// As many as the process may have descriptors (`RLIMIT_NOFILE`, soft), less a reserve of 32,
    /// or half of them if there are that few.
    pub fn from_descriptors() -> Self {
        let descriptors = getrlimit(Resource::Nofile).current;
        let descriptors = descriptors.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
        Self::new(descriptors.saturating_sub(RESERVED_DESCRIPTORS).max(descriptors / 2))
    }

    /// The ceiling.
    pub fn max(&self) -> usize {
        self.inner.max
    }

    /// How many connections are open now.
    pub fn open(&self) -> usize {
        self.inner.open.load(Ordering::Relaxed)
    }

    /// Counts one more, for as long as the permit lives. `None` at the ceiling.
    pub(crate) fn try_acquire(&self) -> Option<Permit> {
        let below = |open| (open < self.inner.max).then_some(open + 1);
        self.inner.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, below).ok()?;
        Some(Permit { limit: Arc::clone(&self.inner) })
    }
}

/// One open connection's place under the limit.
#[derive(Debug)]
pub(crate) struct Permit {
    limit: Arc<Inner>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.limit.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_one_count_and_a_dropped_permit_frees_a_place() {
        let limit = ConnectionLimit::new(2);
        let other = limit.clone();
        let first = limit.try_acquire();
        let second = other.try_acquire();
        assert!(first.is_some() && second.is_some());
        assert!(limit.try_acquire().is_none());
        assert_eq!(other.open(), 2);
        drop(first);
        assert!(other.try_acquire().is_some());
    }

    #[test]
    fn a_limit_of_zero_refuses_everyone() {
        assert!(ConnectionLimit::new(0).try_acquire().is_none());
    }
}
