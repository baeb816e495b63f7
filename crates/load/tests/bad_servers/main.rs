//! Runs against servers that are wrong in a known set of frames: each of these frames ends in its
//! column, every other one is right, and the run goes on.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, also in what it calls")]
#![expect(clippy::expect_used, reason = "a test that panics has failed, also in what it calls")]

mod corrupt;
mod ends;
mod misroute;
mod order;
#[path = "../scripted/mod.rs"]
mod scripted;
mod short;
mod unanswered;

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use scripted::{Count, Fault, Script, Server};
use volley_load::measure::ledger::{Column, Ledger};
use volley_load::plan::schedule::{Phase, Schedule};
use volley_load::plan::sizes::Sizes;
use volley_load::plan::{Arrivals, Life, Pace, Plan, Stop};
use volley_load::run::{End, Outcome, Run};
use volley_proto::ReplyKind;

/// No test comes near it; a hang ends here.
const LIMIT: Duration = Duration::from_secs(60);

/// How long a reply is awaited where all come that will.
const LONG: Duration = Duration::from_secs(30);

/// How long a reply is awaited that does not come. No other one takes as long.
const SHORT: Duration = Duration::from_secs(2);

/// One way to use a server.
#[derive(Clone, Copy, Debug)]
struct Way {
    reply: ReplyKind,
    pipeline: u32,
    hello: bool,
}

/// Each reply, one frame in flight or eight, with and without HELLO.
const WAYS: [Way; 8] = [
    Way { reply: ReplyKind::Echo, pipeline: 1, hello: true },
    Way { reply: ReplyKind::Echo, pipeline: 8, hello: true },
    Way { reply: ReplyKind::Ack, pipeline: 1, hello: true },
    Way { reply: ReplyKind::Ack, pipeline: 8, hello: true },
    Way { reply: ReplyKind::Echo, pipeline: 1, hello: false },
    Way { reply: ReplyKind::Echo, pipeline: 8, hello: false },
    Way { reply: ReplyKind::Ack, pipeline: 1, hello: false },
    Way { reply: ReplyKind::Ack, pipeline: 8, hello: false },
];

/// A hundred frames on one connection. It is opened again if it must be.
fn plan(way: Way, server: &Server) -> Plan {
    Plan {
        targets: vec![server.endpoint()],
        connections: 1,
        pipeline: way.pipeline,
        sizes: Sizes::Fixed(64),
        hello: way.hello,
        reply: Some(way.reply),
        stop: Stop { duration: None, frames: Some(100) },
        timeout: LONG,
        life: Life { frames: None, reconnect: true },
        ..Plan::default()
    }
}

/// Makes it a plan for two connections with 50 frames each, however fast either is.
fn share(plan: &mut Plan) {
    let phase = Phase { from: 2000.0, to: 2000.0, duration: Duration::from_millis(50) };
    let schedule = Schedule::phases(&[phase], 1).unwrap();
    plan.connections = 2;
    plan.pace = Pace::Open { schedule, arrivals: Arrivals::Constant };
}

/// What came of a run, and what its server has counted.
struct Played {
    way: Way,
    outcome: Outcome,
    count: Count,
}

/// Runs a hundred frames against a server that does this to these frames of each connection.
fn play(way: Way, fault: Fault, at: &[u64]) -> Played {
    play_with(way, fault, at, |_| {})
}

/// As [`play`], with a plan that is changed before.
fn play_with(way: Way, fault: Fault, at: &[u64], change: impl FnOnce(&mut Plan)) -> Played {
    let pipeline = u64::from(way.pipeline);
    let script = Script { fault, at: at.to_vec(), pipeline, reply: way.reply, ..Script::default() };
    let server = Server::start(script);
    let mut plan = plan(way, &server);
    change(&mut plan);
    let outcome = run(plan);
    Played { way, outcome, count: server.finish() }
}

/// Runs a plan to its end.
fn run(plan: Plan) -> Outcome {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let outcome = Run::start(plan).unwrap().finish(&mut ()).unwrap();
        tell.send(outcome).unwrap();
    });
    told.recv_timeout(LIMIT).expect("the run ends")
}

impl Played {
    /// The plan was carried out, and these columns have frames: no others.
    #[track_caller]
    fn ends_with<const N: usize>(&self, columns: [(Column, u64); N]) {
        let ledger = &self.outcome.total.run.ledger;
        assert_eq!(ledger.filled(), BTreeMap::from(columns), "{:?}", self.way);
        assert_eq!(self.outcome.end, End::Planned, "{:?}", self.outcome.problems);
        self.balances();
    }

    /// No connection had a problem.
    #[track_caller]
    fn has_no_problem(&self) {
        assert!(self.outcome.problems.is_empty(), "{:?}: {:?}", self.way, self.outcome.problems);
    }

    /// Both sides have counted the same frames, and each is in one column and has one latency.
    #[track_caller]
    fn balances(&self) {
        let run = &self.outcome.total.run;
        assert_eq!((run.ledger.sent(), run.ledger.imbalance()), (self.count.received(), 0));
        assert_eq!(run.service.histogram().len(), run.ledger.sent());
        assert_eq!(self.outcome.total.warmup.ledger, Ledger::default());
    }
}

/// Does all of it at the same time, for what takes a while.
fn for_each<T: Copy + Send + Sync>(cases: &[T], test: impl Fn(T) + Sync) {
    let test = &test;
    thread::scope(|scope| {
        for &case in cases {
            scope.spawn(move || test(case));
        }
    });
}

#[test]
fn a_server_without_a_fault_answers_all() {
    for way in WAYS {
        let played = play(way, Fault::None, &[]);
        played.ends_with([(Column::Ok, 100)]);
        assert_eq!((played.count.answered, played.count.connections.len()), (100, 1));
    }
}
