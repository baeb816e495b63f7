//! Pauses between attempts: each about twice the one before, no two clients' the same. Who attempts
//! what, and how often, is for others to say.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// The first pause at its longest: a server that is restarted is mostly back by then, and an
/// attempt on this machine costs a hundredth of it.
const FIRST: Duration = Duration::from_millis(100);

/// The pauses of one series of attempts. A success ends the series: the next one is a new value.
///
/// A pause is random between half and the whole of what it could be, so that a server's clients,
/// which all lost it at the same moment, don't come back at the same moment ("equal jitter").
#[derive(Debug)]
pub(crate) struct Backoff {
    pauses: ExponentialBackoff,
    longest: Duration,
}

impl Backoff {
    /// Pauses from 50 to 100 ms on, none above `longest`.
    pub(crate) fn new(longest: Duration) -> Self {
        // It adds up to as much again.
        let halves = ExponentialBuilder::new()
            .with_min_delay(FIRST.min(longest) / 2)
            .with_max_delay(longest / 2)
            .without_max_times()
            .with_jitter();
        Self { pauses: halves.build(), longest }
    }

    /// How long to wait before the next attempt.
    pub(crate) fn pause(&mut self) -> Duration {
        // It ends after `usize::MAX` pauses.
        self.pauses.next().unwrap_or(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(longest: u64) -> Vec<Duration> {
        let mut backoff = Backoff::new(Duration::from_millis(longest));
        (0..8).map(|_| backoff.pause()).collect()
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let most = [100, 200, 400, 800, 1000, 1000, 1000, 1000];
        for (pause, most) in pauses(1000).into_iter().zip(most.map(Duration::from_millis)) {
            assert!((most / 2..=most).contains(&pause), "{pause:?}, at most {most:?}");
        }
    }

    #[test]
    fn no_pause_is_longer_than_asked_for() {
        let longest = Duration::from_millis(10);
        assert!(pauses(10).iter().all(|pause| (longest / 2..=longest).contains(pause)));
    }

    #[test]
    fn clients_that_lost_a_server_together_come_back_apart() {
        assert_ne!(pauses(1000), pauses(1000));
    }
}
