//! More connections than the daemon has descriptors for.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::fs;
use std::thread;
use std::time::Duration;

use common::{ERROR, LIMIT, Peer, Received, Volleyd, data, program_is_missing};

const PEERS: usize = 200;

/// A daemon with 64 descriptors.
fn start(listeners: usize, arguments: &[&str]) -> Option<Volleyd> {
    if program_is_missing("prlimit") {
        return None;
    }
    let mut command = Volleyd::command_through("prlimit", &["--nofile=64:64"]);
    command.args(["--listen", "127.0.0.1:0"].repeat(listeners)).args(arguments);
    Some(Volleyd::spawn_alone(command, listeners))
}

/// What became of each: served, or the text of its refusal. Nobody may hang, or be closed without
/// a word.
fn crowd(daemon: &Volleyd) -> (Vec<Peer>, Vec<String>) {
    let addresses = daemon.addresses();
    let connect = |peer| Peer::connect(addresses[peer % addresses.len()]);
    let mut peers: Vec<_> = (0..PEERS).map(connect).collect();
    for peer in &mut peers {
        // It may have been refused, and closed, by now.
        let _ = peer.try_send(&data(b"in?"));
    }
    let (mut served, mut refused) = (Vec::new(), Vec::new());
    for mut peer in peers {
        match peer.frame() {
            Received::Data(payload) => {
                assert_eq!(payload, b"in?");
                served.push(peer);
            }
            Received::Control { kind: ERROR, code: 2, arg: 0, text, .. } => refused.push(text),
            other => panic!("{other:?}"),
        }
    }
    (served, refused)
}

/// Processor time of a process so far, in hundredths of a second, where /proc tells.
fn processor_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Behind the name, which is in brackets, user time is the 12th field and system time the 13th.
    let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some(fields[11].parse::<u64>().ok()? + fields[12].parse::<u64>().ok()?)
}

/// It may not spin while it is full.
#[track_caller]
fn rests(daemon: &Volleyd) {
    let before = processor_time(daemon.pid());
    // Not to let anything happen: to see that nothing does.
    thread::sleep(Duration::from_secs(1));
    let spent = processor_time(daemon.pid()).zip(before).map(|(after, before)| after - before);
    assert!(spent.is_none_or(|spent| spent < 20), "{spent:?} hundredths of a second of one second");
}

/// A place is free as soon as the daemon has seen a peer go, or when its pause is over.
#[track_caller]
fn serves_again(daemon: &Volleyd) {
    let deadline = std::time::Instant::now() + LIMIT;
    while std::time::Instant::now() < deadline {
        let mut peer = daemon.connect();
        let _ = peer.try_send(&data(b"again"));
        if peer.frame() == Received::Data(b"again".to_vec()) {
            peer.leave();
            return;
        }
    }
    panic!("nobody is served any more");
}

#[test]
fn the_default_limit_leaves_descriptors_for_refusals() {
    let Some(daemon) = start(1, &[]) else { return };
    let (mut served, refused) = crowd(&daemon);
    // 64 less a reserve of 32.
    assert_eq!((served.len(), refused.len()), (32, PEERS - 32));
    for text in &refused {
        assert_eq!(text, "the server has as many connections as it may");
    }
    rests(&daemon);
    served.iter_mut().for_each(|peer| peer.echoes(b"still in"));
    served.into_iter().for_each(Peer::leave);
    serves_again(&daemon);
    let (books, log) = daemon.finish();
    assert!(books.accepted >= 33 && books.refused >= 168, "{books:?}");
    assert_eq!(books.ended("closed"), books.accepted, "{books:?}");
    assert_eq!(books.frames_received, books.frames_answered);
    // A flood is told with its number, and not one by one.
    let told = log.iter().filter(|line| line.contains("refus") && line.contains("WARN")).count();
    assert!((1..20).contains(&told), "{told} lines");
}

#[test]
fn without_descriptors_it_refuses_and_survives() {
    let Some(mut daemon) = start(1, &["--max-connections", "1000"]) else { return };
    daemon.wait_for(&["WARN", "more connections than descriptors allow"]);
    let (mut served, refused) = crowd(&daemon);
    assert_eq!(served.len() + refused.len(), PEERS);
    assert!((33..64).contains(&served.len()), "{} served", served.len());
    for text in &refused {
        assert_eq!(text, "the server has no file descriptors left");
    }
    rests(&daemon);
    served.iter_mut().for_each(|peer| peer.echoes(b"still in"));
    let before = served.len() as u64;
    served.into_iter().for_each(Peer::leave);
    serves_again(&daemon);
    let (books, _) = daemon.finish();
    assert!(books.accepted > before && books.refused >= refused.len() as u64, "{books:?}");
    assert_eq!(books.ended("closed"), books.accepted, "{books:?}");
    assert_eq!(books.frames_received, books.frames_answered);
}

#[test]
fn two_listeners_without_descriptors_refuse_and_survive_too() {
    let Some(daemon) = start(2, &["--max-connections", "1000"]) else { return };
    let (served, refused) = crowd(&daemon);
    assert_eq!(served.len() + refused.len(), PEERS);
    rests(&daemon);
    served.into_iter().for_each(Peer::leave);
    serves_again(&daemon);
    daemon.finish();
}
