//! What makes a run fail, as `--fail-if` takes it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use volley_cli::{Misread, format_duration, format_rate, parse_count, parse_duration, read_rate};

use crate::plan::notation::NotationError;
use crate::report::metric::{self, Metric};

/// A condition that must not come true: `p99>5ms`, `rate<49.9k`, `lost>0.1%`.
///
/// [`fmt::Display`] gives the text with spaces, which parses back to the same threshold.
///
/// # Examples
///
/// ```
/// use volley_load::report::threshold::Threshold;
///
/// let threshold: Threshold = "response.p99>=5000us".parse()?;
/// assert_eq!(threshold.to_string(), "p99 >= 5ms");
/// assert!(threshold.is_broken_by(5e6) && !threshold.is_broken_by(4.9e6));
/// # Ok::<(), volley_load::plan::notation::NotationError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    /// The figure.
    pub metric: Metric,
    /// How it is compared.
    pub comparison: Comparison,
    /// What it is compared with, in the unit of the figure.
    pub limit: Limit,
}

/// How a figure is compared with a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `>`
    Above,
    /// `>=`
    AtLeast,
    /// `<`
    Below,
    /// `<=`
    AtMost,
}

/// What a figure is compared with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// A time in nanoseconds.
    Nanos(u64),
    /// Frames per second.
    PerSecond(f64),
    /// A number of frames.
    Frames(u64),
    /// Percent of the frames that were sent, from 0 to 100.
    Percent(f64),
}

impl Threshold {
    /// Whether the run has failed when the figure is `value`, in the unit of the limit:
    /// nanoseconds, frames per second, frames, or percent. What is no number breaks nothing.
    pub fn is_broken_by(&self, value: f64) -> bool {
        let limit = self.limit.value();
        match self.comparison {
            Comparison::Above => value > limit,
            Comparison::AtLeast => value >= limit,
            Comparison::Below => value < limit,
            Comparison::AtMost => value <= limit,
        }
    }
}

impl Comparison {
    /// Those with two characters first: the others are the beginnings of them.
    const ALL: [Self; 4] = [Self::AtLeast, Self::AtMost, Self::Above, Self::Below];

    const fn sign(self) -> &'static str {
        match self {
            Self::Above => ">",
            Self::AtLeast => ">=",
            Self::Below => "<",
            Self::AtMost => "<=",
        }
    }
}

impl Limit {
    /// The bare number.
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53: 104 days in nanoseconds")]
    const fn value(self) -> f64 {
        match self {
            Self::Nanos(number) | Self::Frames(number) => number as f64,
            Self::PerSecond(number) | Self::Percent(number) => number,
        }
    }
}

impl FromStr for Threshold {
    type Err = NotationError;

    fn from_str(text: &str) -> Result<Self, NotationError> {
        read(text).map_err(|misread| NotationError::new(text, misread))
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.metric, self.comparison.sign(), self.limit)
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Nanos(nanos) => f.write_str(&format_duration(Duration::from_nanos(nanos))),
            Self::PerSecond(rate) => f.write_str(&format_rate(rate)),
            Self::Frames(frames) => frames.fmt(f),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

fn read(text: &str) -> Result<Threshold, Misread<'_>> {
    let Some((metric, comparison, limit)) = split(text) else {
        let why = "a comparison is missing: write for example p99>5ms, rate<50k or errors>0";
        return Err(Misread::new(text, why));
    };
    let metric = metric::read(metric.trim())?;
    let place = limit.trim();
    match read_limit(metric, place) {
        Some(limit) => Ok(Threshold { metric, comparison, limit }),
        None => {
            let (unit, examples) = match metric {
                Metric::Latency { .. } => ("a duration", ["5ms", "1.5s"]),
                Metric::Rate => ("frames per second", ["500", "50k"]),
                Metric::Frames(_) => ("a number of frames, or percent of them", ["10", "0.1%"]),
            };
            let [one, other] =
                examples.map(|example| format!("{metric}{}{example}", comparison.sign()));
            let why = format!("{metric} is compared with {unit}: write {one} or {other}");
            Err(Misread::new(place, why))
        }
    }
}

/// What stands before and behind the comparison.
fn split(text: &str) -> Option<(&str, Comparison, &str)> {
    let (metric, rest) = text.split_at(text.find(['<', '>'])?);
    let limit =
        |comparison: Comparison| Some((metric, comparison, rest.strip_prefix(comparison.sign())?));
    Comparison::ALL.into_iter().find_map(limit)
}

/// A limit in the unit of the metric.
fn read_limit(metric: Metric, text: &str) -> Option<Limit> {
    match metric {
        Metric::Latency { .. } => {
            u64::try_from(parse_duration(text).ok()?.as_nanos()).ok().map(Limit::Nanos)
        }
        Metric::Rate => read_rate(text).ok().map(Limit::PerSecond),
        Metric::Frames(_) => match text.strip_suffix('%') {
            Some(percent) => metric::read_percent(percent.trim_end()).map(Limit::Percent),
            None => parse_count(text).ok().map(Limit::Frames),
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::report::metric::{Fault, Statistic, Timing};

    #[test]
    fn reads_metric_comparison_and_limit() {
        let threshold: Threshold = "service.p99.9 >= 1.5ms".parse().unwrap();
        let expected = Threshold {
            metric: Metric::Latency { of: Timing::Service, at: Statistic::Percentile(99.9) },
            comparison: Comparison::AtLeast,
            limit: Limit::Nanos(1_500_000),
        };
        assert_eq!(threshold, expected);
        let limit = |text: &str| text.parse::<Threshold>().map(|threshold| threshold.limit);
        assert_eq!(limit("max>1m 30s"), Ok(Limit::Nanos(90_000_000_000)));
        assert_eq!(limit("rate<49.9k"), Ok(Limit::PerSecond(49_900.0)));
        assert_eq!(limit("rate<=0"), Ok(Limit::PerSecond(0.0)));
        assert_eq!(limit("errors>0"), Ok(Limit::Frames(0)));
        assert_eq!(limit("lost>1k"), Ok(Limit::Frames(1000)));
        assert_eq!(limit("late > 0.1 %"), Ok(Limit::Percent(0.1)));
    }

    #[test]
    fn writes_one_text_for_all_ways_to_write_it() {
        let cases = [
            ("p99>5ms", "p99 > 5ms"),
            (" response.p99.0>0.005s ", "p99 > 5ms"),
            ("p99.99 >= 1s", "p99.99 >= 1s"),
            ("send-delay.mean<1500us", "send_delay.mean < 1.5ms"),
            ("connect.max<=1s", "connect.max <= 1s"),
            ("rate<49900/s", "rate < 49.9k"),
            ("errors>0.10%", "errors > 0.1%"),
            ("misrouted>10", "misrouted > 10"),
        ];
        for (text, written) in cases {
            assert_eq!(text.parse::<Threshold>().unwrap().to_string(), written);
        }
    }

    #[test]
    fn is_broken_when_the_condition_holds() {
        // Below the limit, at it, above it.
        let cases = [
            ("p99>5ms", [false, false, true]),
            ("p99>=5ms", [false, true, true]),
            ("p99<5ms", [true, false, false]),
            ("p99<=5ms", [true, true, false]),
        ];
        for (text, broken) in cases {
            let threshold: Threshold = text.parse().unwrap();
            let found = [4_999_999.0, 5e6, 5_000_001.0].map(|value| threshold.is_broken_by(value));
            assert_eq!(found, broken, "{text}");
            assert!(!threshold.is_broken_by(f64::NAN), "{text}");
        }
        assert!("rate<50k".parse::<Threshold>().unwrap().is_broken_by(49_999.9));
        assert!("lost>0.1%".parse::<Threshold>().unwrap().is_broken_by(0.11));
        assert!(!"lost>10".parse::<Threshold>().unwrap().is_broken_by(10.0));
    }

    #[test]
    fn points_at_what_is_wrong() {
        let duration = "p99 is compared with a duration: write p99>5ms or p99>1.5s";
        let rate = "rate is compared with frames per second: write rate<500 or rate<50k";
        let frames = "lost is compared with a number of frames, or percent of them: \
                      write lost>10 or lost>0.1%";
        let cases = [
            ("p99>5", "5", duration),
            ("p99>", "", duration),
            ("p99>5%", "5%", duration),
            ("p99>1000y", "1000y", duration),
            ("rate<5ms", "5ms", rate),
            ("rate<1%", "1%", rate),
            ("rate<2G", "2G", rate),
            ("lost> 5ms", "5ms", frames),
            ("lost>1.5", "1.5", frames),
            ("lost>101%", "101%", frames),
            ("lost>-1", "-1", frames),
            ("eror>0", "eror", "unknown metric `eror`, perhaps `errors`: known are"),
            (">5ms", "", "a metric is missing here: known are"),
            ("service.foo>5ms", "foo", "`foo` is no statistic: p0 to p100, max and mean are known"),
            ("p99", "p99", "a comparison is missing: write for example p99>5ms"),
            ("p99=5ms", "p99=5ms", "a comparison is missing: write for example p99>5ms"),
            ("p99=>5ms", "p99=", "unknown metric `p99=`, perhaps `p99`"),
            ("", "", "a comparison is missing"),
        ];
        for (text, place, why) in cases {
            let error = text.parse::<Threshold>().unwrap_err();
            assert_eq!(&error.text[error.span], place, "{text}");
            assert!(error.why.starts_with(why), "{text}: {}", error.why);
        }
    }

    fn metric_and_limit() -> impl Strategy<Value = (Metric, Limit)> {
        let of = prop_oneof![
            Just(Timing::Response),
            Just(Timing::Service),
            Just(Timing::SendDelay),
            Just(Timing::Connect),
        ];
        let at = prop_oneof![
            (0.0..=100.0).prop_map(Statistic::Percentile),
            Just(Statistic::Max),
            Just(Statistic::Mean),
        ];
        let fault = prop_oneof![Just(Fault::Any), Just(Fault::Lost), Just(Fault::Late)];
        let frames = prop_oneof![
            any::<u64>().prop_map(Limit::Frames),
            (0.0..=100.0).prop_map(Limit::Percent),
        ];
        let latency = (of, at).prop_map(|(of, at)| Metric::Latency { of, at });
        prop_oneof![
            (latency, any::<u64>().prop_map(Limit::Nanos)),
            (Just(Metric::Rate), (0.0..=1e9).prop_map(Limit::PerSecond)),
            (fault.prop_map(Metric::Frames), frames),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_the_same(
            (metric, limit) in metric_and_limit(),
            comparison in proptest::sample::select(Comparison::ALL.to_vec()),
        ) {
            let threshold = Threshold { metric, comparison, limit };
            prop_assert_eq!(threshold.to_string().parse(), Ok(threshold));
        }

        #[test]
        fn every_text_is_read_or_refused(
            text in "\\PC*|(p[0-9.]{0,5}|rate|lost|servce.p9|\\PC{0,9}) ?[<>=]{0,2} ?[0-9.]{0,5}[mskG%]{0,2}",
        ) {
            if let Err(error) = text.parse::<Threshold>() {
                prop_assert!(error.to_string().contains('^'));
            }
        }
    }
}
