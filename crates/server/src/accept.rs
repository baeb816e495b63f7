//! What a failed accept means, and how long to wait before the next.

use std::fs::File;
use std::io;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use rustix::io::Errno;

use crate::AcceptError;

/// Whose fault a failed accept is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection died before it was accepted: the next one can be accepted at once.
    Peer,
    /// The machine has run out of something: a pause lets it recover.
    Machine,
    /// The process or the system has no descriptor left: as above, and a spare one helps.
    Descriptors,
    /// The listener itself is broken: nothing can ever be accepted again.
    Listener,
}

impl Fault {
    /// How it is counted; what ends the server is not.
    pub(crate) const fn kind(self) -> Option<AcceptError> {
        match self {
            Self::Peer => Some(AcceptError::Peer),
            Self::Machine => Some(AcceptError::Memory),
            Self::Descriptors => Some(AcceptError::Descriptors),
            Self::Listener => None,
        }
    }
}

/// Sorts an error of accept(2). Linux also hands on errors that were pending on the new socket,
/// which are to be treated like EAGAIN (accept(2), "Error handling").
pub(crate) fn fault(error: &io::Error) -> Fault {
    match Errno::from_io_error(error) {
        Some(Errno::MFILE | Errno::NFILE) => Fault::Descriptors,
        Some(Errno::NOBUFS | Errno::NOMEM) => Fault::Machine,
        Some(Errno::BADF | Errno::FAULT | Errno::INVAL | Errno::NOTSOCK | Errno::OPNOTSUPP) => {
            Fault::Listener
        }
        _ => Fault::Peer,
    }
}

/// The pauses after errors that are the machine's: 10 ms, doubled each time, up to 1 s.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(10);
    const LONGEST: Duration = Duration::from_secs(1);

    pub(crate) const fn new() -> Self {
        Self { next: Self::FIRST }
    }

    /// How long to wait now.
    pub(crate) fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(Self::LONGEST);
        pause
    }

    /// Begins again with the shortest pause.
    pub(crate) const fn reset(&mut self) {
        self.next = Self::FIRST;
    }
}

/// A descriptor kept back, so that with none left a connection can still be accepted, told why
/// and closed, and does not hang in the backlog.
#[derive(Debug)]
pub(crate) struct Spare {
    file: Option<File>,
}

impl Spare {
    /// Frees the descriptor for one accept.
    pub(crate) fn lend(&mut self) {
        self.file = None;
    }

    /// Takes it back once the accepted connection is closed again, or for the first time.
    pub(crate) fn take_back(&mut self) {
        if self.file.is_none() {
            // Without one left the next pause is simply longer.
            self.file = File::open("/dev/null").ok();
        }
    }
}

/// One for all listeners of the process, from the first one's start on: a listener that starts
/// when no descriptor is left can have none of its own.
static SPARE: RwLock<Spare> = RwLock::new(Spare { file: None });

/// To be held for an accept. While one listener uses the spare, another must not accept: it would
/// take the descriptor that has just been freed, and there would be no spare any more.
pub(crate) fn without_spare() -> RwLockReadGuard<'static, Spare> {
    SPARE.read().unwrap_or_else(PoisonError::into_inner)
}

/// The spare, to be used by one listener at a time.
pub(crate) fn spare() -> RwLockWriteGuard<'static, Spare> {
    SPARE.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_accept_errors_by_whose_fault_they_are() {
        let cases = [
            (Errno::CONNABORTED, Fault::Peer),
            (Errno::PROTO, Fault::Peer),
            (Errno::INTR, Fault::Peer),
            (Errno::HOSTUNREACH, Fault::Peer),
            (Errno::NETDOWN, Fault::Peer),
            (Errno::PERM, Fault::Peer),
            (Errno::MFILE, Fault::Descriptors),
            (Errno::NFILE, Fault::Descriptors),
            (Errno::NOBUFS, Fault::Machine),
            (Errno::NOMEM, Fault::Machine),
            (Errno::BADF, Fault::Listener),
            (Errno::INVAL, Fault::Listener),
            (Errno::NOTSOCK, Fault::Listener),
        ];
        for (errno, expected) in cases {
            assert_eq!(fault(&errno.into()), expected, "{errno:?}");
        }
    }

    #[test]
    fn pauses_grow_from_10_ms_to_1_s_and_begin_anew() {
        let mut backoff = Backoff::new();
        let millis: Vec<_> = (0..9).map(|_| backoff.pause().as_millis()).collect();
        assert_eq!(millis, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
        backoff.reset();
        assert_eq!(backoff.pause(), Duration::from_millis(10));
    }
}
