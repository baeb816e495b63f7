//! What is shown of all targets, and what is known of each.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::Signal;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use volley_cli::Exit;

use super::args::PingArgs;
use super::event::{Event, Report};
use super::tally::Tally;
use super::{json, text};
use crate::failure::{Failure, tell};
use crate::signals::Signals;
use crate::stdout::Stdout;

/// How long what has been printed may take to go out after a signal.
const AFTER_SIGNAL: Duration = Duration::from_millis(100);

/// What ping(8) exits with for all that is neither a reply nor the lack of one.
pub(crate) const OTHER_ERROR: Exit = Exit::Usage;

/// Why no more events are listened for.
pub(crate) enum End {
    /// Every target has come to its end, or the time is over, or nobody reads stdout.
    Done,
    Signal(Failure),
    /// stdout failed.
    Stdout(io::Error),
}

/// Counts what the targets tell, and prints it.
pub(crate) struct Board {
    args: Arc<PingArgs>,
    names: Vec<String>,
    tallies: Vec<Tally>,
    stdout: Stdout,
}

impl Board {
    pub(crate) fn new(args: Arc<PingArgs>) -> Self {
        let names: Vec<_> = args.targets.iter().map(ToString::to_string).collect();
        let tallies = vec![Tally::new(); names.len()];
        Self { args, names, tallies, stdout: Stdout::default() }
    }

    /// Counts and prints what the targets tell, until it is enough.
    pub(crate) async fn listen(
        &mut self,
        reports: &mut mpsc::Receiver<Report>,
        signals: &mut Signals,
        quit: &mut Signal,
    ) -> End {
        let deadline = sleep(self.args.deadline.unwrap_or(Duration::MAX));
        tokio::pin!(deadline);
        loop {
            if self.stdout.is_closed() {
                return End::Done;
            }
            // All branches are cancel safe. Reports are ahead of printing, so that several lines go
            // out with one write when they come fast.
            tokio::select! {
                biased;
                signal = signals.next() => return End::Signal(signal),
                () = &mut deadline => return End::Done,
                _ = quit.recv() => self.tell_how_it_stands(),
                report = reports.recv(), if !self.stdout.is_full() => match report {
                    Some(report) => self.take(&report),
                    None => return End::Done,
                },
                flushed = self.stdout.flush(), if self.stdout.is_pending() => {
                    if let Err(error) = flushed {
                        return End::Stdout(error);
                    }
                }
            }
        }
    }

    /// Counts what has happened, and prints it.
    pub(crate) fn take(&mut self, Report { target, at, event }: &Report) {
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
            self.stdout.add_line(line);
        }
    }

    fn tell_how_it_stands(&self) {
        for (name, tally) in self.names.iter().zip(&self.tallies) {
            tell(&text::brief(&tally.summary(&self.args), name));
        }
    }

    /// Prints the summaries, and comes to a verdict.
    pub(crate) async fn finish(mut self, end: End, signals: &mut Signals) -> Result<(), Failure> {
        self.summarise();
        let flushed = match end {
            End::Signal(signal) => {
                // Whoever reads stdout may have stopped, and may have sent the signal for that.
                let _ = timeout(AFTER_SIGNAL, self.stdout.flush()).await;
                return Err(signal);
            }
            End::Stdout(error) => Err(error),
            End::Done => tokio::select! {
                flushed = self.stdout.flush() => flushed,
                signal = signals.next() => return Err(signal),
            },
        };
        if let Err(source) = flushed {
            Failure::Stdout { source }.report();
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
                self.stdout.add_line(shown);
            }
        }
    }
}
