//! How many connections may be open at once: in all, and from one source.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Resource, getrlimit};

use super::source::Source;
use crate::{Peer, Refusal};

/// Descriptors that are not for connections: standard streams, epoll, the waker, signals, the
/// listeners, the spare one, and the refused connections whose peers are still reading why.
const RESERVED_DESCRIPTORS: usize = 32;

/// A counter with two ceilings, one for all connections and one for those of each source. Clones
/// share the count.
///
/// A source is an IPv4 address, or the first 64 bits of an IPv6 address, which are what one host is
/// commonly given (RFC 4291, 2.5.4), or a user of this machine at a Unix socket.
#[derive(Clone, Debug)]
pub struct ConnectionLimit {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    open: AtomicUsize,
    max: AtomicUsize,
    /// How many each source has open; one with none is not in it.
    sources: Mutex<HashMap<Source, usize>>,
    max_per_source: AtomicUsize,
    /// A wider limit, which holds too.
    parent: Option<ConnectionLimit>,
}

/// Why there is no place for one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// There are as many as may be.
    All,
    /// There are as many of this source as may be.
    Source,
}

impl From<Full> for Refusal {
    fn from(full: Full) -> Self {
        match full {
            Full::All => Self::Connections,
            Full::Source => Self::Source,
        }
    }
}

impl ConnectionLimit {
    /// At most `max` connections at once, from whatever source.
    pub fn new(max: usize) -> Self {
        Self::build(max, None)
    }

    /// As many as the process may have descriptors (`RLIMIT_NOFILE`, soft), less a reserve of 32,
    /// or half of them if there are that few.
    pub fn from_descriptors() -> Self {
        let descriptors = getrlimit(Resource::Nofile).current;
        let descriptors = descriptors.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
        Self::new(descriptors.saturating_sub(RESERVED_DESCRIPTORS).max(descriptors / 2))
    }

    /// A limit of its own, without a ceiling yet, under this one: what counts there counts here
    /// too. For a listener among several.
    #[must_use]
    pub fn child(&self) -> Self {
        Self::build(usize::MAX, Some(self.clone()))
    }

    fn build(max: usize, parent: Option<Self>) -> Self {
        Self {
            inner: Arc::new(Inner {
                open: AtomicUsize::new(0),
                max: AtomicUsize::new(max),
                sources: Mutex::default(),
                max_per_source: AtomicUsize::new(usize::MAX),
                parent,
            }),
        }
    }

    /// The ceiling for all.
    pub fn max(&self) -> usize {
        self.inner.max.load(Ordering::Relaxed)
    }

    /// Moves the ceiling for all. Connections above a lower one stay.
    pub fn set_max(&self, max: usize) {
        self.inner.max.store(max, Ordering::Relaxed);
    }

    /// The ceiling for each source; `usize::MAX`, as in the beginning, is none.
    pub fn max_per_source(&self) -> usize {
        self.inner.max_per_source.load(Ordering::Relaxed)
    }

    /// Moves the ceiling for each source. Connections above a lower one stay.
    pub fn set_max_per_source(&self, max: usize) {
        self.inner.max_per_source.store(max, Ordering::Relaxed);
    }

    /// How many connections are open now.
    pub fn open(&self) -> usize {
        self.inner.open.load(Ordering::Relaxed)
    }

    /// Counts one more from `peer`, for as long as the permit lives.
    pub(crate) fn try_acquire(&self, peer: &Peer) -> Result<Permit, Full> {
        self.try_enter(Some(Source::of(peer)))
    }

    /// As above, for one of whom it is to be told later where it comes from: until then it counts
    /// among all, and for no source.
    pub(crate) fn try_acquire_unnamed(&self) -> Result<Permit, Full> {
        self.try_enter(None)
    }

    fn try_enter(&self, source: Option<Source>) -> Result<Permit, Full> {
        self.inner.enter(source)?;
        Ok(Permit { limit: Arc::clone(&self.inner), source })
    }
}

impl Inner {
    fn enter(&self, source: Option<Source>) -> Result<(), Full> {
        let max = self.max.load(Ordering::Relaxed);
        let below = |open| (open < max).then_some(open + 1);
        self.open
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, below)
            .map_err(|_| Full::All)?;
        let entered = self.enter_source(source).and_then(|()| match &self.parent {
            Some(parent) => parent.inner.enter(source).inspect_err(|_| self.leave_source(source)),
            None => Ok(()),
        });
        if entered.is_err() {
            self.open.fetch_sub(1, Ordering::Relaxed);
        }
        entered
    }

    /// Counts one for `source` that is in without one.
    fn name(&self, source: Source) -> Result<(), Full> {
        self.enter_source(Some(source))?;
        match &self.parent {
            Some(parent) => {
                parent.inner.name(source).inspect_err(|_| self.leave_source(Some(source)))
            }
            None => Ok(()),
        }
    }

    fn enter_source(&self, source: Option<Source>) -> Result<(), Full> {
        let Some(source) = source else { return Ok(()) };
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let open = sources.get(&source).copied().unwrap_or(0);
        if open >= self.max_per_source.load(Ordering::Relaxed) {
            return Err(Full::Source);
        }
        sources.insert(source, open + 1);
        Ok(())
    }

    fn leave(&self, source: Option<Source>) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.leave_source(source);
        if let Some(parent) = &self.parent {
            parent.inner.leave(source);
        }
    }

    fn leave_source(&self, source: Option<Source>) {
        let Some(source) = source else { return };
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = sources.get_mut(&source) {
            *open -= 1;
            if *open == 0 {
                sources.remove(&source);
            }
        }
        // A crowd that has gone is no reason to keep its room.
        if sources.capacity() > 64 && sources.len() < sources.capacity() / 8 {
            sources.shrink_to_fit();
        }
    }
}

/// One open connection's place under the limit.
#[derive(Debug)]
pub(crate) struct Permit {
    limit: Arc<Inner>,
    /// `None` while it is not known.
    source: Option<Source>,
}

impl Permit {
    /// Counts it for the source that it turns out to come from.
    pub(crate) fn name(&mut self, peer: &Peer) -> Result<(), Full> {
        let source = Source::of(peer);
        debug_assert!(self.source.is_none(), "it is named once");
        self.limit.name(source)?;
        self.source = Some(source);
        Ok(())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.limit.leave(self.source);
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn ip(text: &str) -> Peer {
        Peer::Socket(SocketAddr::new(text.parse().unwrap(), 7))
    }

    #[test]
    fn clones_share_one_count_and_a_dropped_permit_frees_a_place() {
        let limit = ConnectionLimit::new(2);
        let other = limit.clone();
        let first = limit.try_acquire(&ip("10.0.0.1"));
        let second = other.try_acquire(&ip("10.0.0.2"));
        assert!(first.is_ok() && second.is_ok());
        assert_eq!(limit.try_acquire(&ip("10.0.0.3")).unwrap_err(), Full::All);
        assert_eq!(other.open(), 2);
        drop(first);
        assert!(other.try_acquire(&ip("10.0.0.3")).is_ok());
    }

    #[test]
    fn one_whose_source_is_told_later_counts_for_it_from_then_on() {
        let process = ConnectionLimit::new(3);
        let listener = process.child();
        process.set_max_per_source(1);
        let mut permits = [(); 3].map(|()| listener.try_acquire_unnamed().unwrap());
        assert_eq!(listener.try_acquire_unnamed().unwrap_err(), Full::All);
        permits[0].name(&ip("10.0.0.1")).unwrap();
        assert_eq!(permits[1].name(&ip("10.0.0.1")).unwrap_err(), Full::Source);
        permits[2].name(&ip("10.0.0.2")).unwrap();
        // Refused by the process, it is in no listener's books either.
        assert_eq!(listener.inner.sources.lock().unwrap().len(), 2);
        drop(permits);
        assert_eq!((process.open(), listener.open()), (0, 0));
        for limit in [process, listener] {
            assert!(limit.inner.sources.lock().unwrap().is_empty());
        }
    }

    #[test]
    fn a_limit_of_zero_refuses_everyone() {
        assert!(ConnectionLimit::new(0).try_acquire(&ip("10.0.0.1")).is_err());
    }

    #[test]
    fn a_source_is_an_ipv4_address_or_a_64_bit_prefix() {
        let limit = ConnectionLimit::new(100);
        limit.set_max_per_source(2);
        let cases = [
            ("10.0.0.1", "10.0.0.1", "::ffff:10.0.0.1", "10.0.0.2"),
            ("2001:db8::1", "2001:db8::2", "2001:db8::ffff:0:0:1", "2001:db8:0:1::1"),
        ];
        for (first, second, third, other) in cases {
            let permits = [first, second].map(|text| limit.try_acquire(&ip(text)).unwrap());
            assert_eq!(limit.try_acquire(&ip(third)).unwrap_err(), Full::Source, "{third}");
            assert!(limit.try_acquire(&ip(other)).is_ok(), "{other}");
            drop(permits);
            assert!(limit.try_acquire(&ip(third)).is_ok(), "{third}");
        }
        assert_eq!(limit.open(), 0);
        assert!(limit.inner.sources.lock().unwrap().is_empty());
    }

    #[test]
    fn a_child_counts_for_its_parent_and_is_bound_by_both() {
        let process = ConnectionLimit::new(3);
        let listeners = [process.child(), process.child()];
        listeners[0].set_max(1);
        let first = listeners[0].try_acquire(&ip("10.0.0.1")).unwrap();
        assert_eq!(listeners[0].try_acquire(&ip("10.0.0.1")).unwrap_err(), Full::All);
        assert_eq!(process.open(), 1);
        let more = [(); 2].map(|()| listeners[1].try_acquire(&ip("10.0.0.1")).unwrap());
        assert_eq!(listeners[1].try_acquire(&ip("10.0.0.1")).unwrap_err(), Full::All);
        assert_eq!((process.open(), listeners[1].open()), (3, 2));
        drop((first, more));
        process.set_max_per_source(1);
        let kept = listeners[1].try_acquire(&ip("10.0.0.1")).unwrap();
        assert_eq!(listeners[0].try_acquire(&ip("10.0.0.1")).unwrap_err(), Full::Source);
        drop(kept);
        assert_eq!((process.open(), listeners[0].open(), listeners[1].open()), (0, 0, 0));
    }
}
