//! A client's life: one connection after the other, until the run is over.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::mem;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until};
use volley_client::{Hello, Opened, Options, open};
use volley_proto::{Endpoint, Receipt, ReplyKind};

use crate::measure::interval::Measured;
use crate::measure::ledger::Loss;
use crate::plan::{Plan, nanos};
use crate::run::End;
use crate::run::bench::Bench;
use crate::run::exchange::{Ended, Exchange};
use crate::run::pace::Turn;
use crate::run::pacer::Alarms;
use crate::run::shared::{Phase, Shared};
use crate::run::worker::Told;

/// The pauses before a connection is opened again that could not be, or that gave nothing: doubled
/// each time.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long a reply too many is looked out for when a client is done.
const LAST_LOOK: Duration = Duration::from_millis(50);

/// Connections that a worker opens at the same time: fewer than any server's backlog, so that none
/// is dropped there and tried again by the system a second later.
pub const MOST_CONNECTING: usize = 128;

/// Why a client has no connection on which it can send its frames.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It could not be opened.
    #[error(transparent)]
    Connect(#[from] volley_client::Error),
    /// The server gives other replies than were asked for.
    #[error("the server grants {granted}, not the {wanted} that was asked for")]
    NotGranted {
        /// What was asked for.
        wanted: ReplyKind,
        /// What it grants.
        granted: ReplyKind,
    },
    /// A datagram of the plan's would get no receipt, which would be longer than it.
    #[error("a datagram of {size} bytes gets no receipt: it takes {} at least", Receipt::LEN)]
    NoReceipt {
        /// The plan's shortest payload in bytes.
        size: u32,
    },
    /// The server takes no payloads as long as the plan has.
    #[error("a size of {size} bytes is more than the {max} that {endpoint} takes")]
    TooLarge {
        /// The server.
        endpoint: Endpoint,
        /// The plan's longest payload in bytes.
        size: u32,
        /// The server's limit in bytes.
        max: u32,
    },
}

/// What the clients of one worker share.
#[derive(Debug)]
pub struct Place {
    /// What all workers share.
    pub shared: Arc<Shared>,
    /// Wakes them for their frames, and when the run moves on.
    pub alarms: Alarms,
    /// Their buffers and measurements.
    pub bench: RefCell<Bench>,
    /// Where they tell.
    pub told: mpsc::Sender<Told>,
    /// Lets so many of them connect at the same time.
    pub connecting: Semaphore,
    /// When the first of them may connect.
    pub started: Instant,
}

/// A client over all its connections, one after the other.
#[derive(Debug)]
pub struct Client {
    /// Its seat at its worker, by which it is woken.
    pub seat: usize,
    /// Its number in the run, from 0.
    pub connection: u32,
    /// When its frames are due.
    pub turn: Turn,
    /// The number of its next frame.
    pub number: u64,
    /// Draws the lengths of its payloads.
    pub sizes: fastrand::Rng,
    /// Whether it has tried to connect before.
    has_tried: bool,
    /// Connections in a row that could not be had, or gave nothing.
    failures: u32,
}

impl Client {
    pub(crate) fn new(plan: &Plan, seat: usize, connection: u32) -> Self {
        let seed = plan.seed.rotate_left(32) ^ u64::from(connection);
        Self {
            seat,
            connection,
            turn: Turn::new(plan, connection),
            number: 0,
            sizes: fastrand::Rng::with_seed(seed),
            has_tried: false,
            failures: 0,
        }
    }
}

/// Lives as client number `connection` of the run, in the worker's seat `seat`.
pub async fn live(place: Rc<Place>, seat: usize, connection: u32) {
    let mut client = Client::new(&place.shared.plan, seat, connection);
    place.await_turn(&client).await;
    loop {
        // A `while let` would keep room for it here until the exchange is over.
        let Some(opened) = place.connect(&mut client).await else { break };
        let (ended, was_answered) = place.exchange(&mut client, opened).await;
        client.failures = if was_answered { 0 } else { client.failures + 1 };
        if !place.may_go_on(connection, ended, was_answered) {
            break;
        }
    }
    place.leave_unsent(&mut client);
    if !matches!(client.turn, Turn::Idle) {
        place.tell(Told::Over);
    }
}

impl Place {
    fn is_sending(&self) -> bool {
        self.shared.phase() <= Phase::Sending
    }

    fn tell(&self, told: Told) {
        // A run that has been given up listens no more.
        let _ = self.told.send(told);
    }

    /// Notes something that is no frame's. What comes before the first frame is the run's, and not
    /// its warm-up's.
    fn measured(&self, note: impl FnOnce(&mut Measured)) {
        let mut bench = self.bench.borrow_mut();
        let is_warmup = self.shared.phase() > Phase::Connecting && bench.is_warming_up();
        note(bench.interval.of(is_warmup));
    }

    fn target(&self, connection: u32) -> &Endpoint {
        let targets = &self.shared.plan.targets;
        &targets[connection as usize % targets.len()]
    }

    /// What went wrong, and where, if there is more than one target.
    fn of_target(&self, connection: u32, why: String) -> String {
        match self.shared.plan.targets.len() {
            1 => why,
            _ => format!("{}: {why}", self.target(connection)),
        }
    }

    /// Waits for `future`, but no longer than new connections make sense. It is kept in a box,
    /// because it is soon over and what lives as long as the client should be small.
    fn while_sending<F: Future>(
        &self,
        client: &Client,
        future: F,
    ) -> impl Future<Output = Option<F::Output>> {
        let (seat, mut future) = (client.seat, Box::pin(future));
        poll_fn(move |cx| {
            if !self.is_sending() {
                return Poll::Ready(None);
            }
            self.alarms.listen(seat, cx.waker());
            future.as_mut().poll(cx).map(Some)
        })
    }

    /// Waits until this client may connect for the first time.
    async fn await_turn(&self, client: &Client) {
        if let Some(rate) = self.shared.plan.connect_rate {
            let wait = Duration::try_from_secs_f64(f64::from(client.connection) / rate);
            let turn = self.started + wait.unwrap_or(Duration::MAX / 4);
            self.while_sending(client, sleep_until(turn)).await;
        }
    }

    /// Tries to open a connection until there is one. `None` if there will be none.
    async fn connect(&self, client: &mut Client) -> Option<Opened> {
        while self.is_sending() {
            self.pause(client).await;
            let is_first = !client.has_tried;
            match self.open(client).await? {
                Ok(opened) => {
                    if is_first {
                        self.tell(Told::Connected(Ok(())));
                    }
                    return Some(opened);
                }
                Err(error) => {
                    client.failures += 1;
                    self.tell(if is_first {
                        Told::Connected(Err(error))
                    } else {
                        Told::Failed { why: error.to_string(), unless_answered: None }
                    });
                    if !self.shared.plan.life.reconnect {
                        return None;
                    }
                }
            }
        }
        None
    }

    async fn pause(&self, client: &Client) {
        if client.failures > 0 {
            let pause = FIRST_PAUSE * (1 << (client.failures - 1).min(10));
            self.while_sending(client, sleep(pause.min(LONGEST_PAUSE))).await;
        }
    }

    /// Opens a connection; `None` if the run is over before it is there.
    async fn open(&self, client: &mut Client) -> Option<Result<Opened, OpenError>> {
        // First, so that only as many as may connect have the memory that it takes.
        let _permit = self.while_sending(client, self.connecting.acquire()).await?;
        let connection = client.connection;
        let opened = self.while_sending(client, async move {
            let began = Instant::now();
            let options = options(&self.shared.plan, connection);
            let opened = open(self.target(connection), &options).await;
            (opened, began.elapsed())
        });
        let (opened, took) = opened.await?;
        let is_reconnect = mem::replace(&mut client.has_tried, true);
        Some(opened.map_err(OpenError::Connect).and_then(|opened| {
            let handshake = opened.stream.handshake();
            self.measured(|measured| {
                let apart = handshake.map_or(Duration::ZERO, |handshake| {
                    measured.handshake.record(nanos(handshake.took), 1);
                    measured.resumed += u64::from(handshake.resumed);
                    handshake.took
                });
                measured.connect.record(nanos(took.saturating_sub(apart)), 1);
                measured.reconnects += u64::from(is_reconnect);
            });
            self.check(client, opened)
        }))
    }

    /// Whether the plan's frames can be sent there, and give the replies that were asked for.
    fn check(&self, client: &Client, opened: Opened) -> Result<Opened, OpenError> {
        let plan = &self.shared.plan;
        if let Some(wanted) = plan.reply
            && wanted != opened.reply
        {
            return Err(OpenError::NotGranted { wanted, granted: opened.reply });
        }
        if opened.stream.is_of_datagrams() && opened.reply == ReplyKind::Ack {
            let size = plan.shortest();
            if (size as usize) < Receipt::LEN {
                return Err(OpenError::NoReceipt { size });
            }
        }
        let (size, max) = (plan.longest(), opened.max_frame.get());
        if size > max {
            let endpoint = self.target(client.connection).clone();
            return Err(OpenError::TooLarge { endpoint, size, max });
        }
        Ok(opened)
    }

    /// Exchanges frames over a connection until it or the run is over; tells also whether any
    /// reply was right.
    fn exchange<'a>(
        &'a self,
        client: &'a mut Client,
        opened: Opened,
    ) -> impl Future<Output = (Ended, bool)> {
        let (seat, is_idle) = (client.seat, matches!(client.turn, Turn::Idle));
        let mut exchange = Exchange::new(opened, &self.shared, client);
        let mut last_look = None;
        // One state machine by hand: an async block would keep each of its parts twice.
        poll_fn(move |cx| {
            self.alarms.listen(seat, cx.waker());
            let mut bench = self.bench.borrow_mut();
            if self.shared.phase() >= Phase::Sending {
                // Whether the worker has heard of it before or not.
                bench.begin(self.shared.began());
            } else if !is_idle {
                return Poll::Pending;
            }
            if last_look.is_none() {
                match exchange.poll(cx, &mut bench) {
                    Poll::Ready(Ended::Done) if self.shared.phase() < Phase::Expired => {
                        last_look = Some(Box::pin(sleep(LAST_LOOK)));
                    }
                    Poll::Ready(ended) => return Poll::Ready((ended, exchange.was_answered())),
                    Poll::Pending => {
                        if let Some(instant) = exchange.alarm() {
                            self.alarms.set(instant, seat);
                        }
                        return Poll::Pending;
                    }
                }
            }
            // A server that does not close is not waited for.
            let is_over = last_look.as_mut().is_some_and(|look| look.as_mut().poll(cx).is_ready());
            let behind = match exchange.poll_behind(cx, &mut bench) {
                Poll::Pending if is_over => Poll::Ready(None),
                behind => behind,
            };
            behind.map(|failed| (failed.unwrap_or(Ended::Done), exchange.was_answered()))
        })
    }

    /// Whether another connection is to follow one that ended so. Tells of what was not planned.
    fn may_go_on(&self, connection: u32, ended: Ended, was_answered: bool) -> bool {
        match ended {
            Ended::Done => false,
            Ended::Spent => true,
            Ended::GoAway(reason) => {
                self.measured(|measured| measured.goaways += 1);
                self.tell(Told::GoAway(reason));
                self.shared.plan.life.reconnect
            }
            Ended::Failed(loss, why) => {
                let targets = &self.shared.plan.targets[..];
                let unless_answered: Option<fn(String) -> End> = match (loss, targets) {
                    _ if was_answered => None,
                    (Loss::Protocol, _) => Some(End::NotFramed),
                    // Of several targets another one may be there.
                    (Loss::Reset, [Endpoint::Udp(_)]) => Some(End::Unreachable),
                    _ => None,
                };
                let why = self.of_target(connection, why);
                self.tell(Told::Failed { why, unless_answered });
                self.shared.plan.life.reconnect
            }
        }
    }

    /// The frames that were planned until now and not sent have waited in vain.
    fn leave_unsent(&self, client: &mut Client) {
        if self.shared.is_spent() || !self.shared.has_begun() {
            return;
        }
        let mut bench = self.bench.borrow_mut();
        let now = bench.now();
        let stopped = self.shared.stopped().map_or(now, |stopped| bench.at(stopped));
        // Those of the warm-up are counted apart.
        for until in [stopped.min(bench.warmup.saturating_sub(1)), stopped] {
            while let Some((planned, frames)) = client.turn.give_up(until, now) {
                bench.left(planned, frames, now);
            }
        }
    }
}

fn options(plan: &Plan, connection: u32) -> Options {
    let mut options = Options::default();
    options.connect_timeout = plan.timeout;
    options.reply = plan.reply.unwrap_or_default();
    options.framing = plan.framing;
    options.proxy_header = plan.proxy_header;
    options.tls.clone_from(&plan.tls);
    options.local = plan.source(connection);
    options.hello =
        plan.hello.then(|| Hello { wanted: plan.reply, name: "volley-load".to_owned() });
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Its task then fits into 512 bytes, a multiple of the 128 to which Tokio aligns tasks. More
    /// would cost 128 bytes for each connection.
    #[test]
    fn the_future_of_a_client_stays_small() {
        fn future_len<F: Future>(_: impl FnOnce(Rc<Place>, usize, u32) -> F) -> usize {
            size_of::<F>()
        }
        assert!(future_len(live) <= 408, "{} bytes", future_len(live));
    }
}
