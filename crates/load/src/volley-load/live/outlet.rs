//! Where bytes leave: a thread of their own, because a terminal that has been stopped, or a pipe
//! that nobody reads, blocks a write for as long as it likes. Asking before each write whether it
//! would block is not enough: a terminal says no when there is room for one byte.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{io, thread};

use rustix::event::{PollFd, PollFlags, poll};

/// Writes what it is offered. While a write blocks, only the latest offer is kept, so each must
/// make sense without those before it.
#[derive(Debug)]
pub(super) struct Outlet {
    slot: Arc<Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    offered: Option<Vec<u8>>,
    closing: bool,
    /// The thread is over.
    closed: bool,
}

impl Outlet {
    /// Writes to `sink` from now on. Writes that fail are ignored.
    ///
    /// # Errors
    ///
    /// When the system gives no thread.
    pub(super) fn start(mut sink: File) -> io::Result<Self> {
        let slot = Arc::new(Slot::default());
        let offers = Arc::clone(&slot);
        thread::Builder::new().name("live".to_owned()).spawn(move || {
            while let Some(bytes) = offers.take() {
                // There is nobody to tell it to: this is where people are told.
                let _ = write(&mut sink, &bytes);
            }
        })?;
        Ok(Self { slot })
    }

    /// Has `bytes` written in place of what was offered before and has not been begun. Never waits.
    pub(super) fn offer(&self, bytes: Vec<u8>) {
        self.slot.lock().offered = Some(bytes);
        self.slot.changed.notify_all();
    }

    /// Waits at most `linger` for what was offered last. If its turn has not come by then it never
    /// will, and the thread stays behind in its write.
    pub(super) fn close(&self, linger: Duration) {
        let mut state = self.slot.lock();
        state.closing = true;
        self.slot.changed.notify_all();
        let is_open = |state: &mut State| !state.closed;
        let (mut state, _) = self
            .slot
            .changed
            .wait_timeout_while(state, linger, is_open)
            .unwrap_or_else(PoisonError::into_inner);
        state.offered = None;
    }
}

impl Slot {
    /// The next offer; `None` once the outlet is closed and nothing is left.
    fn take(&self) -> Option<Vec<u8>> {
        let is_idle = |state: &mut State| state.offered.is_none() && !state.closing;
        let state = self.changed.wait_while(self.lock(), is_idle);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        let offer = state.offered.take();
        state.closed = offer.is_none();
        self.changed.notify_all();
        offer
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes all of `bytes`, with one write where the system takes them. Waits where others made the
/// descriptor, which they share, one that does not block.
fn write(sink: &mut File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match sink.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                poll(&mut [PollFd::new(sink, PollFlags::OUT)], None)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::{PipeReader, Read, pipe};
    use std::os::fd::{AsFd, OwnedFd};
    use std::sync::mpsc;

    use rustix::io::ioctl_fionbio;

    use super::*;

    /// How long anything may take before a test fails.
    pub(in super::super) const LIMIT: Duration = Duration::from_secs(20);

    /// What `work` comes to, if it comes to an end.
    pub(in super::super) fn within_limit<T: Send + 'static>(
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let (tell, told) = mpsc::channel();
        thread::spawn(move || tell.send(work()));
        told.recv_timeout(LIMIT).expect("hangs")
    }

    impl Outlet {
        /// Waits until the thread has taken what was offered.
        pub(in super::super) fn wait_until_taken(&self) {
            let is_offered = |state: &mut State| state.offered.is_some();
            let slot = &self.slot;
            let waited = slot.changed.wait_timeout_while(slot.lock(), LIMIT, is_offered);
            assert!(waited.unwrap().0.offered.is_none());
        }
    }

    fn outlet() -> (PipeReader, Outlet) {
        let (reader, writer) = pipe().unwrap();
        (reader, Outlet::start(File::from(OwnedFd::from(writer))).unwrap())
    }

    /// All bytes until the outlet's thread is over.
    fn read_all(mut reader: PipeReader) -> Vec<u8> {
        within_limit(move || {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).unwrap();
            bytes
        })
    }

    /// More than a pipe takes.
    fn too_much() -> Vec<u8> {
        vec![b'x'; 1 << 20]
    }

    #[test]
    fn what_was_offered_last_is_written_before_it_closes() {
        let (reader, outlet) = outlet();
        outlet.offer(b"one ".to_vec());
        outlet.wait_until_taken();
        outlet.offer(b"two".to_vec());
        within_limit(move || outlet.close(LIMIT));
        assert_eq!(read_all(reader), b"one two");
    }

    #[test]
    fn a_pipe_that_nobody_reads_holds_up_nobody() {
        let (reader, outlet) = outlet();
        let outlet = within_limit(move || {
            outlet.offer(too_much());
            outlet.wait_until_taken();
            for _ in 0..1000 {
                outlet.offer(b"late".to_vec());
            }
            outlet.close(Duration::from_millis(10));
            outlet
        });
        // What is read too late ends with what was being written, because the rest of the
        // terminal belongs to others by then.
        drop(outlet);
        assert_eq!(read_all(reader), too_much());
    }

    #[test]
    fn while_a_write_blocks_the_latest_offer_is_kept() {
        let (reader, outlet) = outlet();
        outlet.offer(too_much());
        outlet.wait_until_taken();
        outlet.offer(b"earlier".to_vec());
        outlet.offer(b"latest".to_vec());
        let reading = thread::spawn(|| read_all(reader));
        outlet.wait_until_taken();
        within_limit(move || outlet.close(LIMIT));
        assert_eq!(reading.join().unwrap(), [too_much(), b"latest".to_vec()].concat());
    }

    #[test]
    fn a_reader_that_has_gone_ends_nothing() {
        let (reader, outlet) = outlet();
        drop(reader);
        outlet.offer(b"one".to_vec());
        outlet.wait_until_taken();
        outlet.offer(b"two".to_vec());
        outlet.wait_until_taken();
        within_limit(move || outlet.close(LIMIT));
    }

    #[test]
    fn a_descriptor_that_does_not_block_gets_everything() {
        let (reader, writer) = pipe().unwrap();
        ioctl_fionbio(writer.as_fd(), true).unwrap();
        let outlet = Outlet::start(File::from(OwnedFd::from(writer))).unwrap();
        outlet.offer(too_much());
        outlet.wait_until_taken();
        let reading = thread::spawn(|| read_all(reader));
        within_limit(move || outlet.close(LIMIT));
        assert_eq!(reading.join().unwrap(), too_much());
    }
}
