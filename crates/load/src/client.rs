//! A client's life: one connection after the other, until the run is over.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use volley_client::{Hello, Opened, Options, open};
use volley_proto::{Endpoint, ReplyKind};

use crate::bench::Bench;
use crate::exchange::{Ended, Exchange};
use crate::interval::Measured;
use crate::ledger::Loss;
use crate::pace::Turn;
use crate::pacer::Alarms;
use crate::plan::{Plan, nanos};
use crate::shared::{Phase, Shared};
use crate::worker::Told;

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
    /// Wakes them for their frames.
    pub alarms: Alarms,
    /// Their buffers and measurements.
    pub bench: RefCell<Bench>,
    /// Changes when the run moves on.
    pub phases: watch::Receiver<Phase>,
    /// Where they tell.
    pub told: mpsc::Sender<Told>,
    /// Lets so many of them connect at the same time.
    pub connecting: Semaphore,
    /// When the first of them may connect.
    pub started: Instant,
}

/// The frames of a client over all its connections, one after the other.
#[derive(Debug)]
pub struct Client {
    /// The client's number in the run, from 0.
    pub connection: u32,
    /// When its frames are due.
    pub turn: Turn,
    /// The number of its next frame.
    pub number: u64,
    /// Draws the lengths of its payloads.
    pub sizes: fastrand::Rng,
}

impl Client {
    fn new(plan: &Plan, connection: u32) -> Self {
        let seed = plan.seed.rotate_left(32) ^ u64::from(connection);
        Self {
            connection,
            turn: Turn::new(plan, connection),
            number: 0,
            sizes: fastrand::Rng::with_seed(seed),
        }
    }
}

/// Lives as client number `connection` of the run, in the worker's seat `seat`.
pub async fn live(place: Rc<Place>, seat: usize, connection: u32) {
    let plan = &place.shared.plan;
    let mut client = Client::new(plan, connection);
    place.await_turn(connection).await;
    let mut is_first = true;
    // Connections in a row that could not be had, or gave nothing.
    let mut failures = 0;
    while place.is_sending() {
        place.pause(failures).await;
        // In a box, because it is large and soon over.
        let Some(opened) = Box::pin(place.open(&client, is_first)).await else { break };
        let may_go_on = match opened {
            Err(error) => {
                failures += 1;
                place.tell(if is_first {
                    Told::Connected(Err(error))
                } else {
                    Told::Failed { why: error.to_string(), is_framed: true }
                });
                plan.life.reconnect
            }
            Ok(opened) => {
                if is_first {
                    place.tell(Told::Connected(Ok(())));
                }
                let (ended, was_answered) = place.exchange(seat, &mut client, opened).await;
                failures = if was_answered { 0 } else { failures + 1 };
                match ended {
                    Ended::Done => false,
                    Ended::Spent => true,
                    Ended::GoAway(reason) => {
                        place.measured(|measured| measured.goaways += 1);
                        place.tell(Told::GoAway(reason));
                        plan.life.reconnect
                    }
                    Ended::Failed(loss, why) => {
                        let is_framed = loss != Loss::Protocol || was_answered;
                        place.tell(Told::Failed {
                            why: place.of_target(connection, why),
                            is_framed,
                        });
                        plan.life.reconnect
                    }
                }
            }
        };
        if !may_go_on {
            break;
        }
        is_first = false;
    }
    place.leave_unsent(&mut client);
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

    /// Waits for `future`, but no longer than new connections make sense.
    async fn while_sending<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut phases = self.phases.clone();
        // Cancel safe: what has been begun is of no use when the run is over.
        tokio::select! {
            done = future => Some(done),
            _ = phases.wait_for(|phase| *phase > Phase::Sending) => None,
        }
    }

    /// Waits until this connection may be opened for the first time.
    async fn await_turn(&self, connection: u32) {
        if let Some(rate) = self.shared.plan.connect_rate {
            let wait = Duration::try_from_secs_f64(f64::from(connection) / rate);
            let turn = self.started + wait.unwrap_or(Duration::MAX / 4);
            self.while_sending(sleep_until(turn)).await;
        }
    }

    async fn pause(&self, failures: u32) {
        if failures > 0 {
            let pause = FIRST_PAUSE * (1 << (failures - 1).min(10));
            self.while_sending(sleep(pause.min(LONGEST_PAUSE))).await;
        }
    }

    /// Opens a connection; `None` if the run is over before it is there.
    async fn open(&self, client: &Client, is_first: bool) -> Option<Result<Opened, OpenError>> {
        let opened = self.while_sending(async {
            let _permit = self.connecting.acquire().await;
            let began = Instant::now();
            let target = self.target(client.connection);
            let options = options(&self.shared.plan, client.connection);
            let opened = open(target, &options).await;
            (opened, began.elapsed())
        });
        let (opened, took) = opened.await?;
        Some(opened.map_err(OpenError::Connect).and_then(|opened| {
            self.measured(|measured| {
                measured.connect.record(nanos(took), 1);
                measured.reconnects += u64::from(!is_first);
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
        let (size, max) = (plan.longest(), opened.max_frame.get());
        if size > max {
            let endpoint = self.target(client.connection).clone();
            return Err(OpenError::TooLarge { endpoint, size, max });
        }
        Ok(opened)
    }

    /// Exchanges frames over a connection until it or the run is over; tells also whether any
    /// reply was right.
    async fn exchange(&self, seat: usize, client: &mut Client, opened: Opened) -> (Ended, bool) {
        if !matches!(client.turn, Turn::Idle) {
            let mut phases = self.phases.clone();
            // The run outlives its workers.
            let _ = phases.wait_for(|phase| *phase >= Phase::Sending).await;
            // Whether the worker has heard of it before or not.
            self.bench.borrow_mut().begin(self.shared.began());
        }
        let mut exchange = Exchange::new(opened, Arc::clone(&self.shared), client);
        let ended = poll_fn(|cx| {
            self.alarms.listen(seat, cx.waker());
            let polled = exchange.poll(cx, &mut self.bench.borrow_mut());
            if polled.is_pending()
                && let Some(instant) = exchange.alarm()
            {
                self.alarms.set(instant, seat);
            }
            polled
        });
        let mut ended = ended.await;
        if matches!(ended, Ended::Done) && self.shared.phase() < Phase::Expired {
            let behind = poll_fn(|cx| exchange.poll_behind(cx, &mut self.bench.borrow_mut()));
            // A server that does not close is not waited for.
            if let Ok(Some(failed)) = timeout(LAST_LOOK, behind).await {
                ended = failed;
            }
        }
        (ended, exchange.was_answered())
    }

    /// The frames that were planned until now and not sent have waited in vain.
    fn leave_unsent(&self, client: &mut Client) {
        if self.shared.is_spent() || !self.shared.has_begun() {
            return;
        }
        let mut bench = self.bench.borrow_mut();
        let now = bench.now();
        let stopped = self.shared.stopped().map_or(now, |stopped| bench.at(stopped));
        while let Some(planned) = client.turn.give_up(stopped) {
            bench.left(planned, now);
        }
    }
}

fn options(plan: &Plan, connection: u32) -> Options {
    let mut options = Options::default();
    options.connect_timeout = plan.timeout;
    options.reply = plan.reply.unwrap_or_default();
    options.local = plan.source(connection);
    options.hello =
        plan.hello.then(|| Hello { wanted: plan.reply, name: "volley-load".to_owned() });
    options
}
