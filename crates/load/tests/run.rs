//! Runs against the real server in this process: the ledger of each must balance.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use volley_load::measure::interval::Interval;
use volley_load::measure::ledger::{Column, Loss};
use volley_load::plan::schedule::Schedule;
use volley_load::plan::sizes::Sizes;
use volley_load::plan::{Arrivals, Life, Pace, Plan, Stop};
use volley_load::run::shared::Phase;
use volley_load::run::{Control, End, Outcome, Progress, Run, RunError, Watch};
use volley_proto::{Control as Frame, Endpoint, MaxFrame, Reason, ReplyKind, Text, UnixAddress};
use volley_server::{Books, Config, Listener, Server, UnixAccess, bind, bind_unix};

/// A server on a thread of its own.
struct Target {
    endpoint: Endpoint,
    stop: oneshot::Sender<()>,
    thread: thread::JoinHandle<Books>,
}

impl Target {
    fn start(config: Config) -> Self {
        Self::start_on(config, || bind("127.0.0.1:0".parse().unwrap()).unwrap())
    }

    /// Where `listen` says.
    fn start_on<L: Listener>(config: Config, listen: impl FnOnce() -> L + Send + 'static) -> Self {
        let (tell, told) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let server = Server::new(listen(), config).unwrap();
                tell.send(server.handle().endpoint().clone()).unwrap();
                server.run(stopped).await.unwrap()
            })
        });
        Self { endpoint: told.recv().unwrap(), stop, thread }
    }

    fn finish(self) -> Books {
        self.stop.send(()).unwrap();
        self.thread.join().unwrap()
    }
}

fn plan(target: &Target) -> Plan {
    Plan {
        targets: vec![target.endpoint.clone()],
        connections: 4,
        pipeline: 8,
        sizes: Sizes::Range(0, 300),
        stop: Stop { duration: None, frames: Some(5000) },
        timeout: Duration::from_secs(20),
        threads: 2,
        ..Plan::default()
    }
}

fn run(plan: Plan) -> Outcome {
    Run::start(plan).unwrap().finish(&mut ()).unwrap()
}

/// All frames came back right, and the latencies are theirs.
fn all_is_well(outcome: &Outcome, frames: u64) {
    let ledger = &outcome.total.run.ledger;
    assert_eq!((ledger.sent(), ledger.imbalance()), (frames, 0), "{:?}", outcome.problems);
    assert_eq!(ledger.count(Column::Ok), frames);
    assert_eq!(outcome.total.run.service.histogram().len(), frames);
    assert!(outcome.end == End::Planned && outcome.problems.is_empty(), "{:?}", outcome.problems);
}

#[test]
fn a_closed_loop_sends_as_many_frames_as_the_plan_has() {
    for reply in [ReplyKind::Echo, ReplyKind::Ack] {
        let target = Target::start(Config::default());
        let outcome = run(Plan { reply: Some(reply), ..plan(&target) });
        all_is_well(&outcome, 5000);
        assert_eq!(outcome.connected, 4);
        let books = target.finish();
        assert_eq!((books.accepted, books.frames_answered), (4, 5000));
        assert_eq!(outcome.total.run.bytes_sent, books.payload_bytes);
    }
}

#[test]
fn an_open_loop_sends_every_planned_frame_and_tells_its_delay() {
    for arrivals in [Arrivals::Constant, Arrivals::Poisson] {
        let target = Target::start(Config::default());
        let schedule = Schedule::steady(20_000.0, 1).unwrap();
        let pace = Pace::Open { schedule, arrivals };
        let outcome = run(Plan { pace, hello: false, ..plan(&target) });
        all_is_well(&outcome, 5000);
        assert_eq!(outcome.total.run.response.histogram().len(), 5000);
        assert_eq!(outcome.total.run.send_delay.histogram().len(), 5000);
        target.finish();
    }
}

#[test]
fn a_unix_socket_is_a_target_like_any_other() {
    let directory = tempfile::tempdir().unwrap();
    let address = UnixAddress::from_path(directory.path().join("volley.sock")).unwrap();
    let schedule = Schedule::steady(20_000.0, 1).unwrap();
    for pace in [Pace::Closed, Pace::Open { schedule, arrivals: Arrivals::Constant }] {
        for reply in [ReplyKind::Echo, ReplyKind::Ack] {
            let address = address.clone();
            let listen = move || bind_unix(&address, &UnixAccess::default()).unwrap();
            let target = Target::start_on(Config::default(), listen);
            let (pace, sizes) = (pace.clone(), Sizes::Range(0, 3000));
            let life = Life { frames: Some(500), reconnect: true };
            let outcome = run(Plan { pace, sizes, life, reply: Some(reply), ..plan(&target) });
            all_is_well(&outcome, 5000);
            let books = target.finish();
            assert_eq!(books.frames_answered, 5000);
            assert!(books.accepted >= 10, "{books:?}");
        }
    }
}

#[test]
fn the_clock_of_every_frame_begins_with_the_run() {
    // Not with the first connection.
    for _ in 0..8 {
        let target = Target::start(Config::default());
        let pace = Pace::Open {
            schedule: Schedule::steady(2000.0, 1).unwrap(),
            arrivals: Arrivals::Constant,
        };
        let (connections, connect_rate) = (40, Some(400.0));
        let plan = Plan { pace, connections, connect_rate, threads: 1, ..plan(&target) };
        let stop = Stop { duration: None, frames: Some(200) };
        let outcome = run(Plan { stop, ..plan });
        all_is_well(&outcome, 200);
        // No reply comes at the instant at which its frame is written.
        let shortest = outcome.total.run.service.histogram().min();
        assert!(shortest > 1000, "{shortest} ns");
        target.finish();
    }
}

#[test]
fn a_warm_up_is_left_out_of_every_figure_and_has_a_ledger_of_its_own() {
    let target = Target::start(Config::default());
    let pace = Pace::Open {
        schedule: Schedule::steady(10_000.0, 1).unwrap(),
        arrivals: Arrivals::Constant,
    };
    let warmup = Duration::from_millis(100);
    let outcome = run(Plan { pace, warmup, ..plan(&target) });
    let (warmup, run) = (&outcome.total.warmup.ledger, &outcome.total.run.ledger);
    // 100 ms at 10 frames a millisecond.
    assert_eq!((warmup.sent(), warmup.imbalance()), (1000, 0));
    assert_eq!((run.sent(), run.imbalance()), (5000, 0));
    assert_eq!(outcome.total.run.service.histogram().len(), 5000);
    target.finish();
}

#[test]
fn connections_that_are_spent_are_opened_anew() {
    let target = Target::start(Config::default());
    let life = Life { frames: Some(10), reconnect: true };
    let outcome = run(Plan { life, reply: Some(ReplyKind::Ack), ..plan(&target) });
    all_is_well(&outcome, 5000);
    let books = target.finish();
    assert!(books.accepted >= 500, "{books}");
    // Each client may have been about to open another one when the last frame was sent.
    let reconnects = outcome.total.run.reconnects;
    assert!((books.accepted - 8..=books.accepted - 4).contains(&reconnects), "{reconnects}");
}

#[test]
fn a_schedule_that_ends_ends_the_run_also_with_idle_connections() {
    let target = Target::start(Config::default());
    let phase = volley_load::plan::schedule::Phase {
        from: 5000.0,
        to: 5000.0,
        duration: Duration::from_millis(100),
    };
    let schedule = Schedule::phases(&[phase], 1).unwrap();
    let pace = Pace::Open { schedule, arrivals: Arrivals::Constant };
    let stop = Stop::default();
    let plan = Plan { pace, stop, idle: 3, ..plan(&target) };
    let (tell, told) = std::sync::mpsc::channel();
    thread::spawn(move || tell.send(run(plan)).is_ok());
    let outcome = told.recv_timeout(Duration::from_secs(30)).unwrap();
    all_is_well(&outcome, 500);
    assert_eq!(outcome.sending, Duration::from_nanos(outcome.total.last_sent));
    assert_eq!(target.finish().accepted, 7);
}

#[test]
fn no_connection_is_opened_for_no_frame() {
    for _ in 0..20 {
        let target = Target::start(Config::default());
        let life = Life { frames: Some(2), reconnect: true };
        let stop = Stop { duration: None, frames: Some(10) };
        let outcome = run(Plan { connections: 1, life, stop, ..plan(&target) });
        all_is_well(&outcome, 10);
        assert_eq!((outcome.total.run.reconnects, target.finish().accepted), (4, 5));
    }
}

/// Stops the server in the middle of a run.
struct StopAfterASecond(Option<Target>);

impl Watch for StopAfterASecond {
    fn second(&mut self, _: i64, _: &Interval, _: u64) {
        drop(self.0.take().map(Target::finish));
    }
}

#[test]
fn a_server_that_goes_away_loses_nothing() {
    let target = Target::start(Config::default());
    let stop = Stop { duration: Some(Duration::from_secs(2)), frames: None };
    let life = Life { frames: None, reconnect: false };
    let run = Run::start(Plan { stop, life, ..plan(&target) }).unwrap();
    let mut stopper = StopAfterASecond(Some(target));
    let outcome = run.finish(&mut stopper).unwrap();
    let ledger = &outcome.total.run.ledger;
    assert!(ledger.sent() > 0 && stopper.0.is_none());
    assert_eq!(outcome.end, End::Failed("the server said GOAWAY: shutting down".to_owned()));
    assert_eq!((ledger.imbalance(), ledger.failed()), (0, 0), "{:?}", outcome.problems);
}

#[test]
fn what_a_dead_server_still_owed_is_lost_by_its_reason() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint: Endpoint = listener.local_addr().unwrap().into();
    let server = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut first = [0; 4];
        std::io::Read::read_exact(&mut &stream, &mut first).unwrap();
        // Closed with bytes unread: a reset.
        drop((stream, listener));
    });
    let target = Target::start(Config::default());
    let plan = Plan {
        targets: vec![endpoint],
        connections: 1,
        hello: false,
        sizes: Sizes::Fixed(64),
        life: Life { frames: None, reconnect: false },
        stop: Stop { duration: Some(Duration::from_secs(5)), frames: None },
        ..plan(&target)
    };
    let outcome = run(plan);
    server.join().unwrap();
    let ledger = &outcome.total.run.ledger;
    assert_eq!((ledger.sent(), ledger.count(Column::Lost(Loss::Reset))), (8, 8));
    assert_eq!(ledger.imbalance(), 0);
    assert_eq!(outcome.problems.len(), 1, "{:?}", outcome.problems);
    target.finish();
}

#[test]
fn what_comes_together_with_welcome_is_heard() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint: Endpoint = listener.local_addr().unwrap().into();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = Vec::new();
        let (granted, max_frame) = (ReplyKind::Echo, MaxFrame::DEFAULT);
        Frame::Welcome { granted, max_frame, text: Text::default() }.encode(&mut bytes);
        let text = Text::new("come back tomorrow");
        Frame::Error { reason: Reason::Denied, last_seq: 0, text }.encode(&mut bytes);
        stream.write_all(&bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let target = Target::start(Config::default());
    let life = Life { frames: None, reconnect: false };
    let outcome = run(Plan { targets: vec![endpoint], connections: 1, life, ..plan(&target) });
    server.join().unwrap();
    let problems: Vec<_> = outcome.problems.keys().collect();
    assert_eq!(problems, ["the server said: denied: come back tomorrow"]);
    assert_eq!(outcome.total.run.ledger.imbalance(), 0);
    target.finish();
}

#[test]
fn a_target_that_refuses_is_an_error() {
    let target = Target::start(Config::default());
    let plan = plan(&target);
    target.finish();
    let refused = Run::start(plan).unwrap().finish(&mut ());
    assert!(matches!(refused, Err(RunError::Open(_))), "{refused:?}");
}

/// Stops a run as soon as its first connection is there.
struct StopWhileConnecting(Control);

impl Watch for StopWhileConnecting {
    fn look(&mut self, progress: &Progress) {
        if progress.connected > 0 && progress.phase == Phase::Connecting {
            self.0.stop();
        }
    }
}

#[test]
fn a_run_that_is_stopped_before_its_first_frame_owes_none() {
    let target = Target::start(Config::default());
    let schedule = Schedule::steady(1000.0, 1).unwrap();
    let pace = Pace::Open { schedule, arrivals: Arrivals::Constant };
    let plan = Plan { pace, connect_rate: Some(4.0), ..plan(&target) };
    let run = Run::start(plan).unwrap();
    let mut stopper = StopWhileConnecting(run.control());
    let outcome = run.finish(&mut stopper).unwrap();
    assert_eq!(outcome.end, End::Stopped);
    let run = &outcome.total.run;
    assert_eq!((run.ledger.sent(), run.unsent, run.response.histogram().len()), (0, 0, 0));
    assert_eq!((outcome.sending, outcome.elapsed), (Duration::ZERO, Duration::ZERO));
    target.finish();
}

#[test]
fn a_thread_that_panics_is_a_defect_and_no_result() {
    for _ in 0..50 {
        // It is documented that there must be one.
        let plan = Plan { targets: Vec::new(), ..Plan::default() };
        let ended = Run::start(plan).unwrap().finish(&mut ());
        assert!(matches!(ended, Err(RunError::Defect)), "{:?}", ended.map(|outcome| outcome.end));
    }
}
