//! A worker: a thread with a runtime of its own, its share of the connections, and their
//! measurements. Workers share nothing while frames are sent.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::watch;
use tokio::task::LocalSet;
use tokio::time::{Instant, interval_at, sleep};
use volley_client::{Hello, Opened, Options, open};

use crate::bench::Bench;
use crate::exchange::{Client, Ended, Exchange, Terms};
use crate::interval::Interval;
use crate::pace::Turn;
use crate::pacer::{Alarms, pace};
use crate::shared::{Phase, Shared};

/// How often a worker hands over what it has measured.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// The pauses before a connection is opened again that could not be: doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What a worker tells the run.
#[derive(Debug)]
pub enum Told {
    /// A connection is there for the first time, or could not be had.
    Connected(Result<(), volley_client::Error>),
    /// A connection failed in the middle of the run.
    Failed(String),
    /// The measurements since the last one.
    Measured(Box<Interval>),
    /// The worker is done; the processor time that its thread took.
    Done(Duration),
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

/// What the tasks of one worker share.
struct Place {
    shared: Arc<Shared>,
    alarms: Alarms,
    bench: RefCell<Bench>,
    phases: watch::Receiver<Phase>,
    told: mpsc::Sender<Told>,
}

impl Worker {
    /// Runs to the end of the run, on the thread that calls it.
    ///
    /// # Errors
    ///
    /// When the system gives no runtime or no timer.
    pub fn run(self) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let told = self.told.clone();
        LocalSet::new().block_on(&runtime, self.serve())?;
        // A run that has been given up listens no more.
        let _ = told.send(Told::Done(thread_time()));
        Ok(())
    }

    async fn serve(self) -> io::Result<()> {
        let Self { shared, connections, mut phases, told } = self;
        let is_open = !matches!(shared.plan.pace, crate::plan::Pace::Closed);
        let warmup = u64::try_from(shared.plan.warmup.as_nanos()).unwrap_or(u64::MAX);
        let place = Rc::new(Place {
            alarms: Alarms::new(connections.len()),
            bench: RefCell::new(Bench::new(shared.began(), warmup, is_open)),
            phases: phases.clone(),
            shared,
            told,
        });
        let mut clients = tokio::task::JoinSet::new();
        for (seat, &connection) in connections.iter().enumerate() {
            clients.spawn_local(live(Rc::clone(&place), seat, connection));
        }
        let mut ticks = interval_at(Instant::now() + INTERVAL, INTERVAL);
        let timeout = place.shared.plan.timeout;
        let sweep = (timeout / 4).clamp(Duration::from_millis(5), Duration::from_secs(1));
        let mut sweeps = interval_at(Instant::now() + sweep, sweep);
        let pacer = pace(&place.alarms, || place.bench.borrow().now());
        tokio::pin!(pacer);
        loop {
            // All branches are cancel safe.
            tokio::select! {
                failed = &mut pacer => return failed,
                done = clients.join_next() => if done.is_none() { break },
                changed = phases.changed() => {
                    if changed.is_err() { break }
                    place.bench.borrow_mut().begin(place.shared.began());
                    if *phases.borrow_and_update() == Phase::Sending { ticks.reset() }
                    place.alarms.wake_all();
                }
                _ = sweeps.tick() => {
                    let mut bench = place.bench.borrow_mut();
                    bench.expired = bench.now().checked_sub(nanos(timeout));
                    drop(bench);
                    place.alarms.wake_all();
                }
                _ = ticks.tick() => place.hand_over(),
            }
        }
        place.hand_over();
        Ok(())
    }
}

impl Place {
    /// Tells what has been measured since the last time.
    fn hand_over(&self) {
        let fresh = {
            let bench = self.bench.borrow();
            bench.interval.like()
        };
        let measured = std::mem::replace(&mut self.bench.borrow_mut().interval, fresh);
        let _ = self.told.send(Told::Measured(Box::new(measured)));
    }

    fn is_sending(&self) -> bool {
        self.shared.phase() <= Phase::Sending
    }
}

/// A client's life: one connection after the other, until the run is over.
async fn live(place: Rc<Place>, seat: usize, connection: u32) {
    let plan = &place.shared.plan;
    let mut client = Client {
        connection,
        turn: Turn::new(plan, connection),
        number: 0,
        sizes: fastrand::Rng::with_seed(plan.seed.rotate_left(32) ^ u64::from(connection)),
    };
    let mut is_first = true;
    let mut pause = FIRST_PAUSE;
    let mut phases = place.phases.clone();
    while place.is_sending() {
        let began = Instant::now();
        let target = &plan.targets[connection as usize % plan.targets.len()];
        let opened = open(target, &options(&place.shared)).await;
        let opened = match opened {
            Ok(opened) => {
                let mut bench = place.bench.borrow_mut();
                bench.interval.connect.record(nanos(began.elapsed()), 1);
                bench.interval.reconnects += u64::from(!is_first);
                pause = FIRST_PAUSE;
                opened
            }
            Err(error) => {
                let told = if is_first {
                    Told::Connected(Err(error))
                } else {
                    Told::Failed(error.to_string())
                };
                let _ = place.told.send(told);
                is_first = false;
                if !plan.life.reconnect {
                    return;
                }
                tokio::select! {
                    () = sleep(pause) => {}
                    _ = phases.wait_for(|phase| *phase > Phase::Sending) => {}
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
                continue;
            }
        };
        if is_first {
            is_first = false;
            let _ = place.told.send(Told::Connected(Ok(())));
        }
        if phases.wait_for(|phase| *phase >= Phase::Sending).await.is_err() {
            return;
        }
        let Opened { stream, reply, max_frame, early, .. } = opened;
        let terms = Terms { kind: reply, max_frame };
        let shared = Arc::clone(&place.shared);
        let mut exchange = Exchange::new(stream, shared, &mut client, terms, &early);
        let ended = poll_fn(|cx| {
            place.alarms.listen(seat, cx.waker());
            let polled = exchange.poll(cx, &mut place.bench.borrow_mut());
            if polled.is_pending()
                && let Some(instant) = exchange.alarm()
            {
                place.alarms.set(instant, seat);
            }
            polled
        })
        .await;
        match ended {
            Ended::Done => return,
            Ended::Spent | Ended::GoAway => {}
            Ended::Failed(_, why) => {
                let _ = place.told.send(Told::Failed(why));
                if !plan.life.reconnect {
                    return;
                }
            }
        }
    }
}

fn options(shared: &Shared) -> Options {
    let plan = &shared.plan;
    let mut options = Options::default();
    options.connect_timeout = plan.timeout;
    options.reply = plan.reply.unwrap_or_default();
    options.hello =
        plan.hello.then(|| Hello { wanted: plan.reply, name: "volley-load".to_owned() });
    options
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Processor time of the calling thread.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}
