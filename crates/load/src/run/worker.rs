//! A worker: a thread with a runtime of its own, its share of the connections, and their
//! measurements. Workers share nothing while frames are sent.

use std::cell::RefCell;
use std::io;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use volley_proto::Reason;

use crate::measure::interval::Interval;
use crate::plan::nanos;
use crate::run::End;
use crate::run::bench::Bench;
use crate::run::client::{MOST_CONNECTING, OpenError, Place, live};
use crate::run::pacer::{Alarms, pace};
use crate::run::seconds::{next_cut, number_at};
use crate::run::shared::{Phase, Shared};

/// What a worker tells the run.
#[derive(Debug)]
pub enum Told {
    /// A connection is there for the first time, or could not be had.
    Connected(Result<(), OpenError>),
    /// A connection failed, or could not be opened again.
    Failed {
        /// What went wrong.
        why: String,
        /// What ends the run for that, unless a reply has come before.
        unless_answered: Option<fn(String) -> End>,
    },
    /// A server asked for no more frames on a connection.
    GoAway(Reason),
    /// The measurements of second `number` of the run.
    Measured {
        /// Counted from the end of the warm-up, so that those of the warm-up are below 0.
        number: i64,
        /// What was measured in it.
        interval: Box<Interval>,
    },
    /// A client has sent its last frame, or will send none.
    Over,
    /// The worker is done.
    Done,
}

/// One worker's share of a run.
#[derive(Debug)]
pub struct Worker {
    /// What all workers share.
    pub shared: Arc<Shared>,
    /// The numbers of its connections.
    pub connections: Vec<u32>,
    /// Changes when the run moves on.
    pub phases: watch::Receiver<Phase>,
    /// Where it tells.
    pub told: mpsc::Sender<Told>,
}

impl Worker {
    /// Runs to the end of the run, on the thread that calls it.
    ///
    /// # Errors
    ///
    /// When the system gives no runtime or no timer.
    ///
    /// # Panics
    ///
    /// When a connection's task does, which is a defect.
    pub fn run(self) -> io::Result<()> {
        let runtime = Builder::new_current_thread()
            .event_interval(TASKS_PER_LOOK)
            .enable_all()
            .build_local(LocalOptions::default())?;
        let told = self.told.clone();
        runtime.block_on(self.serve())?;
        // A run that has been given up listens no more.
        let _ = told.send(Told::Done);
        Ok(())
    }

    async fn serve(self) -> io::Result<()> {
        let Self { shared, connections, mut phases, told } = self;
        let warmup = nanos(shared.plan.warmup);
        let timeout = shared.plan.timeout;
        let place = Rc::new(Place {
            alarms: Alarms::new(connections.len()),
            bench: RefCell::new(Bench::new(shared.began(), &shared.plan)),
            connecting: Semaphore::new(MOST_CONNECTING),
            started: Instant::now(),
            shared,
            told,
        });
        let mut clients = JoinSet::new();
        for (seat, &connection) in connections.iter().enumerate() {
            clients.spawn_local(live(Rc::clone(&place), seat, connection));
        }
        let mut meter = Meter::new(warmup);
        let mut sweeps = interval((timeout / 4).clamp(SHORTEST_SWEEP, LONGEST_SWEEP));
        sweeps.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let pacer = pace(&place.alarms, || place.bench.borrow().now());
        tokio::pin!(pacer);
        loop {
            // All branches are cancel safe.
            tokio::select! {
                failed = &mut pacer => return failed,
                done = clients.join_next() => match done {
                    Some(Ok(())) => {}
                    Some(Err(error)) => match error.try_into_panic() {
                        Ok(panic) => resume_unwind(panic),
                        Err(_) => break,
                    },
                    None => break,
                },
                changed = phases.changed() => {
                    if changed.is_err() { break }
                    let phase = *phases.borrow_and_update();
                    if phase >= Phase::Sending && meter.began.is_none() { meter.begin(&place) }
                    place.alarms.wake_all();
                }
                _ = sweeps.tick() => {
                    let mut bench = place.bench.borrow_mut();
                    bench.expired = bench.now().checked_sub(nanos(timeout));
                    drop(bench);
                    place.alarms.wake_all();
                }
                () = meter.next_cut() => meter.cut(&place),
            }
        }
        meter.cut(&place);
        Ok(())
    }
}

/// How many connections have their turn between two looks at the sockets: as many as one look can
/// bring, so that a full round of them costs one.
const TASKS_PER_LOOK: u32 = 1024;

/// How often overdue frames are looked for: four times in a time-out, within reason.
const SHORTEST_SWEEP: Duration = Duration::from_millis(5);
const LONGEST_SWEEP: Duration = Duration::from_secs(1);

/// Cuts what is measured into seconds.
struct Meter {
    warmup: u64,
    /// When the run began; `None` before.
    began: Option<Instant>,
    /// The end of the current second.
    cut_at: u64,
    /// Processor time of this thread at the last cut.
    cpu: Duration,
}

impl Meter {
    const fn new(warmup: u64) -> Self {
        Self { warmup, began: None, cut_at: 0, cpu: Duration::ZERO }
    }

    fn begin(&mut self, place: &Place) {
        let began = place.shared.began();
        place.bench.borrow_mut().begin(began);
        self.began = Some(Instant::from_std(began));
        self.cut_at = next_cut(0, self.warmup);
        self.cpu = thread_time();
    }

    /// Waits for the end of the current second; for ever before the run has begun.
    async fn next_cut(&self) {
        match self.began {
            Some(began) => sleep_until(began + Duration::from_nanos(self.cut_at)).await,
            None => std::future::pending().await,
        }
    }

    /// Hands over what has been measured since the last time.
    fn cut(&mut self, place: &Place) {
        let mut bench = place.bench.borrow_mut();
        let now = bench.now();
        let fresh = bench.interval.like();
        let mut interval = std::mem::replace(&mut bench.interval, fresh);
        drop(bench);
        let cpu = thread_time();
        interval.cpu = cpu.saturating_sub(self.cpu);
        self.cpu = cpu;
        let number = number_at(now.min(self.cut_at.max(1)), self.warmup);
        self.cut_at = next_cut(now, self.warmup);
        let interval = Box::new(interval);
        let _ = place.told.send(Told::Measured { number, interval });
    }
}

/// Processor time of the calling thread.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}
