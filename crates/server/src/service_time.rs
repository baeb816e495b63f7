//! How long frames wait for their replies in here: a histogram that costs next to nothing.
//!
//! One batch in [`SAMPLE`] of each thread is timed, from the read that brought it in until the
//! kernel has taken its last reply. Which one it is does not depend on how long it takes, so the
//! shares are right; only the counts are a part of the whole.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Reading the clock twice takes some 50 ns, a hundredth of what a batch of one frame takes.
const SAMPLE: u32 = 16;

/// Below 1 µs, 2 µs, 4 µs and so on to 16.8 s, and the rest.
const BUCKETS: usize = 26;

/// Threads write to different cache lines as long as there are no more of them than this.
const SHARDS: usize = 16;

/// The histogram of one listener.
#[derive(Debug, Default)]
pub(crate) struct ServiceTime {
    shards: [Shard; SHARDS],
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    buckets: [AtomicU64; BUCKETS],
    nanos: AtomicU64,
}

thread_local! {
    static BATCHES: Cell<u32> = const { Cell::new(0) };
    static SHARD: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS
    };
}

/// When a batch began that is being timed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Started(Instant);

/// Begins to time a batch, if it is this one's turn.
#[inline]
pub(crate) fn start() -> Option<Started> {
    let batches = BATCHES.get();
    BATCHES.set(batches.wrapping_add(1));
    batches.is_multiple_of(SAMPLE).then(|| Started(Instant::now()))
}

impl ServiceTime {
    pub(crate) fn record(&self, started: Started) {
        self.add(started.0.elapsed());
    }

    fn add(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let shard = &self.shards[SHARD.with(|shard| *shard)];
        shard.buckets[bucket(took)].fetch_add(1, Ordering::Relaxed);
        shard.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> ServiceTimes {
        let mut times = ServiceTimes::default();
        for shard in &self.shards {
            for (sum, bucket) in times.buckets.iter_mut().zip(&shard.buckets) {
                *sum += bucket.load(Ordering::Relaxed);
            }
            times.nanos += u128::from(shard.nanos.load(Ordering::Relaxed));
        }
        times
    }
}

/// Bucket 0 is below 1 µs, bucket n below 2^n µs.
fn bucket(took: Duration) -> usize {
    let micros = took.as_micros();
    ((u128::BITS - micros.leading_zeros()) as usize).min(BUCKETS - 1)
}

/// What a listener's service times were: how many batches took how long.
#[derive(Clone, Debug, Default)]
pub struct ServiceTimes {
    buckets: [u64; BUCKETS],
    nanos: u128,
}

impl ServiceTimes {
    /// Upper bounds, in seconds, and how many batches took less than each and at least the one
    /// before it. The last bound is infinite.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let bound =
            |i: usize| if i + 1 == BUCKETS { f64::INFINITY } else { (1_u64 << i) as f64 / 1e6 };
        self.buckets.iter().enumerate().map(move |(i, &count)| (bound(i), count))
    }

    /// How many batches were timed.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// What they took together, in seconds.
    pub fn sum(&self) -> f64 {
        self.nanos as f64 / 1e9
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_fall_between_their_bounds() {
        let service = ServiceTime::default();
        for micros in [0, 1, 3, 1000, 100_000_000] {
            service.add(Duration::from_micros(micros));
        }
        let times = service.snapshot();
        assert_eq!(times.count(), 5);
        assert!((times.sum() - 100.001_004).abs() < 1e-9, "{}", times.sum());
        let filled: Vec<_> = times.buckets().filter(|&(_, count)| count > 0).collect();
        assert_eq!(filled, [(1e-6, 1), (2e-6, 1), (4e-6, 1), (1024e-6, 1), (f64::INFINITY, 1)]);
    }

    #[test]
    fn one_batch_in_so_many_is_timed() {
        let timed = (0..10 * SAMPLE).filter(|_| start().is_some()).count();
        assert_eq!(timed, 10);
    }
}
