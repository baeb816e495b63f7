//! A token bucket: so many per second, and no more than a tenth of a second's worth at once.

use std::time::Duration;

use tokio::time::Instant;

/// What an unused allowance adds up to. Long enough that a thread which is late by a few
/// milliseconds does not lower the rate, short enough that a second holds hardly more than asked.
const BURST: f64 = 0.1;

/// The part of it that is waited for: 25 ms' worth.
const PIECE: f64 = 0.25;

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

    /// When something may be spent again; `None` is now. A wait is for a part of the burst, so that
    /// what is slowed down is done in pieces worth waking up for.
    pub(crate) fn ready_at(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let earned = (now - self.filled_at).as_secs_f64() * self.per_second;
        let burst = burst(self.per_second);
        self.tokens = (self.tokens + earned).min(burst);
        self.filled_at = now;
        let missing = (burst * PIECE).max(1.0) - self.tokens;
        // A rate so low that it can't be waited for is waited for a day at a time.
        let wait =
            || Duration::try_from_secs_f64(missing / self.per_second).unwrap_or(DAY).min(DAY);
        (missing > 0.0).then(|| now + wait())
    }

    /// How many whole tokens there are.
    pub(crate) fn whole(&self) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "it saturates, at both ends")]
        let whole = self.tokens as usize;
        whole
    }

    pub(crate) fn spend(&mut self, tokens: f64) {
        self.tokens -= tokens;
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn burst(per_second: f64) -> f64 {
    (per_second * BURST).max(1.0)
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep_until;

    use super::*;

    /// How many tokens are spent in ten seconds by one who takes all there are.
    async fn spent_in_ten_seconds(per_second: f64) -> u32 {
        let mut bucket = Bucket::new(per_second);
        let mut spent = 0;
        let end = Instant::now() + Duration::from_secs(10);
        while Instant::now() < end {
            match bucket.ready_at() {
                Some(until) => sleep_until(until.min(end)).await,
                None => {
                    bucket.spend(1.0);
                    spent += 1;
                }
            }
        }
        spent
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_of_a_tenth_of_a_second_and_the_rate() {
        for rate in [1000_u32, 100, 10, 1] {
            let spent = spent_in_ten_seconds(rate.into()).await;
            let most = 10 * rate + (rate / 10).max(1);
            assert!((10 * rate..=most).contains(&spent), "{spent} at {rate}/s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_debt_is_paid_back() {
        let mut bucket = Bucket::new(10.0);
        assert_eq!(bucket.ready_at(), None);
        bucket.spend(21.0);
        let wait = bucket.ready_at().unwrap() - Instant::now();
        assert_eq!(wait, Duration::from_millis(2100));
        sleep_until(Instant::now() + wait).await;
        assert_eq!((bucket.ready_at(), bucket.whole()), (None, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_close_to_none_is_waited_for_a_day_at_a_time() {
        let mut bucket = Bucket::new(1e-12);
        bucket.spend(1.0);
        assert_eq!(bucket.ready_at(), Some(Instant::now() + DAY));
    }
}
