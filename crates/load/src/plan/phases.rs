//! The rates of a run as one line of text: phases one after the other.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use volley_cli::{Misread, parse_duration, read_rate};

use crate::plan::notation::NotationError;
use crate::plan::schedule::{Phase, Schedule};

/// Phases as `1k:10s,1k..20k:30s,20k:60s`: a rate or a ramp from one rate to another, and how long
/// it takes. They plan at least one frame; a phase of rate 0 is a pause.
///
/// [`fmt::Display`] gives a text that parses back to the same phases.
///
/// # Examples
///
/// ```
/// use volley_load::plan::phases::Phases;
///
/// let phases: Phases = "1k:10s,1k..20k:30s".parse()?;
/// assert_eq!(phases.duration().as_secs(), 40);
/// assert_eq!((phases.as_slice()[1].from, phases.as_slice()[1].to), (1000.0, 20_000.0));
/// # Ok::<(), volley_load::plan::notation::NotationError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Phases {
    phases: Vec<Phase>,
    duration: Duration,
}

impl Phases {
    /// The phases in their order, as [`Schedule::phases`] takes them; at least one.
    pub fn as_slice(&self) -> &[Phase] {
        &self.phases
    }

    /// How long all of them take together.
    pub const fn duration(&self) -> Duration {
        self.duration
    }
}

impl FromStr for Phases {
    type Err = NotationError;

    fn from_str(text: &str) -> Result<Self, NotationError> {
        read(text).map_err(|misread| NotationError::new(text, misread))
    }
}

impl fmt::Display for Phases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, phase) in self.phases.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{phase}")?;
        }
        Ok(())
    }
}

/// The longest plan: what 64 bits of nanoseconds hold, 584 years.
const LONGEST: Duration = Duration::from_nanos(u64::MAX);

fn read(text: &str) -> Result<Phases, Misread<'_>> {
    let mut phases = Vec::new();
    let mut duration = Duration::ZERO;
    for part in text.split(',').map(str::trim) {
        let phase = read_phase(part)?;
        phases.push(phase);
        duration = duration.saturating_add(phase.duration);
        if duration > LONGEST {
            return Err(Misread::new(part, "the plan takes more than 584 years"));
        }
    }
    match Schedule::phases(&phases, 1) {
        Ok(_) => Ok(Phases { phases, duration }),
        Err(error) => Err(Misread::new(text, error.to_string())),
    }
}

/// `20k:60s` or `1k..20k:30s`.
fn read_phase(text: &str) -> Result<Phase, Misread<'_>> {
    if text.is_empty() {
        return Err(Misread::new(text, "a phase is missing here: write for example 1k:10s"));
    }
    let (rates, duration) = text.split_once(':').unwrap_or((text, &text[text.len()..]));
    let (from, to) = rates.split_once("..").unwrap_or((rates, rates));
    let (from, to) = (read_rate(from.trim())?, read_rate(to.trim())?);
    let place = duration.trim();
    if place.is_empty() {
        let why = format!("a duration is missing here: write for example {}:10s", rates.trim());
        return Err(Misread::new(place, why));
    }
    match parse_duration(place) {
        Ok(Duration::ZERO) => Err(Misread::new(place, "a phase must last longer than 0")),
        Ok(duration) => Ok(Phase { from, to, duration }),
        Err(why) => Err(Misread::new(place, why)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_steps_ramps_and_pauses() {
        let phases: Phases = "1k:10s, 0 .. 20.5k/s : 1m 30s,0:5s,0.5:500ms".parse().unwrap();
        let phase =
            |from, to, duration| Phase { from, to, duration: Duration::from_millis(duration) };
        let expected = [
            phase(1000.0, 1000.0, 10_000),
            phase(0.0, 20_500.0, 90_000),
            phase(0.0, 0.0, 5000),
            phase(0.5, 0.5, 500),
        ];
        assert_eq!(phases.as_slice(), expected);
        assert_eq!(phases.duration(), Duration::from_millis(105_500));
    }

    #[test]
    fn writes_what_it_reads() {
        for text in ["1k:10s", "1k:10s,1k..20k:30s,20k:90s", "0..50:1m,0:5s,0.5:8h", "2:2days"] {
            assert_eq!(text.parse::<Phases>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn points_at_what_is_wrong() {
        let cases = [
            ("1k:10s,20q:60s", 9..10, "unknown unit `q` in the rate: k, M and G are known"),
            ("", 0..0, "a phase is missing here: write for example 1k:10s"),
            ("1k:10s,", 7..7, "a phase is missing here: write for example 1k:10s"),
            ("1k:10s, ,5:1s", 7..7, "a phase is missing here: write for example 1k:10s"),
            ("1k,2k:10s", 2..2, "a duration is missing here: write for example 1k:10s"),
            ("1..2k:", 6..6, "a duration is missing here: write for example 1..2k:10s"),
            ("5:1s,5:0s", 7..9, "a phase must last longer than 0"),
            (
                "5:x",
                2..3,
                "`x` is no duration: write a number and a unit, for example 5ms, 10s or 2m",
            ),
            (
                "5:10",
                2..4,
                "`10` is no duration: write a number and a unit, for example 5ms, 10s or 2m",
            ),
            ("1..2G:1s", 3..5, "a rate of 2G is above 1G, the highest there is"),
            (
                "..2k:1s",
                0..0,
                "`` is no rate: write frames per second, for example 500, 50k or 1.5M",
            ),
            ("0:10s,0:5s", 0..10, "the plan has no frame in it"),
            ("1:400y, 1:400y", 8..14, "the plan takes more than 584 years"),
        ];
        for (text, span, why) in cases {
            let error = text.parse::<Phases>().unwrap_err();
            assert_eq!((error.span, error.why.as_str()), (span, why), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_the_same(
            phases in proptest::collection::vec((1.0..=1e9, 0.0..=1e9, any::<bool>(), 1_000_000_000..u64::MAX / 8), 1..8),
        ) {
            let phase = |(from, to, steady, nanos)| Phase {
                from,
                to: if steady { from } else { to },
                duration: Duration::from_nanos(nanos),
            };
            let phases: Vec<_> = phases.into_iter().map(phase).collect();
            let duration = phases.iter().map(|phase| phase.duration).sum();
            let phases = Phases { phases, duration };
            prop_assert_eq!(phases.to_string().parse(), Ok(phases));
        }

        #[test]
        fn every_text_is_read_or_refused(text in "\\PC*|[0-9kMG:.,smh ]{0,30}") {
            if let Err(error) = text.parse::<Phases>() {
                prop_assert!(error.to_string().contains('^'));
            }
        }
    }
}
