//! Watches a run and passes on what it sees: to the report, to the outputs that are written as it
//! goes on, to the live view.

use std::time::Duration;

use volley_load::embedded::Embedded;
use volley_load::measure::interval::Interval;
use volley_load::measure::recorder::Latencies;
use volley_load::output::files::Outputs;
use volley_load::plan::{Pace, Plan};
use volley_load::report::recording::Recording;
use volley_load::run::shared;
use volley_load::run::{Progress, Watch};

use crate::live::{Live, Moment, Percentiles, Phase, Second};

/// What watches one run.
#[derive(Debug)]
pub(crate) struct Observer<'a> {
    plan: &'a Plan,
    embedded: Option<&'a Embedded>,
    outputs: &'a mut Outputs,
    live: Option<Live>,
    /// The embedded server's processor time when the warm-up ended, and when sending did.
    cpu: [Option<Duration>; 2],
    /// The seconds so far.
    pub(crate) recording: Recording,
    sent: u64,
    failed: u64,
    /// The last second, and how many there were.
    last: Option<Second>,
    /// When sending ended.
    finishing: Option<Duration>,
}

impl<'a> Observer<'a> {
    /// Watches for `outputs` and, if there is one, for a live view.
    pub(crate) fn new(
        plan: &'a Plan,
        embedded: Option<&'a Embedded>,
        outputs: &'a mut Outputs,
        live: Option<Live>,
    ) -> Self {
        Self {
            plan,
            embedded,
            outputs,
            live,
            cpu: [None; 2],
            recording: Recording::default(),
            sent: 0,
            failed: 0,
            last: None,
            finishing: None,
        }
    }

    /// Processor time of the embedded server while frames were sent that count.
    pub(crate) fn server_cpu(&self) -> Option<Duration> {
        let [began, ended] = self.cpu;
        let ended = ended.or_else(|| self.embedded?.cpu());
        ended?.checked_sub(began?)
    }

    /// Notes what the embedded server has taken when sending begins to count, and when it ends.
    fn note_cpu(&mut self, progress: &Progress) {
        let Some(embedded) = self.embedded else { return };
        let counts = progress.elapsed >= self.plan.warmup;
        if progress.phase >= shared::Phase::Sending && counts && self.cpu[0].is_none() {
            self.cpu[0] = embedded.cpu();
        }
        if progress.phase > shared::Phase::Sending && self.cpu[1].is_none() {
            self.cpu[1] = embedded.cpu();
        }
    }

    fn moment(&mut self, progress: &Progress) -> Moment {
        let Plan { warmup, stop, timeout, .. } = self.plan;
        let (phase, elapsed, planned) = match progress.phase {
            shared::Phase::Connecting => (Phase::Connecting, Duration::ZERO, None),
            shared::Phase::Sending if progress.elapsed < *warmup => {
                (Phase::WarmingUp, progress.elapsed, Some(*warmup))
            }
            shared::Phase::Sending => (Phase::Sending, progress.elapsed - *warmup, self.duration()),
            _ => {
                let since = *self.finishing.get_or_insert(progress.elapsed);
                (Phase::Finishing, progress.elapsed.saturating_sub(since), None)
            }
        };
        Moment {
            phase,
            elapsed,
            planned,
            frames_planned: stop.frames,
            timeout: *timeout,
            sent: self.sent,
            failed: self.failed,
            connected: progress.connected,
            connections: self.plan.all_connections(),
            asked_rate: match &self.plan.pace {
                Pace::Closed => None,
                Pace::Open { schedule, .. } => Some(schedule.rate_at(progress.elapsed)),
            },
            last: self.last.clone(),
        }
    }

    /// How long frames are sent behind the warm-up, if that is known.
    fn duration(&self) -> Option<Duration> {
        let planned = match &self.plan.pace {
            Pace::Closed => None,
            Pace::Open { schedule, .. } => schedule.duration(),
        };
        let planned = planned.map(|planned| planned.saturating_sub(self.plan.warmup));
        [self.plan.stop.duration, planned].into_iter().flatten().min()
    }
}

impl Watch for Observer<'_> {
    fn look(&mut self, progress: &Progress) {
        self.note_cpu(progress);
        if self.live.is_some() {
            let moment = self.moment(progress);
            if let Some(live) = &mut self.live {
                live.show(&moment);
            }
        }
    }

    fn second(&mut self, number: i64, interval: &Interval, in_flight: u64) {
        let is_open = self.plan.pace != Pace::Closed;
        self.outputs.second(number, interval);
        self.recording.add(number, interval, in_flight, is_open);
        self.sent += interval.run.ledger.sent();
        self.failed += interval.run.ledger.failed();
        let measured = if number < 0 { &interval.warmup } else { &interval.run };
        #[expect(clippy::cast_precision_loss, reason = "figures to be shown")]
        let (rate, bytes) = (measured.service.histogram().len() as f64, measured.bytes_sent as f64);
        self.last = Some(Second {
            number: self.last.as_ref().map_or(0, |last| last.number + 1),
            rate,
            bytes_per_second: bytes,
            in_flight,
            response: percentiles(&measured.response).filter(|_| is_open),
            service: percentiles(&measured.service),
        });
    }
}

fn percentiles(latencies: &Latencies) -> Option<Percentiles> {
    (!latencies.histogram().is_empty()).then(|| Percentiles {
        p50: latencies.at(0.5),
        p90: latencies.at(0.9),
        p99: latencies.at(0.99),
        p999: latencies.at(0.999),
        max: latencies.longest(),
    })
}
