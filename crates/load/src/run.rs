//! A run from its first connection to its last reply.
//!
//! ```text
//!   connecting --all there, or the time-out over--> sending --plan over--> finishing --> over
//!                                                      '--- twice asked to stop: aborted --^
//! ```

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::interval::Interval;
use crate::payload::Payloads;
use crate::plan::Plan;
use crate::shared::{BadReply, Phase, Shared};
use crate::worker::{Told, Worker};

/// How often the run looks whether its time is over.
const LOOK: Duration = Duration::from_millis(10);

/// What replies in the backlog of an aborted run may still take.
const AFTER_ABORT: Duration = Duration::from_secs(1);

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
        let next =
            if self.shared.phase() < Phase::Finishing { Phase::Finishing } else { Phase::Aborted };
        self.advance(next);
    }

    fn advance(&self, phase: Phase) {
        self.shared.advance(phase);
        // Without a worker left there is nothing to move.
        let _ = self.phases.send(self.shared.phase());
    }
}

/// What came of a run, as plain data.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Connections that were had at the beginning, of those that the plan asked for.
    pub connected: u32,
    /// Everything measured, the warm-up left out but for its ledger.
    pub total: Interval,
    /// The same second by second.
    pub intervals: Vec<Interval>,
    /// From the first frame that counts to the last moment at which one was sent.
    pub elapsed: Duration,
    /// Processor time of the sending threads.
    pub cpu: Duration,
    /// What went wrong with connections, and how often each.
    pub problems: BTreeMap<String, u64>,
    /// The first wrong replies.
    pub bad_replies: Vec<BadReply>,
    /// Whether the run came to the end that its plan has.
    pub complete: bool,
}

/// Why there is nothing to report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Not one connection could be had.
    #[error(transparent)]
    Connect(volley_client::Error),
    /// A thread, a runtime or a timer could not be had.
    #[error("cannot start: {0}")]
    Setup(#[from] io::Error),
}

impl Run {
    /// Starts the threads of a run; they begin to connect.
    ///
    /// # Errors
    ///
    /// When the system gives no thread.
    pub fn start(plan: Plan) -> io::Result<Self> {
        let payloads = match &plan.payload {
            Some(payload) => Payloads::fixed(payload.clone()),
            None => {
                let run = fastrand::u64(..);
                Payloads::new(run, plan.seed, plan.sizes.longest() as usize)
            }
        };
        let shared = Arc::new(Shared::new(plan, payloads));
        let (phases, _) = watch::channel(Phase::Connecting);
        let (tell, told) = mpsc::channel();
        let mut threads = Vec::new();
        let workers = shared.plan.threads.min(shared.plan.connections).max(1);
        for number in 0..workers {
            let worker = Worker {
                shared: Arc::clone(&shared),
                connections: (number..shared.plan.connections).step_by(workers as usize).collect(),
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

    /// Sees the run to its end. `watch` is called with each second's measurements of a worker.
    ///
    /// # Errors
    ///
    /// [`RunError`] when nothing could be measured.
    pub fn finish(self, mut watch: impl FnMut(&Interval)) -> Result<Outcome, RunError> {
        let mut books = Books::default();
        let began = Instant::now();
        let mut over = None;
        while books.done < self.threads.len() {
            match self.told.recv_timeout(LOOK) {
                Ok(Told::Measured(interval)) => {
                    watch(&interval);
                    books.measured(&interval, self.shared.began().elapsed());
                }
                Ok(told) => books.note(told),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.move_on(&books, began, &mut over);
            if over.is_some_and(|over: Instant| {
                over.elapsed() > self.shared.plan.timeout + AFTER_ABORT
            }) {
                break;
            }
        }
        for thread in self.threads {
            if thread.is_finished()
                && let Ok(result) = thread.join()
            {
                result?;
            }
        }
        if books.connected == 0
            && let Some(error) = books.refused
        {
            return Err(RunError::Connect(error));
        }
        let plan = &self.shared.plan;
        let sent_until = over.unwrap_or_else(Instant::now);
        let elapsed = sent_until.saturating_duration_since(self.shared.began());
        Ok(Outcome {
            connected: books.connected,
            total: books.total,
            intervals: books.intervals,
            elapsed: elapsed.saturating_sub(plan.warmup),
            cpu: books.cpu,
            problems: books.problems,
            bad_replies: self.shared.bad_replies(),
            complete: self.shared.phase() != Phase::Aborted,
        })
    }

    /// Moves the run on to its next phase when the time for it has come.
    fn move_on(&self, books: &Books, began: Instant, over: &mut Option<Instant>) {
        let plan = &self.shared.plan;
        match self.shared.phase() {
            Phase::Connecting => {
                let answered = books.connected + books.not_connected;
                let is_late = began.elapsed() > plan.timeout + Duration::from_secs(1);
                if answered == plan.connections || is_late {
                    let next = if books.connected > 0 { Phase::Sending } else { Phase::Aborted };
                    self.control.advance(next);
                }
            }
            Phase::Sending => {
                let sending = self.shared.began().elapsed();
                let is_over = plan.stop.duration.is_some_and(|d| sending >= plan.warmup + d);
                if is_over || self.shared.is_spent() {
                    *over = Some(Instant::now());
                    self.control.advance(Phase::Finishing);
                }
            }
            Phase::Finishing => {
                let since = over.get_or_insert_with(Instant::now);
                if since.elapsed() > plan.timeout {
                    self.control.advance(Phase::Aborted);
                }
            }
            Phase::Aborted => {
                over.get_or_insert_with(Instant::now);
            }
        }
    }
}

/// What the workers have told so far.
#[derive(Debug, Default)]
struct Books {
    connected: u32,
    not_connected: u32,
    refused: Option<volley_client::Error>,
    total: Interval,
    intervals: Vec<Interval>,
    problems: BTreeMap<String, u64>,
    cpu: Duration,
    done: usize,
}

impl Books {
    fn note(&mut self, told: Told) {
        match told {
            Told::Connected(Ok(())) => self.connected += 1,
            Told::Connected(Err(error)) => {
                self.not_connected += 1;
                self.problem(error.to_string());
                self.refused.get_or_insert(error);
            }
            Told::Failed(why) => self.problem(why),
            Told::Done(cpu) => {
                self.done += 1;
                self.cpu += cpu;
            }
            Told::Measured(_) => {}
        }
    }

    fn problem(&mut self, why: String) {
        *self.problems.entry(why).or_default() += 1;
    }

    /// Adds a worker's measurements to the second in which they were handed over.
    fn measured(&mut self, interval: &Interval, since: Duration) {
        self.total += interval;
        let second = usize::try_from(since.as_secs()).unwrap_or(usize::MAX).saturating_sub(1);
        if second < MOST_INTERVALS {
            if self.intervals.len() <= second {
                self.intervals.resize_with(second + 1, Interval::default);
            }
            self.intervals[second] += interval;
        }
    }
}

/// A day of seconds; a longer run keeps only its total beyond.
const MOST_INTERVALS: usize = 86_400;
