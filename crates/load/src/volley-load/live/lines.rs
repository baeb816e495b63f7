//! A plain line every few seconds, for a log or a terminal that cannot be drawn on.

use std::fmt::Write;
use std::time::Duration;

use volley_load::report::figures::latency;

use super::words::{Progress, group, phase, rate};
use super::{Moment, Phase};

/// How often a line comes in the first minute: soon enough to see that all is well.
const AT_FIRST: Duration = Duration::from_secs(2);

/// How often it comes then: a log of an hour's run stays readable.
const LATER: Duration = Duration::from_secs(10);

/// How long the last replies are awaited in silence: those of a server that is fine come sooner.
const BEFORE_WAITING_IS_TOLD: Duration = Duration::from_millis(500);

/// When [`LATER`] begins.
const FIRST: Duration = Duration::from_secs(60);

/// Knows when the next line is due.
#[derive(Debug)]
pub(super) struct Lines {
    /// Counted from the beginning.
    due: Duration,
    /// Whether a line has said that replies are awaited.
    has_told_of_waiting: bool,
}

impl Default for Lines {
    fn default() -> Self {
        Self { due: AT_FIRST, has_told_of_waiting: false }
    }
}

impl Lines {
    /// The line for `moment`, if one is due `since` the beginning.
    pub(super) fn next(&mut self, since: Duration, moment: &Moment) -> Option<String> {
        let is_waiting =
            moment.phase == Phase::Finishing && moment.elapsed >= BEFORE_WAITING_IS_TOLD;
        if is_waiting && !self.has_told_of_waiting {
            self.due = self.due.min(since);
        }
        if since < self.due {
            return None;
        }
        self.has_told_of_waiting = is_waiting;
        // The rhythm is kept if a line is a little late, and taken up anew after a long gap.
        let pause = if self.due < FIRST { AT_FIRST } else { LATER };
        self.due += pause;
        if self.due <= since {
            self.due = since + pause;
        }
        Some(line(moment))
    }
}

/// All that matters of `moment`, and a line break.
fn line(moment: &Moment) -> String {
    let progress = Progress::of(moment).text;
    let mut line = match moment.phase {
        Phase::Sending => format!("volley-load: {progress}"),
        other => format!("volley-load: {}, {progress}", phase(other)),
    };
    if moment.phase != Phase::Connecting {
        line.push_str(": ");
        if let Some(last) = &moment.last {
            // Writing to a string does not fail.
            let _ = write!(line, "{} frames/s", rate(last.rate));
            if let Some(asked) = moment.asked_rate {
                let _ = write!(line, " (asked {})", rate(asked));
            }
            let _ = write!(line, ", in flight {}, ", group(last.in_flight));
            if let Some(felt) = last.felt() {
                let [p50, p99, max] = [felt.p50, felt.p99, felt.max].map(latency);
                let _ = write!(line, "p50 {p50} p99 {p99} max {max}, ");
            }
        }
        let _ = write!(line, "{} failed", group(moment.failed));
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::super::Second;
    use super::super::words::tests::{moment, second};
    use super::*;

    #[test]
    fn a_line_tells_all_that_matters() {
        assert_eq!(
            line(&Moment { failed: 1234, ..moment() }),
            "volley-load: 12 s of 60 s: 49,998 frames/s (asked 50,000), in flight 12, \
             p50 110 µs p99 420 µs max 3.10 ms, 1,234 failed\n"
        );
    }

    #[test]
    fn a_line_leaves_out_what_is_not_known() {
        let closed = Second { response: None, ..second() };
        let closed = Moment { asked_rate: None, last: Some(closed), ..moment() };
        assert_eq!(
            line(&closed),
            "volley-load: 12 s of 60 s: 49,998 frames/s, in flight 12, \
             p50 90.0 µs p99 400 µs max 3.08 ms, 0 failed\n"
        );
        let silent = Second { rate: 0.0, response: None, service: None, ..second() };
        assert_eq!(
            line(&Moment { last: Some(silent), ..closed.clone() }),
            "volley-load: 12 s of 60 s: 0 frames/s, in flight 12, 0 failed\n"
        );
        let first = Moment { last: None, elapsed: Duration::ZERO, ..closed };
        assert_eq!(line(&first), "volley-load: 0 s of 60 s: 0 failed\n");
    }

    #[test]
    fn a_line_names_every_phase_but_the_main_one() {
        let connecting = Moment { phase: Phase::Connecting, connections: 128, ..moment() };
        assert_eq!(line(&connecting), "volley-load: connecting, 64 of 128 connections\n");
        let warming_up = Moment { phase: Phase::WarmingUp, last: None, ..moment() };
        assert_eq!(line(&warming_up), "volley-load: warming up, 12 s of 60 s: 0 failed\n");
        let finishing = Moment { phase: Phase::Finishing, last: None, ..moment() };
        assert_eq!(
            line(&finishing),
            "volley-load: finishing, 12 s, awaiting the last replies for up to 10s; Ctrl-C ends at \
             once: 0 failed\n"
        );
    }

    /// When lines come, in seconds, asked every tenth of a second.
    fn times(until: u64) -> Vec<u64> {
        let mut lines = Lines::default();
        let tenths = (0..until * 10).map(|tenth| Duration::from_millis(tenth * 100));
        tenths.filter(|&t| lines.next(t, &moment()).is_some()).map(|t| t.as_secs()).collect()
    }

    #[test]
    fn lines_come_every_two_seconds_then_every_ten() {
        assert_eq!(times(9), [2, 4, 6, 8]);
        assert_eq!(times(100)[28..], [58, 60, 70, 80, 90]);
    }

    #[test]
    fn a_line_comes_soon_when_replies_are_awaited() {
        let mut lines = Lines::default();
        let mut asked = |phase, since, elapsed| {
            let [since, elapsed] = [since, elapsed].map(Duration::from_millis);
            lines.next(since, &Moment { phase, elapsed, ..moment() }).is_some()
        };
        assert!(asked(Phase::Sending, 100_000, 100_000));
        assert!(!asked(Phase::Finishing, 101_000, 400));
        assert!(asked(Phase::Finishing, 101_100, 500));
        assert!(!asked(Phase::Finishing, 101_200, 600));
        assert!(asked(Phase::Finishing, 111_100, 10_500));
    }

    #[test]
    fn lines_that_were_missed_do_not_come_all_at_once() {
        let mut lines = Lines::default();
        let mut asked = |millis| lines.next(Duration::from_millis(millis), &moment()).is_some();
        assert!(asked(2_500));
        assert!(!asked(3_900));
        assert!(asked(4_000));
        assert!(asked(20_000));
        assert!(!asked(20_100));
        assert!(asked(22_000));
    }
}
