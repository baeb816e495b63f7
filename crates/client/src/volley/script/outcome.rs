//! What became of a script.

use std::time::Duration;

use volley_cli::Exit;

use super::player::Failed;

/// A script that was to be played.
#[derive(Debug)]
pub(super) struct Outcome {
    /// What the user calls the script.
    pub(super) name: String,
    pub(super) verdict: Verdict,
    pub(super) elapsed: Duration,
}

#[derive(Debug)]
pub(super) enum Verdict {
    Passed,
    Failed(Failed),
    /// The program was ended before, or another script had failed.
    NotPlayed,
}

impl Outcome {
    pub(super) const fn failed(&self) -> Option<&Failed> {
        match &self.verdict {
            Verdict::Failed(failed) => Some(failed),
            Verdict::Passed | Verdict::NotPlayed => None,
        }
    }
}

/// How many scripts there are of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) passed: usize,
    pub(super) failed: usize,
    pub(super) not_played: usize,
}

impl Count {
    pub(super) fn of(outcomes: &[Outcome]) -> Self {
        let mut count = Self::default();
        for outcome in outcomes {
            *match outcome.verdict {
                Verdict::Passed => &mut count.passed,
                Verdict::Failed(_) => &mut count.failed,
                Verdict::NotPlayed => &mut count.not_played,
            } += 1;
        }
        count
    }
}

/// The exit code for all scripts: the one that all of those that failed have.
pub(super) fn exit(outcomes: &[Outcome]) -> Exit {
    let mut exits = outcomes.iter().filter_map(Outcome::failed).map(|failed| failed.trouble.exit);
    match exits.next() {
        None => Exit::Success,
        Some(first) if exits.all(|exit| exit == first) => first,
        Some(_) => Exit::Failure,
    }
}
