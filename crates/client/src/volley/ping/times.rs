//! Round trips as figures: what ping(8) shows of them, and percentiles.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Significant decimal digits of a percentile.
const DIGITS: u8 = 3;

/// Times that were measured.
#[derive(Clone, Debug)]
pub(crate) struct Times {
    histogram: Histogram<u64>,
    /// In nanoseconds, and exact, as the histogram's cells have a width.
    min: u64,
    max: u64,
    sum: u128,
    sum_of_squares: u128,
}

/// The figures of some times, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Figures {
    pub(crate) min: u64,
    pub(crate) avg: u64,
    pub(crate) max: u64,
    /// The standard deviation, by its name in ping(8).
    pub(crate) mdev: u64,
    pub(crate) p50: u64,
    pub(crate) p90: u64,
    pub(crate) p99: u64,
}

impl Times {
    pub(crate) fn new() -> Self {
        #[expect(clippy::expect_used, reason = "it takes up to 5 digits")]
        let mut histogram = Histogram::new(DIGITS).expect("3 digits are fewer than 5");
        histogram.auto(true);
        Self { histogram, min: u64::MAX, max: 0, sum: 0, sum_of_squares: 0 }
    }

    pub(crate) fn record(&mut self, time: Duration) {
        let nanos = time.as_nanos().try_into().unwrap_or(u64::MAX);
        // A histogram that resizes itself takes every value.
        let recorded = self.histogram.record(nanos);
        debug_assert!(recorded.is_ok());
        self.min = self.min.min(nanos);
        self.max = self.max.max(nanos);
        self.sum += u128::from(nanos);
        // Nothing that is waited for takes the centuries after which this would not be exact.
        self.sum_of_squares =
            self.sum_of_squares.saturating_add(u128::from(nanos) * u128::from(nanos));
    }

    /// None if nothing was measured.
    pub(crate) fn figures(&self) -> Option<Figures> {
        let count = u128::from(self.histogram.len());
        let avg = self.sum.checked_div(count)?;
        let variance = (self.sum_of_squares / count).saturating_sub(avg * avg);
        let narrow = |nanos: u128| u64::try_from(nanos).unwrap_or(u64::MAX);
        // A cell's upper end can be above the longest time.
        let at = |quantile| self.histogram.value_at_quantile(quantile).clamp(self.min, self.max);
        Some(Figures {
            min: self.min,
            avg: narrow(avg),
            max: self.max,
            mdev: narrow(variance.isqrt()),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(micros: &[u64]) -> Option<Figures> {
        let mut times = Times::new();
        micros.iter().for_each(|&micros| times.record(Duration::from_micros(micros)));
        times.figures()
    }

    #[test]
    fn nothing_measured_is_no_figure() {
        assert_eq!(figures(&[]), None);
    }

    #[test]
    fn a_single_time_is_every_figure() {
        let (min, mdev) = (123_000, 0);
        let expected = Figures { min, avg: min, max: min, mdev, p50: min, p90: min, p99: min };
        assert_eq!(figures(&[123]), Some(expected));
    }

    #[test]
    fn figures_are_those_of_ping() {
        // mdev: the squares' average is 30,000, the average's square 22,500.
        let figures = figures(&[50, 100, 150, 200, 250]).unwrap();
        assert_eq!((figures.min, figures.avg, figures.max), (50_000, 150_000, 250_000));
        assert_eq!(figures.mdev, 70_710);
    }

    #[test]
    fn percentiles_have_three_digits() {
        let figures = figures(&(1..=1000).collect::<Vec<_>>()).unwrap();
        let wanted = [(figures.p50, 500_000), (figures.p90, 900_000), (figures.p99, 990_000)];
        for (is, wanted) in wanted {
            assert!(is.abs_diff(wanted) <= wanted / 1000, "{is}, not {wanted}");
        }
    }
}
