//! Datagrams through a relay that drops, doubles, swaps, delays and damages a known set of them: each
//! ends in its column, and every other one is right.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, also in what it calls")]

use std::collections::BTreeMap;
use std::env;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use volley_load::measure::ledger::{Column, Loss};
use volley_load::plan::schedule::{Phase, Schedule};
use volley_load::plan::sizes::Sizes;
use volley_load::plan::{Arrivals, Pace, Plan, Stop};
use volley_load::run::{Outcome, Run};
use volley_proto::{DatagramReply, Endpoint, ReplyKind};

/// No test comes near it; a hang ends here.
const LIMIT: Duration = Duration::from_secs(60);

/// How long a reply is awaited, and how long one is held back that shall be late.
const TIMEOUT: Duration = Duration::from_secs(1);
const DELAY: Duration = Duration::from_millis(1800);

/// The datagrams to which something happens, counted from 1 as they arrive.
const DROPPED: [u64; 3] = [10, 11, 57];
const DOUBLED: [u64; 2] = [20, 21];
const SWAPPED: u64 = 30;
const DELAYED: u64 = 40;
const DAMAGED: u64 = 50;

/// Answers datagrams, and does to each what shall be done to it. It ends with the test.
fn relay(kind: ReplyKind) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut room = vec![0; 65_536];
        let mut held = None;
        for number in 1_u64.. {
            let (len, from) = socket.recv_from(&mut room).unwrap();
            let mut reply = Vec::new();
            DatagramReply::to(&room[..len], kind, 1).unwrap().encode(&mut reply);
            if number == DAMAGED {
                // In the payload, behind what says whose it is; in a receipt, its checksum.
                let at = if kind == ReplyKind::Echo { len - 1 } else { 5 };
                reply[at] ^= 1;
            }
            let send = |reply: &[u8]| assert_eq!(socket.send_to(reply, from).unwrap(), reply.len());
            match number {
                number if DROPPED.contains(&number) => {}
                SWAPPED => held = Some(reply),
                DELAYED => {
                    let socket = socket.try_clone().unwrap();
                    thread::spawn(move || {
                        thread::sleep(DELAY);
                        // The run may be over if the machine was very slow.
                        let _ = socket.send_to(&reply, from);
                    });
                }
                _ => {
                    send(&reply);
                    if DOUBLED.contains(&number) {
                        send(&reply);
                    }
                    if let Some(held) = held.take() {
                        send(&held);
                    }
                }
            }
        }
    });
    address
}

/// A hundred datagrams to this server, with this many in flight at most.
fn plan(to: SocketAddr, reply: ReplyKind) -> Plan {
    Plan {
        targets: vec![Endpoint::Udp(to.into())],
        connections: 1,
        pipeline: 100,
        sizes: Sizes::Fixed(64),
        reply: Some(reply),
        stop: Stop { duration: None, frames: Some(100) },
        timeout: TIMEOUT,
        ..Plan::default()
    }
}

fn run(plan: Plan) -> Outcome {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let outcome = Run::start(plan).unwrap().finish(&mut ()).unwrap();
        tell.send(outcome).unwrap();
    });
    told.recv_timeout(LIMIT).unwrap()
}

/// The columns that are not empty, which must add up.
fn filled(outcome: &Outcome) -> BTreeMap<Column, u64> {
    let ledger = &outcome.total.run.ledger;
    assert_eq!((ledger.sent(), ledger.imbalance()), (100, 0), "{ledger:?}");
    ledger.filled()
}

#[test]
fn what_happens_to_datagrams_is_told_apart() {
    for kind in [ReplyKind::Echo, ReplyKind::Ack] {
        let mut plan = plan(relay(kind), kind);
        // So slowly that the delayed one comes before the last is sent.
        let phase = Phase { from: 25.0, to: 25.0, duration: Duration::from_secs(4) };
        let schedule = Schedule::phases(&[phase], 1).unwrap();
        plan.pace = Pace::Open { schedule, arrivals: Arrivals::Constant };
        let outcome = run(plan);
        // A damaged receipt says nothing of whose it is: it stands for the frame whose turn it is,
        // which is its own here.
        let expected = BTreeMap::from([
            (Column::Ok, 100 - 3 - 2 - 1 - 1 - 1),
            (Column::Lost(Loss::Skipped), 3),
            (Column::Duplicate, 2),
            (Column::Reordered, 1),
            (Column::Late, 1),
            (Column::Corrupt, 1),
        ]);
        assert_eq!(filled(&outcome), expected, "{kind:?}: {:?}", outcome.problems);
    }
}

#[test]
fn a_closed_loop_goes_on_after_a_loss() {
    let kind = ReplyKind::Echo;
    let mut plan = plan(relay(kind), kind);
    (plan.pipeline, plan.timeout) = (1, Duration::from_millis(300));
    let outcome = run(plan);
    // With one in flight nothing can be swapped: the one that is held is overdue when it comes with
    // the next. The delayed one comes when the run is over, unless the machine is very slow.
    let expected = |late| {
        BTreeMap::from([
            (Column::Ok, 100 - 3 - 2 - 1 - 1 - 1),
            (Column::Lost(Loss::Skipped), 3 + 2 - late),
            (Column::Duplicate, 2),
            (Column::Late, late),
            (Column::Corrupt, 1),
        ])
    };
    let columns = filled(&outcome);
    assert!([1, 2].map(expected).contains(&columns), "{columns:?}: {:?}", outcome.problems);
}

#[test]
fn datagrams_of_all_lengths_and_many_at_once_come_back() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        // A machine without IPv6 has no such address.
        let Ok(socket) = UdpSocket::bind(address) else { continue };
        come_back(socket);
    }
}

fn come_back(socket: UdpSocket) {
    let to = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut room = vec![0; 65_536];
        loop {
            let (len, from) = socket.recv_from(&mut room).unwrap();
            socket.send_to(&room[..len], from).unwrap();
        }
    });
    for (sizes, pipeline) in [
        (Sizes::Fixed(64), 32),
        (Sizes::Fixed(0), 1),
        (Sizes::Fixed(2000), 8),
        (Sizes::Range(0, 3000), 8),
        (Sizes::Fixed(65_507), 1),
    ] {
        let mut plan = plan(to, ReplyKind::Echo);
        (plan.sizes, plan.pipeline) = (sizes, pipeline);
        plan.timeout = Duration::from_secs(30);
        let outcome = run(plan);
        assert_eq!(filled(&outcome), BTreeMap::from([(Column::Ok, 100)]), "{:?}", outcome.problems);
    }
}

/// Runs the test before once more where a packet of 1500 bytes is the longest, as on most networks.
#[test]
fn datagrams_that_are_longer_than_a_packet_come_back() {
    let network = |script: &str| {
        let mut command = Command::new("unshare");
        let namespace = ["--user", "--map-root-user", "--net", "sh", "-c"];
        command.args(namespace).arg(format!("ip link set lo up mtu 1500 && {script}"));
        command.arg(env::current_exe().unwrap());
        command
    };
    if !network("true").status().is_ok_and(|status| status.success()) {
        println!("skipped: there is no network of our own here");
        return;
    }
    let again = "datagrams_of_all_lengths_and_many_at_once_come_back";
    let mut command = network(&format!("exec \"$0\" --exact {again}"));
    let ended = command.output().unwrap();
    let told = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success() && told.contains("1 passed"), "{told}");
}
