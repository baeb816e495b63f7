//! Pings over one connection, which is opened again when it breaks.

use std::mem;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use volley_cli::format_duration;

use super::arrival::{Arrival, Unreachable};
use super::event::{Event, Loss};
use super::target::{Dialling, First, Target};
use super::way::Way;
use crate::backoff::Backoff;
use crate::failure::Failure;

/// How long an attempt at connecting may take at least, however short a wait for a reply may be:
/// the first loss of a packet of TCP's alone costs a second (RFC 6298, 2.1).
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Pings `target` to the end.
pub(crate) async fn run(target: Target) {
    let limit = target.args.timeout.max(PATIENCE);
    let lost_at = Instant::now();
    let first = target.start(limit).await;
    let mut kept = Kept {
        phase: Phase::Pausing(lost_at),
        backoff: Backoff::new(LONGEST_PAUSE),
        limit,
        lost_at,
        had_connection: false,
        why: slow(&target),
        seq: 0,
        target,
    };
    match first {
        First::Connected(link) => {
            kept.had_connection = true;
            kept.phase = Phase::Up(link);
        }
        First::Failed(failure) => kept.fail(&failure),
        First::Slow(dialling) => kept.phase = Phase::Dialling(dialling),
        First::Hopeless => return,
    }
    kept.ping_all().await;
}

/// Why there is no connection while the first attempt is under way.
fn slow(target: &Target) -> String {
    let within = format_duration(target.args.timeout);
    if target.args.greets() {
        format!(
            "no connection or no WELCOME within {within} (try a longer --timeout, or --no-hello)"
        )
    } else {
        format!("no connection within {within} (try a longer --timeout)")
    }
}

/// A target with its connection.
struct Kept {
    target: Target,
    phase: Phase,
    backoff: Backoff,
    /// How long an attempt at connecting may take.
    limit: Duration,
    /// Since when there is no connection, while there is none.
    lost_at: Instant,
    had_connection: bool,
    /// Why there is no connection, while there is none.
    why: String,
    /// The last ping.
    seq: u64,
}

/// The connection, or what is done to have one.
enum Phase {
    Pausing(Instant),
    Dialling(Dialling),
    Up(Way),
}

/// What comes of a phase.
enum Step {
    /// The pause is over.
    Dial,
    Dialled(Result<Way, Failure>),
    Arrived(Arrival),
}

impl Phase {
    /// Awaits the next step, which must be taken.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    async fn next(&mut self) -> Step {
        match self {
            Self::Pausing(until) => {
                sleep_until(*until).await;
                Step::Dial
            }
            Self::Dialling(dialling) => Step::Dialled(dialling.await),
            Self::Up(link) => Step::Arrived(link.next().await),
        }
    }

    const fn link(&self) -> Option<&Way> {
        match self {
            Self::Up(link) => Some(link),
            _ => None,
        }
    }
}

impl Kept {
    async fn ping_all(&mut self) {
        let mut ticks = self.target.ticks();
        let most = self.target.args.most();
        while self.seq < most || self.awaited() > 0 {
            let overdue = self.target.overdue(self.phase.link());
            // All branches are cancel safe, and none always first: a server that never stops sending
            // would keep the others waiting.
            tokio::select! {
                step = self.phase.next() => self.take(step).await,
                () = overdue => self.expire().await,
                _ = ticks.tick(), if self.seq < most => self.ping().await,
            }
            self.leave_if_asked();
        }
        if let Phase::Up(link) = &mut self.phase {
            while let Some(landing) = link.last_look().await {
                self.target.tell_landing(landing, None).await;
            }
        }
    }

    /// How many pings may still be answered in time.
    fn awaited(&self) -> usize {
        self.phase.link().map_or(0, |link| link.flight().awaited())
    }

    /// Sends the next ping, if there is a connection.
    async fn ping(&mut self) {
        if !self.target.reporter.has_room() {
            return;
        }
        self.seq += 1;
        let sent = match &mut self.phase {
            Phase::Up(link) => link.send(self.seq).await.map_err(|not_sent| not_sent.to_string()),
            _ => Err(self.why.clone()),
        };
        self.target.reporter.tell(Event::Ping).await;
        if let Err(why) = sent {
            self.target.tell_lost(self.seq, Loss::NotSent, why).await;
        }
    }

    /// Gives up pings that have waited too long.
    async fn expire(&mut self) {
        if let Phase::Up(link) = &mut self.phase {
            for seq in link.expire(self.target.args.timeout) {
                self.target.tell_no_reply(seq).await;
            }
        }
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Dial => self.phase = Phase::Dialling(self.target.dial(self.limit)),
            Step::Dialled(Ok(link)) => self.connected(link).await,
            Step::Dialled(Err(failure)) => self.fail(&failure),
            Step::Arrived(Arrival::Landing(landing)) => {
                self.target.tell_landing(landing, None).await;
            }
            Step::Arrived(Arrival::GoingAway(reason)) => {
                self.target.reporter.tell(Event::GoingAway { why: reason.to_string() }).await;
            }
            Step::Arrived(Arrival::Unreachable(Unreachable { pings, why })) => {
                for seq in pings {
                    self.target.tell_lost(seq, Loss::Disconnected, why.clone()).await;
                }
            }
            Step::Arrived(Arrival::End(why)) => self.disconnected(why).await,
        }
    }

    async fn connected(&mut self, link: Way) {
        let (address, after) = (link.address(), self.lost_at.elapsed());
        let again = mem::replace(&mut self.had_connection, true);
        self.phase = Phase::Up(link);
        self.target.reporter.tell(Event::Connected { address, after, again }).await;
    }

    /// There is still no connection.
    fn fail(&mut self, failure: &Failure) {
        self.why = failure.message();
        self.phase = Phase::Pausing(Instant::now() + self.backoff.pause());
    }

    /// The connection is lost, and with it the pings that are in flight.
    async fn disconnected(&mut self, why: String) {
        self.target.reporter.tell(Event::Disconnected { why: why.clone() }).await;
        if let Phase::Up(link) = &self.phase {
            for seq in link.flight().awaited_pings() {
                let why = "the connection ended before its reply";
                self.target.tell_lost(seq, Loss::Disconnected, why).await;
            }
        }
        self.reopen(why);
    }

    /// Closes a connection that takes no more pings, once those in flight have come to their ends.
    fn leave_if_asked(&mut self) {
        if let Phase::Up(link) = &self.phase
            && link.is_going_away()
            && link.flight().awaited() == 0
        {
            self.reopen("the server takes no new frames".to_owned());
        }
    }

    /// At once if the connection was of use. A server that ends every connection is not to be
    /// pestered.
    fn reopen(&mut self, why: String) {
        let was_of_use = self.phase.link().is_some_and(|link| link.flight().has_answers());
        self.why = why;
        self.lost_at = Instant::now();
        let mut pause = Duration::ZERO;
        if was_of_use {
            self.backoff = Backoff::new(LONGEST_PAUSE);
        } else {
            pause = self.backoff.pause();
        }
        self.phase = Phase::Pausing(self.lost_at + pause);
    }
}
