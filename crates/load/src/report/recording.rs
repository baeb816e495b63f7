//! Keeps what a report says of each second of a run, in little memory.

use crate::measure::interval::{Interval, Measured};
use crate::measure::recorder::Latencies;
use crate::report::{Quantiles, Second};

/// A day of seconds: some 30 MB. A longer run lists no more.
const MOST_SECONDS: usize = 86_400;

/// The seconds of a run so far.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// One after the other; the warm-up's are left out.
    pub seconds: Vec<Second>,
    /// How many more there were than are kept.
    pub omitted: u64,
}

impl Recording {
    /// Adds what was measured in second `number`, at whose end `in_flight` frames waited.
    pub fn add(&mut self, number: i64, interval: &Interval, in_flight: u64, is_open: bool) {
        let Ok(number) = u64::try_from(number) else { return };
        if self.seconds.len() == MOST_SECONDS {
            self.omitted += 1;
            return;
        }
        let run = &interval.run;
        self.seconds.push(Second {
            second: number,
            sent: run.ledger.sent(),
            ok: run.ledger.count(crate::measure::ledger::Column::Ok),
            failed: run.ledger.failed(),
            in_flight,
            bytes_sent: run.bytes_sent,
            bytes_received: run.bytes_received,
            response: Quantiles::of(run.response(is_open)),
            service: Quantiles::of(&run.service),
            send_delay: is_open.then(|| Quantiles::of(&run.send_delay)),
        });
    }
}

impl Measured {
    /// Planned to reply, where a closed loop has no plan but what it does.
    pub const fn response(&self, is_open: bool) -> &Latencies {
        if is_open { &self.response } else { &self.service }
    }
}

impl Quantiles {
    /// What a histogram comes to.
    pub fn of(latencies: &Latencies) -> Self {
        let histogram = latencies.histogram();
        if histogram.is_empty() {
            return Self::default();
        }
        let at = |quantile| Some(latencies.at(quantile));
        Self {
            count: histogram.len(),
            min_ns: Some(histogram.min()),
            mean_ns: Some(latencies.mean()),
            p50_ns: at(0.5),
            p90_ns: at(0.9),
            p99_ns: at(0.99),
            p999_ns: at(0.999),
            p9999_ns: at(0.9999),
            max_ns: Some(latencies.longest()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_nothing_are_unknown_not_0() {
        assert_eq!(Quantiles::of(&Latencies::new()), Quantiles::default());
    }

    #[test]
    fn quantiles_keep_three_digits() {
        let mut latencies = Latencies::new();
        for micros in 1..=10_000 {
            latencies.record(micros * 1000, 1);
        }
        let found = Quantiles::of(&latencies);
        let expected = [
            (found.min_ns, 1_000),
            (found.mean_ns, 5_000_500),
            (found.p50_ns, 5_000_000),
            (found.p90_ns, 9_000_000),
            (found.p99_ns, 9_900_000),
            (found.p999_ns, 9_990_000),
            (found.p9999_ns, 9_999_000),
            (found.max_ns, 10_000_000),
        ];
        for (found, expected) in expected {
            let found: u64 = found.unwrap();
            assert!(found.abs_diff(expected) <= expected / 1000, "{found} {expected}");
        }
        assert_eq!(found.count, 10_000);
    }

    #[test]
    fn the_warm_up_is_left_out() {
        let mut recording = Recording::default();
        recording.add(-1, &Interval::default(), 0, true);
        recording.add(0, &Interval::default(), 0, true);
        assert_eq!(recording.seconds.len(), 1);
        assert_eq!(recording.seconds[0].second, 0);
    }
}
