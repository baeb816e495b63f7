//! `volley ping`: what ping(8) does, with frames.
//!
//! ```text
//!   target: pings, replies ---> events ---> tally ---> summary
//!                                  '---> lines on stdout
//! ```
//!
//! Each target has a task, which pings it over one connection (`kept.rs`) or over one per ping
//! (`fresh.rs`) and tells what happens. All figures and all lines are made from what it tells.

mod args;
mod event;
mod flight;
mod fresh;
mod json;
mod kept;
mod link;
mod payload;
mod tally;
mod target;
mod text;
mod times;

use std::io::{self, IsTerminal};
use std::panic;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use volley_cli::Exit;

pub(crate) use self::args::PingArgs;
use self::event::{Event, Report, reporters};
use self::payload::Payloads;
use self::tally::Tally;
use self::target::Target;
use crate::failure::{Failure, tell};
use crate::output::Output;
use crate::signals::Signals;

/// Silence after which a person wonders whether anything happens.
const PATIENCE: Duration = Duration::from_millis(100);

/// How long what has been printed may take to go out after a signal.
const AFTER_SIGNAL: Duration = Duration::from_millis(100);

/// What ping(8) exits with for all that is neither a reply nor the lack of one.
const OTHER_ERROR: Exit = Exit::Usage;

pub(crate) async fn run(args: PingArgs, mut signals: Signals) -> Result<(), Failure> {
    let mut quit = signal(SignalKind::quit()).map_err(|source| Failure::Setup { source })?;
    let args = Arc::new(args);
    let (mut tasks, mut reports) = start(&args);
    let mut board = Board::new(args);
    let end = board.listen(&mut reports, &mut signals, &mut quit).await;
    stop(&mut tasks).await;
    while let Ok(report) = reports.try_recv() {
        board.take(&report);
    }
    board.finish(end, &mut signals).await
}

/// Starts a task per target.
fn start(args: &Arc<PingArgs>) -> (JoinSet<()>, mpsc::Receiver<Report>) {
    let (reporters, reports) = reporters(args.targets.len());
    let payloads = Payloads::new(args.size);
    let mut tasks = JoinSet::new();
    for (endpoint, reporter) in args.targets.iter().cloned().zip(reporters) {
        let (args, payloads) = (Arc::clone(args), payloads.for_another());
        let target = Target { endpoint, args, payloads, reporter };
        if target.args.connect {
            tasks.spawn(fresh::run(target));
        } else {
            tasks.spawn(kept::run(target));
        }
    }
    (tasks, reports)
}

/// Ends the tasks that are still at work.
async fn stop(tasks: &mut JoinSet<()>) {
    tasks.abort_all();
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended
            && error.is_panic()
        {
            panic::resume_unwind(error.into_panic());
        }
    }
}

/// Why no more events are listened for.
enum End {
    /// Every target has come to its end, or the time is over, or nobody reads stdout.
    Done,
    Signal(Failure),
    /// stdout failed.
    Stdout(Failure),
}

/// What is shown, and what is known of each target.
struct Board {
    args: Arc<PingArgs>,
    names: Vec<String>,
    tallies: Vec<Tally>,
    output: Output,
}

impl Board {
    fn new(args: Arc<PingArgs>) -> Self {
        let names: Vec<_> = args.targets.iter().map(ToString::to_string).collect();
        let tallies = vec![Tally::new(); names.len()];
        Self { args, names, tallies, output: Output::new() }
    }

    /// Counts and prints what the targets tell, until it is enough.
    async fn listen(
        &mut self,
        reports: &mut mpsc::Receiver<Report>,
        signals: &mut Signals,
        quit: &mut Signal,
    ) -> End {
        let deadline = sleep(self.args.deadline.unwrap_or(Duration::MAX));
        let patience = sleep(PATIENCE);
        tokio::pin!(deadline, patience);
        loop {
            if self.output.is_closed() {
                return End::Done;
            }
            // All branches are cancel safe. Reports are ahead of printing, so that several lines go
            // out with one write when they come fast.
            tokio::select! {
                biased;
                signal = signals.next() => return End::Signal(signal),
                () = &mut deadline => return End::Done,
                _ = quit.recv() => self.tell_how_it_stands(),
                report = reports.recv(), if !self.output.is_full() => match report {
                    Some(report) => self.take(&report),
                    None => return End::Done,
                },
                flushed = self.output.flush(), if self.output.is_pending() => {
                    if let Err(failure) = flushed {
                        return End::Stdout(failure);
                    }
                }
                () = &mut patience, if !patience.is_elapsed() => self.tell_who_is_awaited(),
            }
        }
    }

    /// Counts what has happened, and prints it.
    fn take(&mut self, Report { target, at, event }: &Report) {
        self.tallies[*target].count(event);
        if let Event::Unreachable { why } = event {
            tell(why);
        }
        if self.args.quiet && !matches!(event, Event::Start { .. }) {
            return;
        }
        let name = &self.names[*target];
        let line = if self.args.json {
            json::line(event, name, *at)
        } else {
            text::line(event, name, self.names.len() == 1)
        };
        if let Some(line) = line {
            self.output.line(&line);
        }
    }

    /// Says for whom we wait, to a person who sees nothing else.
    fn tell_who_is_awaited(&self) {
        if !io::stderr().is_terminal() {
            return;
        }
        for (name, tally) in self.names.iter().zip(&self.tallies) {
            if !tally.has_started() {
                tell(&format!("connecting to {name}"));
            }
        }
    }

    fn tell_how_it_stands(&self) {
        for (name, tally) in self.names.iter().zip(&self.tallies) {
            tell(&text::brief(&tally.summary(&self.args), name));
        }
    }

    /// Prints the summaries, and comes to a verdict.
    async fn finish(mut self, end: End, signals: &mut Signals) -> Result<(), Failure> {
        self.summarise();
        let flushed = match end {
            End::Signal(signal) => {
                // Whoever reads stdout may have stopped, and may have sent the signal for that.
                let _ = timeout(AFTER_SIGNAL, self.output.flush()).await;
                return Err(signal);
            }
            End::Stdout(failure) => Err(failure),
            End::Done => tokio::select! {
                flushed = self.output.flush() => flushed,
                signal = signals.next() => return Err(signal),
            },
        };
        if let Err(failure) = flushed {
            failure.report();
            return Err(Failure::Told(OTHER_ERROR));
        }
        if self.tallies.iter().any(Tally::is_unreachable) {
            return Err(Failure::Told(OTHER_ERROR));
        }
        if self.tallies.iter().all(|tally| tally.summary(&self.args).passed) {
            return Ok(());
        }
        Err(Failure::Told(Exit::Failure))
    }

    fn summarise(&mut self) {
        for (name, tally) in self.names.iter().zip(&self.tallies) {
            let summary = tally.summary(&self.args);
            let shown = if self.args.json {
                json::summary(&summary, name)
            } else {
                (tally.has_started() && !tally.is_unreachable())
                    .then(|| text::summary(&summary, name))
            };
            if let Some(shown) = shown {
                self.output.line(&shown);
            }
        }
    }
}
