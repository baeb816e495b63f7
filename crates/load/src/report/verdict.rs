//! What kept the rate from being higher, and what whoever reads the figures should know.
//!
//! Every warning names its cause and what to try next.

use std::time::Duration;

use crate::measure::interval::Measured;
use crate::plan::{Pace, Plan};
use crate::report::figures;
use crate::report::{Limit, Limiter, Warning};
use crate::run::payload::ID_LEN;
use crate::run::{End, Outcome};

/// From this part of the time on a thread is as good as always busy: the rest is lost in the waits
/// between its rounds.
const BUSY: f64 = 0.9;

/// An asked rate is reached if no more than a thousandth of it is missing.
const REACHED: f64 = 0.999;

/// The send delay's 99th percentile from which on a generator is called late.
const LATE: Duration = Duration::from_millis(1);

/// The part of the frames that may wait for a free place before that is worth a word.
const WAITED: f64 = 0.001;

/// In a closed loop, how many times the median the longest latency may be before a stall is
/// suspected behind it, and how long it must be at least.
const STALL: (u64, Duration) = (100, Duration::from_millis(20));

/// What a verdict is made from.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// What was to be done.
    pub plan: &'a Plan,
    /// What came of it.
    pub outcome: &'a Outcome,
    /// Processor time of an embedded server while frames were sent.
    pub server_cpu: Option<Duration>,
    /// Threads of an embedded server.
    pub server_threads: usize,
    /// Processors that this process may use.
    pub cores: usize,
}

impl Evidence<'_> {
    const fn run(&self) -> &Measured {
        &self.outcome.total.run
    }

    /// Part of the time for which the sending threads were busy.
    fn generator_busy(&self) -> Option<f64> {
        let threads = self.plan.threads.min(self.plan.all_connections()).max(1);
        part(self.outcome.total.cpu, self.outcome.elapsed, f64::from(threads))
    }

    #[expect(clippy::cast_precision_loss, reason = "a handful of threads")]
    fn server_busy(&self) -> Option<f64> {
        part(self.server_cpu?, self.outcome.elapsed, self.server_threads as f64)
    }

    /// Frames sent as a part of those that were planned while frames were sent; `None` in a closed
    /// loop.
    fn reached(&self) -> Option<f64> {
        if self.plan.pace == Pace::Closed {
            return None;
        }
        let run = self.run();
        let sent = count(run.ledger.sent());
        let planned = match self.plan.stop.frames {
            // Not all of the schedule was to be sent.
            Some(_) => self.plan.planned(self.outcome.sending)?,
            None => sent + count(run.unsent),
        };
        (planned > 0.0).then(|| sent / planned)
    }

    /// The part of the frames that waited for a place in the pipeline, or never had one.
    fn waited(&self) -> f64 {
        let run = self.run();
        let frames = run.ledger.sent() + run.unsent;
        if frames == 0 { 0.0 } else { count(run.waited + run.unsent) / count(frames) }
    }

    fn threads(&self) -> &'static str {
        if self.plan.threads == 1 { "its thread was" } else { "its threads were" }
    }
}

/// What kept the rate from being higher; `None` if nothing was sent.
pub fn limit(evidence: &Evidence<'_>) -> Option<Limit> {
    if evidence.run().ledger.sent() == 0 {
        return None;
    }
    let generator_busy = evidence.generator_busy();
    let server_busy = evidence.server_busy();
    let busy = generator_busy.unwrap_or(0.0);
    let (who, why) = if evidence.reached().is_some_and(|reached| reached >= REACHED) {
        (Limiter::Plan, "the asked rate was reached".to_owned())
    } else if busy >= BUSY && server_busy.is_none_or(|server| server < busy) {
        let threads = evidence.threads();
        (Limiter::Generator, format!("{threads} busy {} of the time", figures::percent(busy)))
    } else if evidence.plan.pace != Pace::Closed {
        let waited = figures::percent(evidence.waited());
        let busy = figures::percent(busy);
        let why = format!(
            "{waited} of the frames waited for a place in the pipeline, and the generator was busy \
             only {busy} of the time"
        );
        (Limiter::Server, why)
    } else {
        let busy = figures::percent(busy);
        match server_busy {
            Some(server) if server < BUSY => {
                let server = figures::percent(server);
                let why = format!(
                    "neither the server ({server}) nor the generator ({busy}) was busy all the \
                     time; more frames in flight (-p, -c) raise the rate"
                );
                (Limiter::RoundTrip, why)
            }
            Some(server) => {
                let server = figures::percent(server);
                (Limiter::Server, format!("it was busy {server} of the time, the generator {busy}"))
            }
            None => {
                let why = format!("the generator was busy only {busy} of the time");
                (Limiter::Server, why)
            }
        }
    };
    Some(Limit { who, why, generator_busy, server_busy })
}

/// What whoever reads the figures should know.
pub fn warnings(evidence: &Evidence<'_>) -> Vec<Warning> {
    let findings = [
        unoptimized(),
        connections(evidence),
        rate(evidence),
        late(evidence),
        waiting(evidence),
        closed_loop(evidence),
        generator(evidence),
        anonymous(evidence),
        threads(evidence),
    ];
    findings.into_iter().flatten().collect()
}

fn warning(cause: impl Into<String>, remedy: impl Into<String>) -> Option<Warning> {
    Some(Warning { cause: cause.into(), remedy: remedy.into() })
}

fn unoptimized() -> Option<Warning> {
    if !cfg!(debug_assertions) {
        return None;
    }
    warning("volley-load was built without optimization", "build it with --release")
}

fn connections(evidence: &Evidence<'_>) -> Option<Warning> {
    let (asked, connected) = (evidence.plan.all_connections(), evidence.outcome.connected);
    let has_begun = evidence.outcome.end == End::Planned || evidence.run().ledger.sent() > 0;
    if connected >= asked || !has_begun {
        return None;
    }
    let worst = evidence.outcome.problems.iter().max_by_key(|(_, count)| **count);
    let why = worst.map_or(String::new(), |(why, _)| format!(": {why}"));
    let cause = format!("only {connected} of {asked} connections could be opened at first{why}");
    let remedy = match worst {
        Some((why, _)) if why.contains("os error 99") => {
            "add local addresses: --source 127.0.0.2-127.0.0.9, or those of this machine"
        }
        Some((why, _)) if why.contains("busy") => "raise the server's limit, or lower -c",
        _ => "slow down with --connect-rate, wait longer with --timeout, or lower -c",
    };
    warning(cause, remedy)
}

fn rate(evidence: &Evidence<'_>) -> Option<Warning> {
    let reached = evidence.reached().filter(|&reached| reached < REACHED)?;
    let busy = evidence.generator_busy().unwrap_or(0.0);
    let cause = format!("only {} of the planned frames were sent", figures::percent(reached));
    let remedy = if busy >= BUSY && can_have_more_threads(evidence) {
        format!("the generator was the limit: try --threads {}", evidence.plan.threads + 1)
    } else if busy >= BUSY {
        "the generator was the limit: run it on a machine of its own".to_owned()
    } else {
        let deeper = evidence.plan.pipeline.saturating_mul(4);
        format!("the server did not keep up: lower the rate, or try --pipeline {deeper}")
    };
    warning(cause, remedy)
}

fn late(evidence: &Evidence<'_>) -> Option<Warning> {
    let run = evidence.run();
    let delay = Duration::from_nanos(run.send_delay.at(0.99));
    if delay < LATE || evidence.waited() > 0.01 {
        return None;
    }
    let cause = format!(
        "the generator was late: it sent one frame in a hundred {} or more after its planned \
         instant",
        figures::latency(run.send_delay.at(0.99))
    );
    let remedy = if evidence.generator_busy().unwrap_or(0.0) >= 0.7
        && can_have_more_threads(evidence)
    {
        format!("try --threads {}", evidence.plan.threads + 1)
    } else {
        "leave it a core of its own (taskset, a machine of its own), or fewer --threads".to_owned()
    };
    warning(cause, remedy)
}

fn waiting(evidence: &Evidence<'_>) -> Option<Warning> {
    let waited = evidence.waited();
    if evidence.plan.pace == Pace::Closed || waited < WAITED {
        return None;
    }
    let cause = format!(
        "{} of the frames were due while all places of their connection were taken",
        figures::percent(waited)
    );
    let deeper = evidence.plan.pipeline.saturating_mul(4);
    warning(cause, format!("to send them on time all the same: --pipeline {deeper}, or more -c"))
}

fn closed_loop(evidence: &Evidence<'_>) -> Option<Warning> {
    let service = &evidence.run().service;
    let (median, longest) = (service.at(0.5), service.longest());
    let is_stall =
        longest > median.saturating_mul(STALL.0) && Duration::from_nanos(longest) > STALL.1;
    if evidence.plan.pace != Pace::Closed || !is_stall {
        return None;
    }
    let elapsed = evidence.outcome.elapsed.as_secs_f64();
    if elapsed <= 0.0 {
        return None;
    }
    let cause = format!(
        "the longest reply took {}: a closed loop waits with the server, so that a stall counts \
         once per connection and not for all the frames that it would have delayed",
        figures::latency(longest)
    );
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate, and a rough one"
    )]
    let rate = (count(evidence.run().ledger.sent()) / elapsed * 0.8) as u64;
    warning(cause, format!("to see what users would have seen: --rate {}", round(rate)))
}

fn generator(evidence: &Evidence<'_>) -> Option<Warning> {
    let is_generator = limit(evidence).is_some_and(|limit| limit.who == Limiter::Generator);
    if evidence.plan.pace != Pace::Closed || !is_generator {
        return None;
    }
    let remedy = if can_have_more_threads(evidence) {
        format!("try --threads {}", evidence.plan.threads + 1)
    } else {
        "run it on a machine of its own".to_owned()
    };
    warning("the generator was the limit: the server can do more than this shows", remedy)
}

fn anonymous(evidence: &Evidence<'_>) -> Option<Warning> {
    let plan = evidence.plan;
    let shortest = plan.sizes.shortest() as usize;
    if plan.payload.is_none() && shortest >= ID_LEN || plan.connections == 1 && plan.pipeline == 1 {
        return None;
    }
    let cause = if plan.payload.is_some() {
        "all frames have the same payload: an echo that was misrouted or reordered looks right"
            .to_owned()
    } else {
        format!(
            "payloads under {ID_LEN} bytes don't say whose they are: a misrouted one counts as corrupt"
        )
    };
    warning(cause, "use payloads of 20 bytes or more, or --reply ack")
}

fn threads(evidence: &Evidence<'_>) -> Option<Warning> {
    let threads = evidence.plan.threads;
    if threads as usize <= evidence.cores {
        return None;
    }
    let cause = format!("{threads} sending threads share {} cores", evidence.cores);
    warning(cause, format!("try --threads {}", evidence.cores))
}

fn can_have_more_threads(evidence: &Evidence<'_>) -> bool {
    let threads = evidence.plan.threads as usize + evidence.server_threads;
    threads < evidence.cores && evidence.plan.threads < evidence.plan.connections
}

fn part(cpu: Duration, elapsed: Duration, threads: f64) -> Option<f64> {
    let whole = elapsed.as_secs_f64() * threads;
    (whole > 0.0).then(|| (cpu.as_secs_f64() / whole).min(1.0))
}

/// Two digits are enough for a proposal.
const fn round(rate: u64) -> u64 {
    let mut unit = 1;
    while rate / unit >= 100 {
        unit *= 10;
    }
    rate / unit * unit
}

#[expect(clippy::cast_precision_loss, reason = "a figure for a report")]
const fn count(frames: u64) -> f64 {
    frames as f64
}

#[cfg(test)]
mod tests;
