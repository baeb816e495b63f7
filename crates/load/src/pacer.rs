//! Wakes connections at the planned instants of their frames.
//!
//! Tokio's timers have a granularity of 1 ms. A timerfd has one of nanoseconds, wakes the thread
//! some 50 µs after its instant at the worst, and leaves the processor to others until then, where
//! spinning would take it from the server on a small machine.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::os::fd::OwnedFd;
use std::task::Waker;
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

/// The instants at which a worker's connections have to be woken.
#[derive(Debug, Default)]
pub struct Alarms {
    heap: RefCell<BinaryHeap<Reverse<(u64, usize)>>>,
    wakers: RefCell<Vec<Option<Waker>>>,
    earlier: Notify,
}

impl Alarms {
    /// Alarms of `connections` connections.
    pub fn new(connections: usize) -> Self {
        Self { wakers: RefCell::new(vec![None; connections]), ..Self::default() }
    }

    /// Connection `connection` is to be woken by `waker`, whoever wakes it.
    pub fn listen(&self, connection: usize, waker: &Waker) {
        let mut wakers = self.wakers.borrow_mut();
        if !wakers[connection].as_ref().is_some_and(|known| known.will_wake(waker)) {
            wakers[connection] = Some(waker.clone());
        }
    }

    /// Connection `connection` has a frame planned for `instant`, in nanoseconds after the run's
    /// beginning.
    pub fn set(&self, instant: u64, connection: usize) {
        let mut heap = self.heap.borrow_mut();
        if heap.peek().is_none_or(|Reverse((first, _))| instant < *first) {
            self.earlier.notify_one();
        }
        heap.push(Reverse((instant, connection)));
    }

    /// Wakes all connections.
    pub fn wake_all(&self) {
        self.wakers.borrow().iter().flatten().for_each(Waker::wake_by_ref);
    }

    /// Wakes the connections whose instants have come; returns the first that has not.
    fn ring(&self, now: u64) -> Option<u64> {
        let mut heap = self.heap.borrow_mut();
        let wakers = self.wakers.borrow();
        while let Some(&Reverse((instant, connection))) = heap.peek() {
            if instant > now {
                return Some(instant);
            }
            heap.pop();
            if let Some(waker) = &wakers[connection] {
                waker.wake_by_ref();
            }
        }
        None
    }
}

/// Rings `alarms` for as long as the worker lives; `now` tells nanoseconds since the beginning.
///
/// # Errors
///
/// When the system gives no timerfd.
pub async fn pace(alarms: &Alarms, now: impl Fn() -> u64) -> io::Result<()> {
    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
    #[expect(
        deprecated,
        reason = "an OwnedFd stays the descriptor that it is; no other way is safe"
    )]
    let timer = AsyncFd::with_interest(
        timerfd_create(TimerfdClockId::Monotonic, flags)?,
        Interest::READABLE,
    )?;
    loop {
        let earlier = alarms.earlier.notified();
        let Some(instant) = alarms.ring(now()) else {
            earlier.await;
            continue;
        };
        arm(&timer, instant.saturating_sub(now()))?;
        // Both branches are cancel safe: the alarms are looked at anew whichever came.
        tokio::select! {
            expired = timer.readable() => expired?.clear_ready(),
            () = earlier => {}
        }
    }
}

/// Lets the timer expire after `nanos` nanoseconds; what it did before is forgotten.
fn arm(timer: &AsyncFd<OwnedFd>, nanos: u64) -> io::Result<()> {
    // All zeros would stop the timer.
    let delay = Duration::from_nanos(nanos.max(1));
    let it_value = Timespec::try_from(delay).map_err(io::Error::other)?;
    let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
    let spec = Itimerspec { it_interval, it_value };
    timerfd_settime(timer.get_ref(), TimerfdTimerFlags::empty(), &spec)?;
    Ok(())
}
