//! Measures the generator against a server of its own: what it can do at best on this machine, and
//! what it can't tell from its own share.

use std::time::Duration;

use volley_client::Framing;
use volley_proto::MaxFrame;

use crate::embedded::Embedded;
use crate::measure::ledger::Ledger;
use crate::plan::schedule::Schedule;
use crate::plan::{Arrivals, Pace, Plan, Stop};
use crate::report::environment::cores;
use crate::report::{Environment, Quantiles};
use crate::run::{Run, RunError};

/// How long each measurement takes, and how long it warms up.
const DURATION: Duration = Duration::from_millis(1500);
const WARMUP: Duration = Duration::from_millis(250);

/// The rates at which the pacing is measured, in frames per second.
const RATES: [f64; 2] = [10_000.0, 50_000.0];

/// The loads of the closed loop: connections and frames in flight on each.
const LOADS: [(u32, u32); 4] = [(1, 1), (64, 1), (64, 16), (64, 128)];

/// What the generator can do at best here.
#[derive(Clone, Debug)]
pub struct Floor {
    /// Where it was measured.
    pub environment: Environment,
    /// Threads that sent.
    pub threads: u32,
    /// Threads of the server.
    pub server_threads: usize,
    /// As fast as replies come.
    pub closed: Vec<Trial>,
    /// At a rate.
    pub paced: Vec<Trial>,
}

/// One measurement.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Connections.
    pub connections: u32,
    /// Frames in flight on each.
    pub pipeline: u32,
    /// Frames per second that were asked for, if any.
    pub asked: Option<f64>,
    /// Right replies per second.
    pub rate: f64,
    /// Written to reply.
    pub service: Quantiles,
    /// Planned to written, at a rate.
    pub send_delay: Quantiles,
    /// Frames that did not come back right: none, or something is wrong with this machine.
    pub failed: u64,
}

/// Measures, with `threads` sending threads; takes some ten seconds.
///
/// # Errors
///
/// [`RunError`] when a measurement could not be had.
pub fn measure(threads: u32) -> Result<Floor, RunError> {
    let server_threads = cores().saturating_sub(threads as usize).max(1);
    let server = Embedded::start(server_threads, MaxFrame::DEFAULT, Framing::Frames)?;
    let trial = |connections, pipeline, asked: Option<f64>| {
        let pace = match asked.and_then(|rate| Schedule::steady(rate, 1).ok()) {
            Some(schedule) => Pace::Open { schedule, arrivals: Arrivals::Constant },
            None => Pace::Closed,
        };
        let plan = Plan {
            targets: vec![server.endpoint().clone()],
            connections,
            pipeline,
            pace,
            stop: Stop { duration: Some(DURATION), frames: None },
            warmup: WARMUP,
            threads,
            ..Plan::default()
        };
        let outcome = Run::start(plan)?.finish(&mut ())?;
        let measured = &outcome.total.run;
        Ok::<_, RunError>(Trial {
            connections,
            pipeline,
            asked,
            rate: right(&measured.ledger) / outcome.elapsed.as_secs_f64().max(f64::MIN_POSITIVE),
            service: Quantiles::of(&measured.service),
            send_delay: Quantiles::of(&measured.send_delay),
            failed: measured.ledger.failed(),
        })
    };
    let closed = LOADS.map(|(connections, pipeline)| trial(connections, pipeline, None));
    let paced = RATES.map(|rate| trial(64, 16, Some(rate)));
    let closed = closed.into_iter().collect::<Result<_, _>>()?;
    let paced = paced.into_iter().collect::<Result<_, _>>()?;
    server.stop();
    Ok(Floor { environment: Environment::read(), threads, server_threads, closed, paced })
}

#[expect(clippy::cast_precision_loss, reason = "a figure to be shown")]
fn right(ledger: &Ledger) -> f64 {
    (ledger.sent() - ledger.failed().min(ledger.sent())) as f64
}
