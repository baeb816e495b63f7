//! A run from its first connection to its last reply.
//!
//! ```text
//!   connecting --all there, or the time-out over--> sending --plan over--> finishing --> over
//!                                                      '--- twice asked to stop: aborted --^
//! ```

pub mod bench;
pub mod client;
pub mod cut;
pub mod exchange;
pub mod flight;
pub mod pace;
pub mod pacer;
pub mod payload;
pub mod seconds;
pub mod shared;
pub mod trouble;
pub mod worker;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::measure::interval::Interval;
use crate::plan::Plan;
use crate::run::client::OpenError;
use crate::run::payload::Payloads;
use crate::run::seconds::Seconds;
use crate::run::shared::{BadReply, Phase, Shared};
use crate::run::worker::{Told, Worker};

/// How often the run looks whether its time is over.
const LOOK: Duration = Duration::from_millis(10);

/// How often in a row nothing may be heard from workers that are to end: some ten seconds of looks,
/// and not of a clock, which goes on while the process is held up.
const MOST_QUIET: u32 = 1000;

/// What connections may take to tell that they could not be had.
const SPARE: Duration = Duration::from_secs(1);

/// How many different problems are kept. A server can word its errors as it likes.
const MOST_PROBLEMS: usize = 32;

/// A run that has been started.
#[derive(Debug)]
pub struct Run {
    shared: Arc<Shared>,
    control: Control,
    told: mpsc::Receiver<Told>,
    threads: Vec<JoinHandle<io::Result<()>>>,
}

/// Stops a run from elsewhere.
#[derive(Clone, Debug)]
pub struct Control {
    shared: Arc<Shared>,
    phases: watch::Sender<Phase>,
}

impl Control {
    /// The first time no new frames are sent and replies are awaited, the second time the run ends
    /// at once.
    pub fn stop(&self) {
        if self.shared.phase() < Phase::Finishing {
            self.shared.end(End::Stopped);
            self.advance(Phase::Finishing);
        } else {
            self.advance(Phase::Aborted);
        }
    }

    fn advance(&self, phase: Phase) {
        self.shared.advance(phase);
        // Without a worker left there is nothing to move.
        let _ = self.phases.send(self.shared.phase());
    }
}

/// What ended a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Its plan was carried out.
    Planned,
    /// It was asked to stop.
    Stopped,
    /// It was asked twice, and did not wait for what was in flight.
    Aborted,
    /// A connection failed, or was told to go away, and was not to be opened again.
    Failed(String),
    /// The peer does not speak in frames.
    NotFramed(String),
    /// Nobody takes the datagrams.
    Unreachable(String),
}

/// What came of a run, as plain data.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What ended it.
    pub end: End,
    /// Connections that were had at the beginning, of those that the plan asked for.
    pub connected: u32,
    /// Everything measured.
    pub total: Interval,
    /// From the end of the warm-up until no more frames were sent, or until the last reply,
    /// whichever is later.
    pub elapsed: Duration,
    /// For how long of it frames were sent.
    pub sending: Duration,
    /// What went wrong with connections, and how often each.
    pub problems: BTreeMap<String, u64>,
    /// The first replies that were wrong.
    pub bad_replies: Vec<BadReply>,
}

/// Why there is nothing to report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Not one connection could be had.
    #[error(transparent)]
    Open(OpenError),
    /// A thread, a runtime or a timer could not be had.
    #[error("cannot start: {0}")]
    Setup(#[from] io::Error),
    /// A thread panicked.
    #[error("a defect of volley-load: a sending thread panicked")]
    Defect,
    /// A thread does not end: what it has measured is not known.
    #[error("a defect of volley-load: a sending thread does not end")]
    Hanging,
}

/// How far a run is, while it goes on.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Its phase.
    pub phase: Phase,
    /// Since the first frame could be sent, the warm-up included; 0 before.
    pub elapsed: Duration,
    /// Connections that were had so far.
    pub connected: u32,
}

/// Looks at a run while it goes on, on the thread that waits for its end.
pub trait Watch {
    /// Called many times a second.
    fn look(&mut self, progress: &Progress) {
        let _ = progress;
    }

    /// Called once for each second that is over, in their order, with what all workers measured in
    /// it. Seconds of the warm-up have numbers below 0. `in_flight` frames wait for their replies.
    fn second(&mut self, number: i64, interval: &Interval, in_flight: u64) {
        let _ = (number, interval, in_flight);
    }
}

/// Nobody looks.
impl Watch for () {}

impl Run {
    /// Starts the threads of a run; they begin to connect.
    ///
    /// # Errors
    ///
    /// When the system gives no thread.
    pub fn start(plan: Plan) -> io::Result<Self> {
        let payloads = match &plan.payload {
            Some(payload) => Payloads::fixed(payload.clone()),
            None => Payloads::new(fastrand::u64(..), plan.seed, plan.longest() as usize),
        };
        let shared = Arc::new(Shared::new(plan, payloads));
        let (phases, _) = watch::channel(Phase::Connecting);
        let (tell, told) = mpsc::channel();
        let mut threads = Vec::new();
        let all = shared.plan.all_connections();
        let workers = shared.plan.threads.min(all).max(1);
        for number in 0..workers {
            let worker = Worker {
                shared: Arc::clone(&shared),
                connections: (number..all).step_by(workers as usize).collect(),
                phases: phases.subscribe(),
                told: tell.clone(),
            };
            let thread = thread::Builder::new().name(format!("load-{number}"));
            threads.push(thread.spawn(move || worker.run())?);
        }
        let control = Control { shared: Arc::clone(&shared), phases };
        Ok(Self { shared, control, told, threads })
    }

    /// What stops the run from elsewhere.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Sees the run to its end.
    ///
    /// # Errors
    ///
    /// [`RunError`] when nothing could be measured.
    pub fn finish(self, watch: &mut impl Watch) -> Result<Outcome, RunError> {
        let mut log = Log::new(self.threads.len());
        let began = Instant::now();
        let mut quiet = 0;
        while log.done < self.threads.len() && quiet < MOST_QUIET {
            match self.told.recv_timeout(LOOK) {
                Ok(told) => {
                    quiet = 0;
                    self.note(told, &mut log);
                }
                Err(RecvTimeoutError::Timeout) if self.shared.phase() > Phase::Finishing => {
                    quiet += 1;
                }
                Err(RecvTimeoutError::Timeout) => {}
                // A thread that fails says nothing.
                Err(RecvTimeoutError::Disconnected) => break,
            }
            while let Some((number, interval)) = log.seconds.take_next() {
                log.take(number, &interval, watch);
            }
            self.move_on(&log, began.elapsed());
            watch.look(&self.progress(&log));
        }
        let is_hanging = quiet == MOST_QUIET;
        for thread in self.threads {
            // One that panicked may not have come to its end yet.
            if thread.is_finished() || !is_hanging {
                thread.join().map_err(|_| RunError::Defect)??;
            }
        }
        if is_hanging {
            return Err(RunError::Hanging);
        }
        if log.connected == 0
            && let Some(error) = log.refused
        {
            return Err(RunError::Open(error));
        }
        let (rest, seconds) = (log.seconds, Seconds::new(0));
        let mut log = Log { seconds, ..log };
        for (number, interval) in rest.rest() {
            log.take(number, &interval, watch);
        }
        log.total.run.strays += self.shared.misrouted_and_answered();
        Ok(outcome(&self.shared, log))
    }

    fn progress(&self, log: &Log) -> Progress {
        let phase = self.shared.phase();
        let elapsed = match phase {
            Phase::Connecting => Duration::ZERO,
            _ => self.shared.began().elapsed(),
        };
        Progress { phase, elapsed, connected: log.connected }
    }

    /// Takes in what a worker tells.
    fn note(&self, told: Told, log: &mut Log) {
        match told {
            Told::Measured { number, interval } => log.seconds.add(number, &interval),
            Told::Connected(Ok(())) => log.connected += 1,
            Told::Connected(Err(error)) => {
                log.not_connected += 1;
                self.failed(&error.to_string());
                log.problem(error.to_string());
                log.refused.get_or_insert(error);
            }
            Told::GoAway(reason) => {
                let why = format!("the server said GOAWAY: {reason}");
                self.failed(&why);
                log.problem(why);
            }
            Told::Failed { why, unless_answered } => {
                if let Some(end) = unless_answered
                    && !self.shared.was_answered()
                {
                    self.shared.end(end(why.clone()));
                    self.control.advance(Phase::Finishing);
                }
                self.failed(&why);
                log.problem(why);
            }
            Told::Over => log.over += 1,
            Told::Done => log.done += 1,
        }
    }

    /// A connection has failed: that is the end if it is not to be opened again.
    fn failed(&self, why: &str) {
        if !self.shared.plan.life.reconnect {
            self.shared.end(End::Failed(why.to_owned()));
            self.control.advance(Phase::Finishing);
        }
    }

    /// Moves the run on to its next phase when the time for it has come.
    fn move_on(&self, log: &Log, since_start: Duration) {
        let plan = &self.shared.plan;
        match self.shared.phase() {
            Phase::Connecting => {
                let answered = log.connected + log.not_connected;
                let all = plan.all_connections();
                let last = plan.connect_rate.map_or(0.0, |rate| f64::from(all) / rate);
                let is_late =
                    since_start.as_secs_f64() > last + (plan.timeout + SPARE).as_secs_f64();
                if answered >= all || is_late {
                    let next = if log.connected > 0 { Phase::Sending } else { Phase::Aborted };
                    self.control.advance(next);
                }
            }
            Phase::Sending => {
                let sending = self.shared.began().elapsed();
                let is_over = plan.stop.duration.is_some_and(|d| sending >= plan.warmup + d);
                // Connections that are only held open never are.
                if is_over || self.shared.is_spent() || log.over >= plan.connections {
                    self.control.advance(Phase::Finishing);
                }
            }
            Phase::Finishing => {
                let stopped = self.shared.stopped().map(|stopped| stopped.elapsed());
                if stopped.is_some_and(|stopped| stopped > plan.timeout) {
                    self.control.advance(Phase::Expired);
                }
            }
            Phase::Expired | Phase::Aborted => {}
        }
    }
}

fn outcome(shared: &Shared, log: Log) -> Outcome {
    let plan = &shared.plan;
    let since_warmup = |nanos: u64| Duration::from_nanos(nanos).saturating_sub(plan.warmup);
    let stopped = shared.stopped().unwrap_or_else(Instant::now);
    let stopped = stopped.saturating_duration_since(shared.began()).saturating_sub(plan.warmup);
    let end = match shared.phase() {
        Phase::Aborted => End::Aborted,
        _ => shared.ended().unwrap_or(End::Planned),
    };
    let sending = match (&end, plan.stop.duration) {
        (End::Planned, Some(duration)) if stopped >= duration && !shared.is_spent() => duration,
        // All frames of the plan have been sent before its time was over.
        (End::Planned, _) => since_warmup(log.total.last_sent),
        _ => stopped,
    };
    let elapsed = sending.max(since_warmup(log.total.last_reply));
    Outcome {
        end,
        connected: log.connected,
        total: log.total,
        elapsed,
        sending,
        problems: log.problems,
        bad_replies: shared.bad_replies(),
    }
}

/// What the workers have told so far.
#[derive(Debug)]
struct Log {
    connected: u32,
    not_connected: u32,
    refused: Option<OpenError>,
    seconds: Seconds,
    total: Interval,
    problems: BTreeMap<String, u64>,
    /// Clients that send no more.
    over: u32,
    /// Workers that are done.
    done: usize,
}

impl Log {
    fn new(workers: usize) -> Self {
        Self {
            connected: 0,
            not_connected: 0,
            refused: None,
            seconds: Seconds::new(workers),
            total: Interval::default(),
            problems: BTreeMap::new(),
            over: 0,
            done: 0,
        }
    }

    /// Adds a second that is over to the whole.
    fn take(&mut self, number: i64, interval: &Interval, watch: &mut impl Watch) {
        let cpu = self.total.cpu;
        self.total += interval;
        if number < 0 {
            // The warm-up is left out of every figure.
            self.total.cpu = cpu;
        }
        watch.second(number, interval, self.total.in_flight());
    }

    fn problem(&mut self, why: String) {
        let why = if self.problems.len() < MOST_PROBLEMS || self.problems.contains_key(&why) {
            why
        } else {
            "others".to_owned()
        };
        *self.problems.entry(why).or_default() += 1;
    }
}
