//! A daemon that is held up in the middle of a run: the load tester must tell it for what it is.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, also in what it calls")]
#![expect(clippy::expect_used, reason = "a test that panics has failed, also in what it calls")]

use std::time::{Duration, Instant};

use tokio::task::spawn_blocking;
use volley_load::measure::ledger::Column;
use volley_load::measure::recorder::Latencies;
use volley_load::plan::schedule::Schedule;
use volley_load::plan::{Arrivals, Pace, Plan, Stop};
use volley_load::run::shared::Phase;
use volley_load::run::{End, Outcome, Progress, Run, Watch};
use volley_tests::{Daemon, Process, within};

/// Frames per second.
const RATE: f64 = 2000.0;

/// How long they are sent, and how many they are.
const DURATION: Duration = Duration::from_secs(3);
const FRAMES: u64 = 6000;

/// When the daemon is held up, and for how long at least.
const STALL_AT: Duration = Duration::from_secs(1);
const STALL: Duration = Duration::from_secs(1);

const CONNECTIONS: u32 = 4;

/// Holds up a process in the middle of a run.
struct Holdup {
    process: Process,
    /// When none of its threads ran any more: the clock, and the run's own time.
    held: Option<(Instant, Duration)>,
    /// For how long it did not run, at least.
    stall: Option<Duration>,
}

impl Watch for Holdup {
    fn look(&mut self, progress: &Progress) {
        let began = Instant::now();
        match self.held {
            None if progress.phase == Phase::Sending && progress.elapsed >= STALL_AT => {
                self.process.pause();
                self.held = Some((Instant::now(), progress.elapsed + began.elapsed()));
            }
            Some((held, since)) if self.stall.is_none() && held.elapsed() >= STALL => {
                // Nothing was planned behind the end.
                self.stall = Some(held.elapsed().min(DURATION - since));
                self.process.resume();
            }
            _ => {}
        }
    }
}

/// A run at a steady rate, with so many frames in flight on each connection, in which the daemon is
/// held up. Returns what came of it, and the length of the stall.
async fn stalled(pipeline: u32) -> (Outcome, Duration) {
    let daemon = Daemon::start(&[]).await;
    let schedule = Schedule::steady(RATE, 1).unwrap();
    let plan = Plan {
        targets: vec![daemon.endpoint.parse().unwrap()],
        connections: CONNECTIONS,
        pipeline,
        pace: Pace::Open { schedule, arrivals: Arrivals::Constant },
        stop: Stop { duration: Some(DURATION), frames: None },
        timeout: Duration::from_secs(30),
        ..Plan::default()
    };
    let mut holdup = Holdup { process: daemon.process(), held: None, stall: None };
    let run = spawn_blocking(move || {
        let outcome = Run::start(plan).unwrap().finish(&mut holdup).unwrap();
        (outcome, holdup.stall.expect("the run is longer than the stall"))
    });
    let (outcome, stall) = within(run).await.unwrap();
    daemon.terminate();
    daemon.end().await;
    // Nothing was lost, and each planned frame has its response time.
    let measured = &outcome.total.run;
    assert_eq!(outcome.end, End::Planned, "{:?}", outcome.problems);
    assert_eq!(
        (measured.ledger.sent() + measured.unsent, measured.ledger.imbalance()),
        (FRAMES, 0)
    );
    assert_eq!(measured.ledger.count(Column::Ok), measured.ledger.sent());
    assert_eq!(measured.response.histogram().len(), FRAMES);
    (outcome, stall)
}

fn at(latencies: &Latencies, quantile: f64) -> Duration {
    Duration::from_nanos(latencies.at(quantile))
}

/// What this quantile of the response times is at least. A frame that was planned `t` after the
/// beginning of a stall `S` takes `S - t` or more, so those that take `x` or more are all that were
/// planned in the first `S - x` of it: a part `(S - x) / D` of a run that lasts `D`. Two frames are
/// granted to rounding.
fn least(quantile: f64, stall: Duration) -> Duration {
    let granted = Duration::from_secs_f64(2.0 / RATE);
    stall.saturating_sub(DURATION.mul_f64(1.0 - quantile)).saturating_sub(granted)
}

const QUANTILES: [f64; 5] = [0.75, 0.8, 0.9, 0.99, 0.999];

#[tokio::test]
async fn a_stall_shows_in_the_response_of_every_frame_that_was_planned_in_it() {
    let (outcome, stall) = stalled(1).await;
    let measured = &outcome.total.run;
    for quantile in QUANTILES {
        let (found, least) = (at(&measured.response, quantile), least(quantile, stall));
        assert!(found >= least, "{quantile}: {found:?}, not {least:?} of {stall:?}");
    }
    // One frame waits on each connection, the others wait for their turn: to who looks only at what
    // happens between write and reply, nearly nothing has happened.
    let service = &measured.service;
    assert!(at(service, 0.99) < stall / 10, "{:?} of {stall:?}", at(service, 0.99));
    assert!(at(service, 1.0) > stall / 2, "{:?} of {stall:?}", at(service, 1.0));
    assert!(at(&measured.send_delay, 0.9) > least(0.9, stall) / 2);
    assert!(measured.waited > FRAMES / 10, "{}", measured.waited);
}

#[tokio::test]
async fn with_many_frames_in_flight_a_stall_shows_in_their_service_time_too() {
    let (outcome, stall) = stalled(1024).await;
    let measured = &outcome.total.run;
    for quantile in QUANTILES {
        let (found, least) = (at(&measured.response, quantile), least(quantile, stall));
        assert!(found >= least, "{quantile}: {found:?}, not {least:?} of {stall:?}");
        // They are written on time, as far as this machine allows it, and wait in the socket.
        let found = at(&measured.service, quantile);
        assert!(found >= least / 2, "{quantile}: {found:?}, not {:?} of {stall:?}", least / 2);
    }
}
