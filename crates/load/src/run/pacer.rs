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
    seats: RefCell<Vec<Seat>>,
    earlier: Notify,
}

/// Where one connection is woken, and when.
#[derive(Clone, Debug, Default)]
struct Seat {
    waker: Option<Waker>,
    /// The instant in the heap that counts; those that were set before it do not.
    alarm: Option<u64>,
}

impl Alarms {
    /// Alarms of `connections` connections.
    pub fn new(connections: usize) -> Self {
        Self { seats: RefCell::new(vec![Seat::default(); connections]), ..Self::default() }
    }

    /// Connection `connection` is to be woken by `waker`, whoever wakes it.
    pub fn listen(&self, connection: usize, waker: &Waker) {
        let known = &mut self.seats.borrow_mut()[connection].waker;
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
    }

    /// Connection `connection` has its next frame planned for `instant`, in nanoseconds after the
    /// run's beginning.
    pub fn set(&self, instant: u64, connection: usize) {
        let alarm = &mut self.seats.borrow_mut()[connection].alarm;
        // It is set at every wake-up, and may be far away: the heap must not fill up until then.
        if alarm.replace(instant) == Some(instant) {
            return;
        }
        let mut heap = self.heap.borrow_mut();
        if heap.peek().is_none_or(|Reverse((first, _))| instant < *first) {
            self.earlier.notify_one();
        }
        heap.push(Reverse((instant, connection)));
    }

    /// Wakes all connections.
    pub fn wake_all(&self) {
        let seats = self.seats.borrow();
        seats.iter().filter_map(|seat| seat.waker.as_ref()).for_each(Waker::wake_by_ref);
    }

    /// Wakes the connections whose instants have come; returns the first that has not.
    fn ring(&self, now: u64) -> Option<u64> {
        let mut heap = self.heap.borrow_mut();
        let mut seats = self.seats.borrow_mut();
        while let Some(&Reverse((instant, connection))) = heap.peek() {
            if instant > now {
                return Some(instant);
            }
            heap.pop();
            let seat = &mut seats[connection];
            if seat.alarm.take_if(|alarm| *alarm == instant).is_some()
                && let Some(waker) = &seat.waker
            {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Alarms of two connections that count how often the second is woken.
    fn alarms() -> (Alarms, Arc<Count>) {
        let (alarms, count) = (Alarms::new(2), Arc::new(Count::default()));
        alarms.listen(1, &Waker::from(Arc::clone(&count)));
        (alarms, count)
    }

    #[test]
    fn an_alarm_that_is_set_again_is_kept_once() {
        let (alarms, count) = alarms();
        for _ in 0..1000 {
            alarms.set(50, 1);
            assert_eq!(alarms.ring(49), Some(50));
        }
        assert_eq!(alarms.heap.borrow().len(), 1);
        assert_eq!((alarms.ring(50), count.0.load(Ordering::Relaxed)), (None, 1));
        alarms.set(50, 1);
        assert_eq!((alarms.ring(50), count.0.load(Ordering::Relaxed)), (None, 2));
    }

    #[test]
    fn only_the_last_alarm_that_was_set_wakes() {
        let (alarms, count) = alarms();
        for instant in [10, 20, 30] {
            alarms.set(instant, 1);
        }
        assert_eq!((alarms.ring(25), count.0.load(Ordering::Relaxed)), (Some(30), 0));
        assert_eq!((alarms.ring(30), count.0.load(Ordering::Relaxed)), (None, 1));
    }
}
