//! Latencies as histograms: three of frames, one of connecting and one of TLS handshakes.

use hdrhistogram::Histogram;
use std::time::Duration;

/// Significant decimal digits that a histogram keeps of every value.
pub const DIGITS: u8 = 3;

/// The longest latency that is told from longer ones: ten minutes. What is longer counts as this
/// long, and in [`Latencies::overflow`].
pub const LONGEST: Duration = Duration::from_secs(600);

/// A histogram of nanoseconds, from 1 ns to [`LONGEST`].
#[derive(Clone, Debug)]
pub struct Latencies {
    histogram: Histogram<u64>,
    overflow: u64,
    longest: u64,
}

impl Latencies {
    /// Nothing recorded.
    pub fn new() -> Self {
        #[expect(clippy::expect_used, reason = "the bounds are constants that the crate allows")]
        let mut histogram = Histogram::new(DIGITS).expect("3 digits are fewer than 5");
        histogram.auto(true);
        Self { histogram, overflow: 0, longest: 0 }
    }

    /// An empty one that is as large.
    pub fn like(&self) -> Self {
        let mut histogram = Histogram::new_from(&self.histogram);
        histogram.auto(true);
        Self { histogram, overflow: 0, longest: 0 }
    }

    /// Records `count` latencies of `nanos` nanoseconds.
    #[inline]
    pub fn record(&mut self, nanos: u64, count: u64) {
        #[expect(clippy::cast_possible_truncation, reason = "600e9 fits")]
        const LONGEST_NANOS: u64 = LONGEST.as_nanos() as u64;
        if nanos > LONGEST_NANOS {
            self.overflow += count;
        }
        self.longest = self.longest.max(nanos);
        // A histogram that resizes itself takes every value.
        let recorded = self.histogram.record_n(nanos.clamp(1, LONGEST_NANOS), count);
        debug_assert!(recorded.is_ok());
    }

    /// The recorded values.
    pub const fn histogram(&self) -> &Histogram<u64> {
        &self.histogram
    }

    /// The latency below or at which the part `quantile` of all lies, from 0 to 1, in nanoseconds.
    pub fn at(&self, quantile: f64) -> u64 {
        // A histogram's cell has a width: its upper end can be above the longest value.
        self.histogram.value_at_quantile(quantile).min(self.longest)
    }

    /// The longest latency in nanoseconds, exactly; 0 without any.
    pub const fn longest(&self) -> u64 {
        self.longest
    }

    /// The arithmetic mean in nanoseconds; 0 without any.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a mean of numbers that fit, none below 0"
    )]
    pub fn mean(&self) -> u64 {
        self.histogram.mean().round() as u64
    }

    /// How many of them were longer than [`LONGEST`].
    pub const fn overflow(&self) -> u64 {
        self.overflow
    }

    /// Adds the values of another.
    pub fn add(&mut self, other: &Self) {
        // Two histograms of the same digits, one of which resizes itself, can be added.
        let added = self.histogram.add(&other.histogram);
        debug_assert!(added.is_ok());
        self.overflow += other.overflow;
        self.longest = self.longest.max(other.longest);
    }

    /// Forgets all values and keeps the memory.
    pub fn reset(&mut self) {
        self.histogram.reset();
        self.overflow = 0;
        self.longest = 0;
    }
}

impl Default for Latencies {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_three_digits_of_short_and_long_latencies() {
        let mut latencies = Latencies::new();
        for nanos in [1, 999, 123_456, 59_999_000_000, 600_000_000_000] {
            latencies.reset();
            latencies.record(nanos, 3);
            let found = latencies.histogram().value_at_quantile(0.5);
            assert!(found.abs_diff(nanos) <= nanos / 1000, "{nanos}: {found}");
            assert_eq!((latencies.histogram().len(), latencies.overflow()), (3, 0));
        }
    }

    #[test]
    fn what_is_longer_than_the_longest_is_counted_apart() {
        let mut latencies = Latencies::new();
        latencies.record(u64::MAX, 2);
        assert_eq!((latencies.histogram().len(), latencies.overflow()), (2, 2));
        let mut sum = latencies.like();
        assert_eq!((sum.histogram().len(), sum.overflow()), (0, 0));
        sum.add(&latencies);
        sum.add(&latencies);
        assert_eq!((sum.histogram().len(), sum.overflow()), (4, 4));
    }
}
