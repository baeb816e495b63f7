//! When frames are planned: one absolute schedule in integer nanoseconds, fixed before the run.
//!
//! Nothing that happens during a run moves it. A generator that is late sends late and says so; it
//! never plans anew.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use volley_cli::{format_duration, format_rate};

/// Nanoseconds in a second.
const SECOND: u128 = 1_000_000_000;

/// One part of a plan: a rate that is held, or that grows or falls evenly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Phase {
    /// Frames per second at its beginning, over all connections.
    pub from: f64,
    /// Frames per second at its end; the same as `from` for a steady rate.
    pub to: f64,
    /// How long it takes.
    pub duration: Duration,
}

impl Phase {
    /// Frames planned from the phase's beginning until `seconds` later: the area under the rate.
    fn area(&self, seconds: f64) -> f64 {
        let slope = (self.to - self.from) / self.duration.as_secs_f64();
        seconds * (self.from + slope * seconds / 2.0)
    }

    /// Frames planned in the whole phase, the last perhaps in part.
    fn frames(&self) -> f64 {
        (self.from + self.to) / 2.0 * self.duration.as_secs_f64()
    }

    /// How many seconds after the phase's beginning `frames` frames have been planned.
    fn instant(&self, frames: f64) -> f64 {
        let slope = (self.to - self.from) / self.duration.as_secs_f64();
        // The solution of area(t) = frames that stays exact as the slope goes to 0.
        let root = slope.mul_add(2.0 * frames, self.from * self.from).max(0.0).sqrt();
        let divisor = self.from + root;
        if divisor > 0.0 { 2.0 * frames / divisor } else { 0.0 }
    }
}

impl fmt::Display for Phase {
    /// As the command line takes it: `1k:10s`, `1k..20k:30s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_rate(self.from))?;
        if self.from != self.to {
            write!(f, "..{}", format_rate(self.to))?;
        }
        write!(f, ":{}", format_duration(self.duration))
    }
}

/// The planned instants of all frames of a run, numbered from 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    rate: Rate,
    burst: u64,
}

#[derive(Clone, Debug, PartialEq)]
enum Rate {
    /// A rate that never ends, in thousandths of a frame per second: exact in integers.
    Steady { millihertz: u64 },
    /// Phases one after the other, each with the frames and seconds planned before it. Shared,
    /// because every connection has the schedule.
    Phases(Arc<[(f64, f64, Phase)]>),
}

impl Schedule {
    /// `rate` frames per second for as long as the run lasts, `burst` of them at a time.
    ///
    /// # Errors
    ///
    /// [`ScheduleError`] for a rate that is not from 0.001 to a thousand million frames per
    /// second, and for a burst of 0.
    pub fn steady(rate: f64, burst: u64) -> Result<Self, ScheduleError> {
        check_rate(rate)?;
        if rate < 0.001 {
            return Err(ScheduleError::Rate { rate });
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked above"
        )]
        let millihertz = (rate * 1000.0).round() as u64;
        Self::new(Rate::Steady { millihertz }, burst)
    }

    /// Phases one after the other; the schedule ends with the last.
    ///
    /// # Errors
    ///
    /// [`ScheduleError`] for a rate below 0 or above a thousand million frames per second, a phase
    /// of no length, phases that plan no frame at all, and a burst of 0.
    pub fn phases(phases: &[Phase], burst: u64) -> Result<Self, ScheduleError> {
        let (mut frames, mut seconds) = (0.0, 0.0);
        let mut planned = Vec::new();
        for &phase in phases {
            check_rate(phase.from)?;
            check_rate(phase.to)?;
            if phase.duration.is_zero() {
                return Err(ScheduleError::Duration);
            }
            planned.push((frames, seconds, phase));
            frames += phase.frames();
            seconds += phase.duration.as_secs_f64();
        }
        if frames < 1.0 {
            return Err(ScheduleError::Empty);
        }
        Self::new(Rate::Phases(planned.into()), burst)
    }

    fn new(rate: Rate, burst: u64) -> Result<Self, ScheduleError> {
        if burst == 0 {
            return Err(ScheduleError::Burst);
        }
        Ok(Self { rate, burst })
    }

    /// How many frames are planned for the same instant.
    pub const fn burst(&self) -> u64 {
        self.burst
    }

    /// When frame `number` is planned, in nanoseconds after the run's beginning. `None` behind the
    /// last one.
    pub fn instant(&self, number: u64) -> Option<u64> {
        let number = number - number % self.burst;
        match &self.rate {
            Rate::Steady { millihertz } => {
                u64::try_from(u128::from(number) * SECOND * 1000 / u128::from(*millihertz)).ok()
            }
            #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 frames")]
            Rate::Phases(_) => self.instant_of(number as f64),
        }
    }

    /// When `frames` frames have been planned, for arrivals that are no whole number of frames
    /// apart; bursts are left to the caller. `None` when there are not so many.
    pub fn instant_of(&self, frames: f64) -> Option<u64> {
        let seconds = match &self.rate {
            #[expect(clippy::cast_precision_loss, reason = "a rate has fewer than 53 bits")]
            Rate::Steady { millihertz } => frames * 1000.0 / *millihertz as f64,
            Rate::Phases(phases) => {
                let (before, start, phase) = phases
                    .iter()
                    .rev()
                    .find(|(before, _, phase)| frames >= *before && phase.frames() > 0.0)?;
                let within = frames - before;
                if within >= phase.frames() {
                    return None;
                }
                start + phase.instant(within)
            }
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a cast from a float stays within the bounds of u64"
        )]
        Some((seconds * 1e9).round() as u64)
    }

    /// How long it goes on; `None` without an end.
    pub fn duration(&self) -> Option<Duration> {
        match &self.rate {
            Rate::Steady { .. } => None,
            Rate::Phases(phases) => Some(phases.iter().map(|(_, _, phase)| phase.duration).sum()),
        }
    }

    /// Frames per second that are planned for the moment `elapsed` after the run's beginning.
    pub fn rate_at(&self, elapsed: Duration) -> f64 {
        match &self.rate {
            #[expect(clippy::cast_precision_loss, reason = "a figure to be shown")]
            Rate::Steady { millihertz } => *millihertz as f64 / 1000.0,
            Rate::Phases(phases) => {
                let elapsed = elapsed.as_secs_f64();
                let begun = phases.iter().rev().find(|(_, start, _)| *start <= elapsed);
                begun.map_or(0.0, |(_, start, phase)| {
                    let part = (elapsed - start) / phase.duration.as_secs_f64();
                    if part < 1.0 { phase.from + (phase.to - phase.from) * part } else { 0.0 }
                })
            }
        }
    }

    /// Frames that should have been sent `elapsed` after the run's beginning, by the rate alone.
    pub fn planned_until(&self, elapsed: Duration) -> f64 {
        match &self.rate {
            #[expect(clippy::cast_precision_loss, reason = "a figure for a report")]
            Rate::Steady { millihertz } => *millihertz as f64 / 1000.0 * elapsed.as_secs_f64(),
            Rate::Phases(phases) => {
                let elapsed = elapsed.as_secs_f64();
                let within = |(_, start, phase): &(f64, f64, Phase)| {
                    phase.area((elapsed - start).clamp(0.0, phase.duration.as_secs_f64()))
                };
                phases.iter().map(within).sum()
            }
        }
    }
}

impl fmt::Display for Schedule {
    /// The rate, or the phases, as the command line takes them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.rate {
            #[expect(clippy::cast_precision_loss, reason = "a rate has fewer than 53 bits")]
            Rate::Steady { millihertz } => f.write_str(&format_rate(*millihertz as f64 / 1000.0)),
            Rate::Phases(phases) => {
                for (index, (_, _, phase)) in phases.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { "," })?;
                    phase.fmt(f)?;
                }
                Ok(())
            }
        }
    }
}

/// Rates up to a frame per nanosecond.
fn check_rate(rate: f64) -> Result<(), ScheduleError> {
    if (0.0..=1e9).contains(&rate) { Ok(()) } else { Err(ScheduleError::Rate { rate }) }
}

/// A schedule that can't be kept by anybody.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// A rate out of range, or no number.
    #[error("a rate of {rate} frames per second: must be from 0.001 to 1G")]
    Rate {
        /// Frames per second.
        rate: f64,
    },
    /// A phase that takes no time.
    #[error("a phase must last longer than 0")]
    Duration,
    /// Less than one frame in all.
    #[error("the plan has no frame in it")]
    Empty,
    /// No frame at a time.
    #[error("a burst must have at least one frame")]
    Burst,
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn phase(from: f64, to: f64, seconds: u64) -> Phase {
        Phase { from, to, duration: Duration::from_secs(seconds) }
    }

    #[test]
    fn a_steady_rate_never_drifts() {
        let schedule = Schedule::steady(3.0, 1).unwrap();
        let instants: Vec<_> = (0..4).map(|n| schedule.instant(n).unwrap()).collect();
        assert_eq!(instants, [0, 333_333_333, 666_666_666, 1_000_000_000]);
        // A year later it is still on the nanosecond.
        assert_eq!(schedule.instant(3 * 31_536_000), Some(31_536_000_000_000_000));
    }

    #[test]
    fn a_burst_shares_one_instant() {
        let schedule = Schedule::steady(1000.0, 4).unwrap();
        let instants: Vec<_> = (0..9).map(|n| schedule.instant(n).unwrap() / 1_000_000).collect();
        assert_eq!(instants, [0, 0, 0, 0, 4, 4, 4, 4, 8]);
    }

    #[test]
    fn a_ramp_plans_the_area_under_its_rate() {
        // 0 to 100 frames/s in 10 s: 500 frames, the half of them in the last 2.93 s.
        let schedule = Schedule::phases(&[phase(0.0, 100.0, 10)], 1).unwrap();
        assert_eq!(schedule.instant(0), Some(0));
        assert_eq!(schedule.instant(125), Some(5_000_000_000));
        assert_eq!(schedule.instant(250), Some(7_071_067_812));
        assert!(schedule.instant(499).unwrap() < 10_000_000_000);
        assert_eq!(schedule.instant(500), None);
        assert!((schedule.planned_until(Duration::from_secs(5)) - 125.0).abs() < 1e-9);
    }

    #[test]
    fn phases_follow_each_other_without_a_gap() {
        let steps = [phase(10.0, 10.0, 1), phase(0.0, 0.0, 2), phase(20.0, 10.0, 2)];
        let schedule = Schedule::phases(&steps, 1).unwrap();
        assert_eq!(schedule.instant(9), Some(900_000_000));
        assert_eq!(schedule.instant(10), Some(3_000_000_000));
        assert_eq!(schedule.instant(39).map(|ns| ns / 100_000_000), Some(49));
        assert_eq!(schedule.instant(40), None);
        assert!((schedule.planned_until(Duration::from_secs(60)) - 40.0).abs() < 1e-9);
        let rates = [0, 500, 1500, 3000, 4000, 5000]
            .map(|millis| schedule.rate_at(Duration::from_millis(millis)));
        assert_eq!(rates, [10.0, 10.0, 0.0, 20.0, 15.0, 0.0]);
    }

    #[test]
    fn refuses_what_nobody_can_keep() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY, 2e9] {
            assert!(matches!(Schedule::steady(rate, 1), Err(ScheduleError::Rate { .. })), "{rate}");
        }
        assert_eq!(Schedule::steady(1.0, 0), Err(ScheduleError::Burst));
        assert_eq!(Schedule::phases(&[], 1), Err(ScheduleError::Empty));
        assert_eq!(Schedule::phases(&[phase(1.0, 1.0, 0)], 1), Err(ScheduleError::Duration));
        assert_eq!(Schedule::phases(&[phase(0.0, 0.0, 9)], 1), Err(ScheduleError::Empty));
    }

    proptest::proptest! {
        #[test]
        fn planned_instants_never_go_back(
            rates in proptest::collection::vec((0.0..5000.0, 0.0..5000.0, 1u64..5), 1..5),
            burst in 1u64..8,
        ) {
            let phases: Vec<_> = rates.iter().map(|&(from, to, s)| phase(from, to, s)).collect();
            let Ok(schedule) = Schedule::phases(&phases, burst) else { return Ok(()) };
            let instants: Vec<_> = (0..).map_while(|n| schedule.instant(n)).collect();
            proptest::prop_assert!(instants.is_sorted());
            let total: f64 = phases.iter().map(Phase::frames).sum();
            #[expect(clippy::cast_precision_loss)]
            let planned = instants.len() as f64;
            proptest::prop_assert!((planned - total).abs() <= 1.0 + burst as f64, "{planned} {total}");
        }
    }
}
