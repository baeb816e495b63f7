//! The seconds of a run, counted from the end of its warm-up, as all workers cut them.

use std::collections::BTreeMap;

use crate::measure::interval::Interval;

/// Nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;

/// When the second ends in which `now` is, in nanoseconds after the run's beginning. The warm-up's
/// end is the end of a second; its first is shorter if need be.
pub fn next_cut(now: u64, warmup: u64) -> u64 {
    if now < warmup {
        warmup - (warmup - now - 1) / SECOND * SECOND
    } else {
        warmup + ((now - warmup) / SECOND + 1) * SECOND
    }
}

/// The number of the second that ends at `cut`, which is not 0. Those of the warm-up are below 0.
pub fn number_at(cut: u64, warmup: u64) -> i64 {
    let cut = i64::try_from(cut).unwrap_or(i64::MAX);
    let warmup = i64::try_from(warmup).unwrap_or(i64::MAX);
    #[expect(clippy::cast_possible_wrap, reason = "a thousand million")]
    (cut - warmup - 1).div_euclid(SECOND as i64)
}

/// Merges the measurements of many workers second by second.
#[derive(Debug)]
pub struct Seconds {
    workers: usize,
    pending: BTreeMap<i64, (usize, Interval)>,
    /// The second behind the last one that was taken.
    next: i64,
}

impl Seconds {
    /// Seconds to which `workers` workers contribute.
    pub const fn new(workers: usize) -> Self {
        Self { workers, pending: BTreeMap::new(), next: i64::MIN }
    }

    /// Adds what a worker has measured in second `number`. If that is no longer waited for, it
    /// counts in the first that is, so that every second is taken once and nothing is left out.
    pub fn add(&mut self, number: i64, interval: &Interval) {
        let number = number.max(self.next);
        let (told, sum) = self.pending.entry(number).or_default();
        *told += 1;
        *sum += interval;
    }

    /// The oldest second if all workers have told of it, or if it is too old to be waited for.
    pub fn take_next(&mut self) -> Option<(i64, Interval)> {
        let (newest, _) = self.pending.last_key_value()?;
        let newest = *newest;
        let oldest = self.pending.first_entry()?;
        let is_whole = oldest.get().0 >= self.workers;
        // A worker that hangs, or is done, holds up nobody.
        let is_old = newest - oldest.key() >= 2;
        if !is_whole && !is_old {
            return None;
        }
        let (number, (_, interval)) = oldest.remove_entry();
        self.next = number + 1;
        Some((number, interval))
    }

    /// What is left when all workers are done.
    pub fn rest(self) -> impl Iterator<Item = (i64, Interval)> {
        self.pending.into_iter().map(|(number, (_, interval))| (number, interval))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warm_up_ends_a_second_of_its_own() {
        let warmup = 1_500_000_000;
        let cuts: Vec<_> = std::iter::successors(Some(0), |&now| Some(next_cut(now, warmup)))
            .skip(1)
            .take(4)
            .collect();
        assert_eq!(cuts, [500_000_000, 1_500_000_000, 2_500_000_000, 3_500_000_000]);
        let numbers: Vec<_> = cuts.iter().map(|&cut| number_at(cut, warmup)).collect();
        assert_eq!(numbers, [-2, -1, 0, 1]);
        assert_eq!((next_cut(0, 0), number_at(SECOND, 0), number_at(1, 0)), (SECOND, 0, 0));
    }

    fn sent(frames: u64) -> Interval {
        let mut interval = Interval::default();
        interval.run.ledger.send(frames);
        interval
    }

    #[test]
    fn a_second_is_over_when_all_workers_have_told_of_it() {
        let mut seconds = Seconds::new(2);
        seconds.add(0, &sent(1));
        assert!(seconds.take_next().is_none());
        seconds.add(1, &sent(10));
        seconds.add(0, &sent(2));
        let (number, sum) = seconds.take_next().unwrap();
        assert_eq!((number, sum.run.ledger.sent()), (0, 3));
        assert!(seconds.take_next().is_none());
        assert_eq!(seconds.rest().map(|(number, _)| number).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn a_worker_that_hangs_holds_up_nobody() {
        let mut seconds = Seconds::new(2);
        for number in 0..3 {
            seconds.add(number, &sent(1));
        }
        assert_eq!(seconds.take_next().map(|(number, _)| number), Some(0));
        assert!(seconds.take_next().is_none());
    }

    #[test]
    fn a_second_that_is_told_too_late_counts_in_the_next() {
        let mut seconds = Seconds::new(2);
        for number in 0..3 {
            seconds.add(number, &sent(1));
        }
        assert!(seconds.take_next().is_some());
        seconds.add(0, &sent(10));
        let rest = seconds.rest().map(|(number, sum)| (number, sum.run.ledger.sent()));
        assert_eq!(rest.collect::<Vec<_>>(), [(1, 11), (2, 1)]);
    }
}
