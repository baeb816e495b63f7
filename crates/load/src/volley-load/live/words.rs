//! What view and lines say in the same words.

use std::time::Duration;

use volley_cli::format_duration;

use super::{Moment, Phase};

/// How far a run is.
#[derive(Debug, PartialEq)]
pub(super) struct Progress {
    /// In words: `12 s of 60 s`.
    pub(super) text: String,
    /// From 0 to 1; `None` if nobody knows when it is over.
    pub(super) ratio: Option<f64>,
}

impl Progress {
    /// How far the run's phase is. Where time and frames both end it, the one that is ahead counts.
    pub(super) fn of(moment: &Moment) -> Self {
        let elapsed = span(moment.elapsed);
        match moment.phase {
            Phase::Connecting => Self {
                text: format!(
                    "{} of {} connections",
                    group(moment.connected.into()),
                    group(moment.connections.into())
                ),
                ratio: Some(ratio(moment.connected.into(), moment.connections.into())),
            },
            Phase::Finishing => {
                let longest = format_duration(moment.timeout);
                let text = format!(
                    "{elapsed}, awaiting the last replies for up to {longest}; Ctrl-C ends at once"
                );
                Self { text, ratio: None }
            }
            Phase::WarmingUp | Phase::Sending => {
                let by_time = moment.planned.map(|planned| Self {
                    text: format!("{elapsed} of {}", span(planned)),
                    ratio: Some(ratio(moment.elapsed.as_secs_f64(), planned.as_secs_f64())),
                });
                let frames = moment.frames_planned.filter(|_| moment.phase == Phase::Sending);
                let by_frames = frames.map(|planned| Self {
                    text: format!("{} of {} frames", group(moment.sent), group(planned)),
                    ratio: Some(ratio(moment.sent as f64, planned as f64)),
                });
                match (by_time, by_frames) {
                    (Some(time), Some(frames)) if frames.ratio > time.ratio => frames,
                    (Some(time), _) => time,
                    (None, Some(frames)) => frames,
                    (None, None) => Self { text: elapsed, ratio: None },
                }
            }
        }
    }
}

/// `part` of `whole`, from 0 to 1. Nothing of nothing is all of it.
fn ratio(part: f64, whole: f64) -> f64 {
    if part < whole { part / whole } else { 1.0 }
}

/// The name of a phase.
pub(super) const fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Connecting => "connecting",
        Phase::WarmingUp => "warming up",
        Phase::Sending => "sending",
        Phase::Finishing => "finishing",
    }
}

/// A stretch of time in whole seconds: `12 s`, `2 min 05 s`, `3 h 20 min`.
pub(super) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => in_two(seconds / 60, "min", seconds % 60, "s"),
        _ => in_two(seconds / 3600, "h", seconds / 60 % 60, "min"),
    }
}

fn in_two(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    match small {
        0 => format!("{large} {large_unit}"),
        _ => format!("{large} {large_unit} {small:02} {small_unit}"),
    }
}

/// Frames per second: `49,998`, and `0.5` where a whole number says too little.
pub(super) fn rate(rate: f64) -> String {
    if rate < 10.0 && rate.fract() != 0.0 {
        return format!("{rate:.1}");
    }
    #[expect(clippy::cast_possible_truncation, reason = "the cast saturates")]
    #[expect(clippy::cast_sign_loss, reason = "the cast saturates")]
    let whole = rate.round() as u64;
    group(whole)
}

/// A number with a comma between the thousands.
pub(super) fn group(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::{Percentiles, Second};
    use super::*;

    /// An open loop in its 12th second.
    pub(in super::super) fn moment() -> Moment {
        Moment {
            phase: Phase::Sending,
            elapsed: Duration::from_millis(12_300),
            planned: Some(Duration::from_secs(60)),
            timeout: Duration::from_secs(10),
            frames_planned: None,
            sent: 599_976,
            failed: 0,
            connected: 64,
            connections: 64,
            asked_rate: Some(50_000.0),
            last: Some(second()),
        }
    }

    pub(in super::super) fn second() -> Second {
        Second {
            number: 1,
            rate: 49_998.2,
            bytes_per_second: 6_400_000.0,
            in_flight: 12,
            response: Some(percentiles(0)),
            service: Some(percentiles(20_000)),
        }
    }

    /// All shorter by so many nanoseconds.
    fn percentiles(less: u64) -> Percentiles {
        Percentiles {
            p50: 110_000 - less,
            p90: 230_000 - less,
            p99: 420_000 - less,
            p999: 1_100_000 - less,
            max: 3_100_000 - less,
        }
    }

    #[track_caller]
    fn assert_progress(moment: &Moment, text: &str, ratio: Option<f64>) {
        assert_eq!(Progress::of(moment), Progress { text: text.to_owned(), ratio });
    }

    #[test]
    fn progress_is_told_of_what_ends_the_run_first() {
        let by_time = Moment { elapsed: Duration::from_secs(15), ..moment() };
        assert_progress(&by_time, "15 s of 60 s", Some(0.25));
        let by_both = Moment { frames_planned: Some(1_199_952), ..by_time };
        assert_progress(&by_both, "599,976 of 1,199,952 frames", Some(0.5));
        let slower = Moment { frames_planned: Some(5_999_760), ..by_both };
        assert_progress(&slower, "15 s of 60 s", Some(0.25));
        let by_frames = Moment { planned: None, ..slower };
        assert_progress(&by_frames, "599,976 of 5,999,760 frames", Some(0.1));
        assert_progress(&Moment { frames_planned: None, ..by_frames }, "15 s", None);
    }

    #[test]
    fn progress_of_each_phase_is_told_in_its_own_words() {
        let connecting =
            Moment { phase: Phase::Connecting, connected: 500, connections: 2000, ..moment() };
        assert_progress(&connecting, "500 of 2,000 connections", Some(0.25));
        let warming_up = Moment {
            phase: Phase::WarmingUp,
            elapsed: Duration::from_secs(3),
            planned: Some(Duration::from_secs(4)),
            frames_planned: Some(1),
            ..moment()
        };
        assert_progress(&warming_up, "3 s of 4 s", Some(0.75));
        let finishing = Moment { phase: Phase::Finishing, ..warming_up };
        assert_progress(
            &finishing,
            "3 s, awaiting the last replies for up to 10s; Ctrl-C ends at once",
            None,
        );
    }

    #[test]
    fn progress_never_goes_beyond_the_end() {
        let late = Moment { elapsed: Duration::from_secs(61), ..moment() };
        assert_progress(&late, "61 s of 60 s", Some(1.0));
        let nothing_to_do = Moment { planned: Some(Duration::ZERO), ..late };
        assert_progress(&nothing_to_do, "61 s of 0 s", Some(1.0));
    }

    #[test]
    fn a_span_has_two_units_at_most() {
        for (seconds, text) in [
            (0, "0 s"),
            (119, "119 s"),
            (120, "2 min"),
            (125, "2 min 05 s"),
            (7_199, "119 min 59 s"),
            (7_200, "2 h"),
            (12_059, "3 h 20 min"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(group(0), "0");
        assert_eq!(group(999), "999");
        assert_eq!(group(1_000), "1,000");
        assert_eq!(group(1_234_567), "1,234,567");
        assert_eq!(rate(49_999.6), "50,000");
        assert_eq!(rate(9.0), "9");
        assert_eq!(rate(0.5), "0.5");
        assert_eq!(rate(f64::NAN), "0");
    }
}
