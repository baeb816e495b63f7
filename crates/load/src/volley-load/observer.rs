//! Watches a run and passes on what it sees: to the report, to the outputs that are written as it
//! goes on, to the live view.

use std::time::Duration;

use volley_load::embedded::Embedded;
use volley_load::interval::Interval;
use volley_load::output::files::Outputs;
use volley_load::plan::{Pace, Plan};
use volley_load::recording::Recording;
use volley_load::run::{Progress, Watch};
use volley_load::shared::Phase;

/// What watches one run.
#[derive(Debug)]
pub(crate) struct Observer<'a> {
    is_open: bool,
    warmup: Duration,
    embedded: Option<&'a Embedded>,
    outputs: &'a mut Outputs,
    /// The embedded server's processor time when the warm-up ended, and when sending did.
    cpu: [Option<Duration>; 2],
    /// The seconds so far.
    pub(crate) recording: Recording,
}

impl<'a> Observer<'a> {
    pub(crate) fn new(
        plan: &Plan,
        embedded: Option<&'a Embedded>,
        outputs: &'a mut Outputs,
    ) -> Self {
        Self {
            is_open: plan.pace != Pace::Closed,
            warmup: plan.warmup,
            embedded,
            outputs,
            cpu: [None; 2],
            recording: Recording::default(),
        }
    }

    /// Processor time of the embedded server while frames were sent that count.
    pub(crate) fn server_cpu(&self) -> Option<Duration> {
        let [began, ended] = self.cpu;
        let ended = ended.or_else(|| self.embedded?.cpu());
        ended?.checked_sub(began?)
    }
}

impl Watch for Observer<'_> {
    fn look(&mut self, progress: &Progress) {
        if let Some(embedded) = self.embedded {
            let is_begun = progress.phase >= Phase::Sending && progress.elapsed >= self.warmup;
            if is_begun && self.cpu[0].is_none() {
                self.cpu[0] = embedded.cpu();
            }
            if progress.phase > Phase::Sending && self.cpu[1].is_none() {
                self.cpu[1] = embedded.cpu();
            }
        }
    }

    fn second(&mut self, number: i64, interval: &Interval, in_flight: u64) {
        self.outputs.second(number, interval);
        self.recording.add(number, interval, in_flight, self.is_open);
    }
}
