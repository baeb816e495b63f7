//! From a plan and what came of it to the report.

use std::time::{Duration, SystemTime};

use volley_client::Framing;
use volley_proto::ReplyKind;

use crate::measure::interval::Measured;
use crate::measure::ledger::{Column, Ledger, Loss};
use crate::measure::recorder::Latencies;
use crate::plan::{Arrivals, Pace, Plan, nanos};
use crate::report::checks::checks;
use crate::report::recording::Recording;
use crate::report::threshold::Threshold;
use crate::report::verdict::{Evidence, limit, warnings};
use crate::report::{
    BadReplyFigures, Connections, Environment, Figures, LedgerFigures, LostFigures, PlanFigures,
    Problem, Quantiles, Report, Timing, VERSION,
};
use crate::run::shared::BadReply;
use crate::run::{End, Outcome};

impl Report {
    /// The report of a run that has not begun: nothing is measured, and nothing complete.
    pub fn of_nothing(plan: &Plan, embedded: bool, started_at: SystemTime) -> Self {
        let nothing = Measured::default();
        Self {
            version: VERSION,
            complete: false,
            exit_code: None,
            error: None,
            started_at: humantime::format_rfc3339_millis(started_at).to_string(),
            plan: PlanFigures::new(plan, embedded),
            environment: Environment::read(),
            connections: Connections { asked: plan.all_connections(), ..Connections::default() },
            run: Figures::new(&nothing, plan, [Duration::ZERO; 3]),
            warmup: None,
            seconds: Vec::new(),
            seconds_omitted: 0,
            limit: None,
            warnings: Vec::new(),
            thresholds: Vec::new(),
            problems: Vec::new(),
            bad_replies: Vec::new(),
        }
    }

    /// The report of a run that is over, but for its exit code.
    #[must_use]
    pub fn of_run(self, evidence: &Evidence<'_>, rec: Recording, asked: &[Threshold]) -> Self {
        let Evidence { plan, outcome, .. } = evidence;
        let Outcome { end, total, elapsed, sending, .. } = outcome;
        let run = Figures::new(&total.run, plan, [*elapsed, *sending, total.cpu]);
        let connections = Connections {
            connected: outcome.connected,
            reconnects: total.run.reconnects,
            resumed: total.run.resumed,
            goaways: total.run.goaways,
            ..self.connections
        };
        // Without a limit a run goes on until it is asked to stop.
        let is_endless = plan.stop.duration.is_none() && plan.stop.frames.is_none();
        let problems = outcome.problems.iter();
        Self {
            complete: *end == End::Planned || *end == End::Stopped && is_endless,
            error: error(end, is_endless),
            warmup: (!plan.warmup.is_zero()).then(|| {
                Figures::new(&total.warmup, plan, [plan.warmup, plan.warmup, Duration::ZERO])
            }),
            seconds: rec.seconds,
            seconds_omitted: rec.omitted,
            limit: limit(evidence),
            warnings: warnings(evidence),
            thresholds: checks(asked, &run, &connections),
            problems: problems
                .map(|(what, &count)| Problem { what: what.clone(), count })
                .collect(),
            bad_replies: outcome.bad_replies.iter().map(BadReplyFigures::from).collect(),
            connections,
            run,
            ..self
        }
    }

    /// Whether everything that was to be checked came out well.
    pub fn passed(&self) -> bool {
        self.thresholds.iter().all(|check| !check.is_broken)
    }
}

fn error(end: &End, is_endless: bool) -> Option<String> {
    match end {
        End::Planned => None,
        End::Stopped if is_endless => None,
        End::Stopped => Some("stopped before its end".to_owned()),
        End::Aborted => Some("stopped at once, without waiting for replies".to_owned()),
        End::Failed(why) => Some(why.clone()),
        End::Unreachable(why) => Some(format!("cannot reach the server: {why}")),
        End::NotFramed(why) => Some(format!("the server broke the protocol: {why}")),
    }
}

impl PlanFigures {
    /// What a plan says; `embedded` if its target is a server in this process.
    pub fn new(plan: &Plan, embedded: bool) -> Self {
        let (schedule, arrivals, burst) = match &plan.pace {
            Pace::Closed => (None, None, None),
            Pace::Open { schedule, arrivals } => {
                let arrivals = match arrivals {
                    Arrivals::Constant => "constant",
                    Arrivals::Poisson => "poisson",
                };
                (Some(schedule.to_string()), Some(arrivals), Some(schedule.burst()))
            }
        };
        Self {
            targets: plan.targets.iter().map(ToString::to_string).collect(),
            embedded,
            connections: plan.connections,
            idle: plan.idle,
            connect_rate: plan.connect_rate,
            sources: plan.sources.iter().map(ToString::to_string).collect(),
            pipeline: plan.pipeline,
            size: match &plan.payload {
                Some(payload) => payload.len().to_string(),
                None => plan.sizes.to_string(),
            },
            fixed_payload: plan.payload.is_some(),
            framing: match plan.framing {
                Framing::Frames => "frames",
                Framing::Raw => "raw",
            },
            hello: plan.hello,
            reply: plan.reply.map(|reply: ReplyKind| reply.to_string()),
            pace: if plan.pace == Pace::Closed { "closed" } else { "open" },
            schedule,
            arrivals,
            burst,
            duration_ns: plan.stop.duration.map(nanos),
            frames: plan.stop.frames,
            warmup_ns: nanos(plan.warmup),
            timeout_ns: nanos(plan.timeout),
            frames_per_connection: plan.life.frames,
            reconnect: plan.life.reconnect,
            seed: plan.seed,
            threads: plan.threads,
        }
    }
}

impl Figures {
    /// The figures of what was measured in `elapsed`, of which frames were sent for `sending` with
    /// the processor time `cpu`.
    fn new(measured: &Measured, plan: &Plan, [elapsed, sending, cpu]: [Duration; 3]) -> Self {
        let is_open = plan.pace != Pace::Closed;
        let ledger = LedgerFigures::from(&measured.ledger);
        let planned = match plan.stop.frames {
            // The last one was planned for the very end of it.
            Some(_) => plan.planned(sending).map(|planned| planned.max(float(ledger.sent))),
            None => is_open.then(|| float(ledger.sent + measured.unsent)),
        };
        Self {
            elapsed_ns: nanos(elapsed),
            sending_ns: nanos(sending),
            replies_per_second: per_second(float(ledger.ok), elapsed),
            sent_per_second: per_second(float(ledger.sent), sending),
            planned_per_second: planned.and_then(|planned| per_second(planned, sending)),
            ledger,
            unsent: measured.unsent,
            waited: measured.waited,
            strays: measured.strays,
            bytes_sent: measured.bytes_sent,
            bytes_received: measured.bytes_received,
            generator_cpu_ns: nanos(cpu),
            response: Timing::from(measured.response(is_open)),
            service: Timing::from(&measured.service),
            send_delay: is_open.then(|| Timing::from(&measured.send_delay)),
            connect: Timing::from(&measured.connect),
            handshake: (!measured.handshake.histogram().is_empty())
                .then(|| Timing::from(&measured.handshake)),
        }
    }
}

impl From<&Latencies> for Timing {
    fn from(latencies: &Latencies) -> Self {
        Self {
            quantiles: Quantiles::of(latencies),
            overflow: latencies.overflow(),
            histogram: latencies.clone(),
        }
    }
}

impl From<&Ledger> for LedgerFigures {
    fn from(ledger: &Ledger) -> Self {
        let lost = Loss::ALL.map(|loss| (loss, ledger.count(Column::Lost(loss))));
        Self {
            sent: ledger.sent(),
            ok: ledger.count(Column::Ok),
            corrupt: ledger.count(Column::Corrupt),
            duplicate: ledger.count(Column::Duplicate),
            reordered: ledger.count(Column::Reordered),
            misrouted: ledger.count(Column::Misrouted),
            late: ledger.count(Column::Late),
            lost: lost
                .into_iter()
                .filter(|&(_, frames)| frames > 0)
                .map(|(loss, frames)| LostFigures { reason: loss.to_string(), frames })
                .collect(),
            imbalance: i64::try_from(ledger.imbalance()).unwrap_or(i64::MAX),
        }
    }
}

impl From<&BadReply> for BadReplyFigures {
    fn from(bad: &BadReply) -> Self {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Self {
            connection: bad.connection,
            frame: bad.frame,
            expected: hex(&bad.expected),
            expected_len: bad.lengths.0,
            received: hex(&bad.received),
            received_len: bad.lengths.1,
        }
    }
}

fn per_second(number: f64, time: Duration) -> Option<f64> {
    let seconds = time.as_secs_f64();
    (seconds > 0.0).then(|| number / seconds)
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 frames")]
const fn float(number: u64) -> f64 {
    number as f64
}
