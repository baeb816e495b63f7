//! A token bucket: so many per second, and no more than a tenth of a second's worth at once.

use std::time::Duration;

use tokio::time::Instant;

/// What an unused allowance adds up to. Long enough that a thread which is late by a few
/// milliseconds does not lower the rate, short enough that a second holds hardly more than asked.
const BURST: f64 = 0.1;

/// Spent in advance and earned back over time. What is spent may be more than there is: a frame is
/// not taken in parts.
#[derive(Debug)]
pub(crate) struct Bucket {
    per_second: f64,
    tokens: f64,
    filled_at: Instant,
}

impl Bucket {
    pub(crate) fn new(per_second: f64) -> Self {
        Self { per_second, tokens: burst(per_second), filled_at: Instant::now() }
    }

    /// The rate from now on.
    pub(crate) fn set_rate(&mut self, per_second: f64) {
        self.per_second = per_second;
    }

    /// How much may be spent now; 0 or less when it has to wait.
    pub(crate) fn fill(&mut self) -> f64 {
        let now = Instant::now();
        let earned = (now - self.filled_at).as_secs_f64() * self.per_second;
        self.tokens = (self.tokens + earned).min(burst(self.per_second));
        self.filled_at = now;
        self.tokens
    }

    /// How many whole ones there were when it was last filled.
    pub(crate) fn whole(&self) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "it saturates, at both ends")]
        let whole = self.tokens as usize;
        whole
    }

    pub(crate) fn spend(&mut self, tokens: f64) {
        self.tokens -= tokens;
    }

    /// When there will be a whole token again, or now.
    pub(crate) fn ready_at(&self) -> Instant {
        let missing = (1.0 - self.tokens).max(0.0);
        // A rate so low that it can't be waited for is waited for a day at a time.
        let wait = Duration::try_from_secs_f64(missing / self.per_second).unwrap_or(DAY).min(DAY);
        self.filled_at + wait
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn burst(per_second: f64) -> f64 {
    (per_second * BURST).max(1.0)
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, sleep_until};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_of_a_tenth_of_a_second_then_the_rate() {
        let mut bucket = Bucket::new(1000.0);
        let mut taken = 0;
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            while bucket.fill() >= 1.0 {
                bucket.spend(1.0);
                taken += 1;
            }
            if Instant::now() >= end {
                break;
            }
            sleep_until(bucket.ready_at().min(end)).await;
        }
        assert!((10_099..=10_101).contains(&taken), "{taken}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_debt_is_paid_back() {
        let mut bucket = Bucket::new(10.0);
        assert!((bucket.fill() - 1.0).abs() < 1e-9);
        bucket.spend(21.0);
        assert_eq!(bucket.ready_at() - Instant::now(), Duration::from_millis(2100));
        advance(Duration::from_millis(2100)).await;
        assert!((bucket.fill() - 1.0).abs() < 1e-6);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_close_to_none_is_waited_for_a_day_at_a_time() {
        let mut bucket = Bucket::new(1e-12);
        bucket.fill();
        bucket.spend(1.0);
        assert_eq!(bucket.ready_at() - Instant::now(), DAY);
    }
}
