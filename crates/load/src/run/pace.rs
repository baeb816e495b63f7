//! Whose turn it is: which frames of a connection are due now.

use crate::plan::schedule::Schedule;
use crate::plan::{Arrivals, Pace, Plan};

/// The pace of one connection. In an open loop frame `i` of connection `c` of `n` is frame
/// `i * n + c` of the schedule, so that the connections take turns and the whole keeps the rate.
#[derive(Clone, Debug)]
pub enum Turn {
    /// A frame is due whenever there is room for one.
    Closed,
    /// A frame is due at its planned instant.
    Open(Planned),
    /// No frame is ever due: the connection is only held open.
    Idle,
}

/// The planned instants of one connection, in nanoseconds after the run's beginning.
#[derive(Clone, Debug)]
pub struct Planned {
    schedule: Schedule,
    /// The next frame's number in the schedule.
    number: u64,
    /// How far it is to the connection's next one.
    step: u64,
    /// Draws the waits of a Poisson process.
    random: Option<Random>,
    /// Frames planned for this instant or later are none of the run's.
    end: u64,
    next: Option<u64>,
}

/// A Poisson process in the time of the schedule: the sum of exponentially distributed waits whose
/// mean is one frame of this connection.
#[derive(Clone, Debug)]
struct Random {
    random: fastrand::Rng,
    frames: f64,
}

impl Turn {
    /// The pace of connection `connection` of a plan. Those behind the plan's connections are its
    /// idle ones.
    pub fn new(plan: &Plan, connection: u32) -> Self {
        if connection >= plan.connections {
            return Self::Idle;
        }
        let Pace::Open { schedule, arrivals } = &plan.pace else { return Self::Closed };
        let seed = plan.seed ^ (u64::from(connection) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let random = (*arrivals == Arrivals::Poisson)
            .then(|| Random { random: fastrand::Rng::with_seed(seed), frames: 0.0 });
        let mut planned = Planned {
            schedule: schedule.clone(),
            number: u64::from(connection),
            step: u64::from(plan.connections),
            random,
            end: plan.end().unwrap_or(u64::MAX),
            next: None,
        };
        planned.next = planned.plan();
        Self::Open(planned)
    }

    /// When the next frame is planned; `None` when it is due at once, or when no more will come.
    pub const fn next(&self) -> Option<u64> {
        match self {
            Self::Closed | Self::Idle => None,
            Self::Open(planned) => planned.next,
        }
    }

    /// Whether no more frames will come.
    pub const fn is_over(&self) -> bool {
        matches!(self, Self::Open(Planned { next: None, .. }))
    }

    /// Takes frames that are due by `until` and will not be sent: the planned instant of the next
    /// one, and how many it stands for. At `now`, which is not before `until`, these have waited
    /// equally long to three digits. A closed loop has none.
    pub fn give_up(&mut self, until: u64, now: u64) -> Option<(u64, u64)> {
        let Self::Open(planned) = self else { return None };
        let first = planned.next.filter(|&instant| instant <= until)?;
        let frames = planned.frames_until(until.min(first + now.saturating_sub(first) / 1000));
        planned.number += planned.step * frames;
        planned.next = planned.plan();
        Some((first, frames))
    }

    /// The planned instant of the next frame if it is due by `now`, and then on to the one after
    /// it.
    #[inline]
    pub fn take(&mut self, now: u64) -> Option<u64> {
        match self {
            Self::Closed => Some(now),
            Self::Idle => None,
            Self::Open(planned) => {
                let due = planned.next.filter(|&instant| instant <= now)?;
                planned.number += planned.step;
                planned.next = planned.plan();
                Some(due)
            }
        }
    }
}

impl Planned {
    /// How many frames are planned up to `last`, the next one and those behind it; at least one.
    /// Found by doubling and halving: a server that hung for an hour leaves thousands of millions.
    fn frames_until(&self, last: u64) -> u64 {
        if self.random.is_some() {
            // Of those behind it nothing is known before they are drawn.
            return 1;
        }
        let is_planned = |frames: u64| {
            let number = self.number.saturating_add(self.step.saturating_mul(frames));
            self.schedule.instant(number).is_some_and(|instant| instant <= last.min(self.end - 1))
        };
        let (mut known, mut step) = (0, 1);
        while is_planned(known + step) {
            known += step;
            step *= 2;
        }
        while step > 1 {
            step /= 2;
            if is_planned(known + step) {
                known += step;
            }
        }
        known + 1
    }

    fn plan(&mut self) -> Option<u64> {
        self.instant().filter(|&instant| instant < self.end)
    }

    fn instant(&mut self) -> Option<u64> {
        let Some(random) = &mut self.random else { return self.schedule.instant(self.number) };
        // 1 - f64() is never 0, whose logarithm would be infinite.
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53 connections")]
        let step = self.step as f64;
        random.frames -= (1.0 - random.random.f64()).ln() * step;
        self.schedule.instant_of(random.frames)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::plan::Stop;
    use crate::plan::schedule::Phase;

    pub(crate) fn plan(connections: u32, arrivals: Arrivals) -> Plan {
        let schedule = Schedule::steady(1000.0, 1).unwrap();
        let pace = Pace::Open { schedule, arrivals };
        Plan { connections, pace, stop: Stop::default(), ..Plan::default() }
    }

    /// Planned instants of all connections up to `seconds`, sorted.
    fn instants(plan: &Plan, seconds: u64) -> Vec<u64> {
        let mut all = Vec::new();
        for connection in 0..plan.connections {
            let mut turn = Turn::new(plan, connection);
            while let Some(instant) = turn.take(seconds * 1_000_000_000 - 1) {
                all.push(instant);
            }
        }
        all.sort_unstable();
        all
    }

    #[test]
    fn connections_take_turns_and_the_whole_keeps_the_rate() {
        let instants = instants(&plan(7, Arrivals::Constant), 2);
        let expected: Vec<_> = (0..2000).map(|i| i * 1_000_000).collect();
        assert_eq!(instants, expected);
    }

    #[test]
    fn nothing_is_due_before_its_instant() {
        let mut turn = Turn::new(&plan(2, Arrivals::Constant), 1);
        assert_eq!((turn.next(), turn.take(999_999)), (Some(1_000_000), None));
        assert_eq!(turn.take(1_000_000), Some(1_000_000));
        assert_eq!(turn.next(), Some(3_000_000));
        assert_eq!(
            Turn::new(&Plan { pace: Pace::Closed, ..plan(1, Arrivals::Constant) }, 0).take(5),
            Some(5)
        );
    }

    #[test]
    fn a_limited_run_plans_nothing_for_its_end_or_later() {
        let stop = Stop { duration: Some(Duration::from_millis(500)), frames: None };
        let warmup = Duration::from_millis(250);
        let plan = Plan { stop, warmup, ..plan(3, Arrivals::Constant) };
        let expected: Vec<_> = (0..750).map(|i| i * 1_000_000).collect();
        assert_eq!(instants(&plan, 2), expected);
        assert_eq!(plan.planned(Duration::from_millis(500)), Some(500.0));
    }

    #[test]
    fn connections_behind_the_plans_own_are_idle() {
        let mut turn = Turn::new(&plan(3, Arrivals::Constant), 3);
        assert_eq!((turn.take(u64::MAX), turn.next(), turn.is_over()), (None, None, false));
    }

    #[test]
    fn frames_that_are_given_up_in_one_step_have_waited_equally_long() {
        let phases: &[Phase] = &[
            Phase { from: 0.0, to: 5000.0, duration: Duration::from_secs(2) },
            Phase { from: 100.0, to: 100.0, duration: Duration::from_secs(1) },
        ];
        let schedules = [
            Schedule::steady(1000.0, 1).unwrap(),
            Schedule::steady(50_000.0, 7).unwrap(),
            Schedule::phases(phases, 1).unwrap(),
        ];
        let (until, now) = (2_500_000_000, 2_600_000_000);
        for schedule in schedules {
            for arrivals in [Arrivals::Constant, Arrivals::Poisson] {
                let pace = Pace::Open { schedule: schedule.clone(), arrivals };
                let mut turn = Turn::new(&Plan { pace, ..plan(3, arrivals) }, 1);
                let mut one_by_one = turn.clone();
                while let Some((planned, frames)) = turn.give_up(until, now) {
                    for _ in 0..frames {
                        let instant = one_by_one.take(until).unwrap();
                        assert!((planned..=now).contains(&instant));
                        assert!((instant - planned) * 1000 <= now - planned);
                    }
                }
                assert_eq!((one_by_one.take(until), turn.next()), (None, one_by_one.next()));
            }
        }
    }

    #[test]
    fn giving_up_what_a_server_left_in_a_day_takes_few_steps() {
        let schedule = Schedule::steady(1e6, 1).unwrap();
        let pace = Pace::Open { schedule, arrivals: Arrivals::Constant };
        let mut turn = Turn::new(&Plan { pace, ..plan(1, Arrivals::Constant) }, 0);
        let day = 86_400_000_000_000;
        let steps: Vec<_> = std::iter::from_fn(|| turn.give_up(day, day)).collect();
        let frames: u64 = steps.iter().map(|(_, frames)| frames).sum();
        assert_eq!(frames, 86_400_000_001);
        assert!(steps.len() < 30_000, "{}", steps.len());
    }

    /// Of a Poisson process with a mean of 100,000 the deviation is 316; its waits have a
    /// coefficient of variation of 1. The seed makes the figures the same each time.
    #[test]
    fn random_arrivals_are_a_poisson_process_of_the_same_rate() {
        let instants = instants(&plan(10, Arrivals::Poisson), 100);
        assert!((99_000..101_000).contains(&instants.len()), "{}", instants.len());
        let waits: Vec<f64> = instants.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        let mean = waits.iter().sum::<f64>() / waits.len() as f64;
        let variance =
            waits.iter().map(|wait| (wait - mean).powi(2)).sum::<f64>() / waits.len() as f64;
        let variation = variance.sqrt() / mean;
        assert!((0.98..1.02).contains(&variation), "{variation}");
        let again = self::instants(&plan(10, Arrivals::Poisson), 100);
        assert_eq!(instants, again);
    }
}
