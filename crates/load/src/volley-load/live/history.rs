//! The last minute, second by second, for what is shown as a curve.

use std::collections::VecDeque;

use super::Second;

/// How many seconds are kept.
const SECONDS: usize = 60;

/// The rates and the 99th percentiles of the last minute, the latest last.
#[derive(Debug, Default)]
pub(super) struct History {
    seconds: VecDeque<Point>,
    noted: Option<u64>,
}

/// One second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Point {
    /// Frames answered per second.
    pub(super) rate: u64,
    /// Nanoseconds; `None` if no frame was answered.
    pub(super) p99: Option<u64>,
}

impl History {
    /// Takes in a second, if it is not the one taken in last.
    pub(super) fn note(&mut self, second: Option<&Second>) {
        let Some(second) = second else { return };
        if self.noted == Some(second.number) {
            return;
        }
        self.noted = Some(second.number);
        if self.seconds.len() == SECONDS {
            self.seconds.pop_front();
        }
        #[expect(clippy::cast_possible_truncation, reason = "the cast saturates")]
        #[expect(clippy::cast_sign_loss, reason = "the cast saturates")]
        let rate = second.rate.round() as u64;
        self.seconds.push_back(Point { rate, p99: second.felt().map(|felt| felt.p99) });
    }

    /// All seconds that are kept, the latest last.
    pub(super) fn all(&self) -> impl Iterator<Item = Point> {
        self.seconds.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::super::words::tests::second;
    use super::*;

    fn rates(history: &History) -> Vec<u64> {
        history.all().map(|point| point.rate).collect()
    }

    #[test]
    fn a_second_is_taken_in_once() {
        let mut history = History::default();
        history.note(None);
        for (number, rate) in [(1, 10.0), (1, 10.0), (2, 20.0), (2, 20.0), (4, 40.4)] {
            history.note(Some(&Second { number, rate, ..second() }));
        }
        assert_eq!(rates(&history), [10, 20, 40]);
    }

    #[test]
    fn a_minute_is_kept() {
        let mut history = History::default();
        for number in 1..=100 {
            history.note(Some(&Second { number, rate: number as f64, ..second() }));
        }
        assert_eq!(rates(&history), (41..=100).collect::<Vec<_>>());
    }

    #[test]
    fn the_p99_is_of_what_the_clients_felt() {
        let mut history = History::default();
        let closed = Second { number: 2, response: None, ..second() };
        let silent = Second { number: 3, service: None, ..closed.clone() };
        for second in [second(), closed, silent] {
            history.note(Some(&second));
        }
        let p99s: Vec<_> = history.all().map(|point| point.p99).collect();
        assert_eq!(p99s, [Some(420_000), Some(400_000), None]);
    }
}
