//! Where connections come from and go to, and how long they live.

use std::time::{Duration, Instant};

use crate::scripted::{Count, Script, Server};
use crate::{Ended, ledger, line, load, load_to, run};

/// Runs it against a server that does nothing wrong.
fn against_server(arguments: &str) -> (Ended, Count) {
    let server = Server::start(Script::default());
    let ended = run(load_to(&server, arguments));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    (ended, server.finish())
}

#[test]
fn connections_come_from_the_addresses_that_are_asked_for() {
    let (_, count) = against_server("-c 6 -n 60 --source 127.0.0.2-127.0.0.4");
    let mut sources: Vec<_> = count.connections.iter().map(|(from, _)| from.to_string()).collect();
    sources.sort_unstable();
    let expected = ["127.0.0.2", "127.0.0.3", "127.0.0.4"].map(|address| [address; 2]);
    assert_eq!(sources, expected.as_flattened());
}

#[test]
fn connections_are_spread_over_the_targets() {
    let servers = [Server::start(Script::default()), Server::start(Script::default())];
    let [one, other] = servers.each_ref().map(Server::endpoint);
    let ended = run(load(&format!("--to {one} --to {other} -c 5 --idle 1 --plan 1k:100ms")));
    assert_eq!((ended.code, ledger(&ended).0), (Some(0), 100), "{ended:?}");
    let counts = servers.map(Server::finish);
    assert_eq!(counts.each_ref().map(|count| count.connections.len()), [3, 3]);
    // Three of the five connections that send go to the first. The sixth is idle.
    assert_eq!(counts.each_ref().map(Count::received), [60, 40]);
}

#[test]
fn idle_connections_are_held_open_and_send_nothing() {
    let (ended, count) = against_server("-c 2 --idle 3 --plan 1k:100ms");
    let mut frames: Vec<_> = count.connections.iter().map(|(_, frames)| *frames).collect();
    frames.sort_unstable();
    assert_eq!((frames, ledger(&ended).0), (vec![0, 0, 0, 50, 50], 100));
    assert!(line(&ended, "load").starts_with("2 connections, 3 idle, "), "{ended:?}");
}

#[test]
fn connections_are_opened_no_faster_than_asked() {
    let began = Instant::now();
    let (_, count) = against_server("-c 5 -n 50 --connect-rate 20");
    assert_eq!(count.connections.len(), 5);
    // The fifth is due four twentieths of a second after the first.
    assert!(began.elapsed() >= Duration::from_millis(200));
}

#[test]
fn connections_are_opened_anew_after_so_many_frames() {
    let (ended, count) = against_server("-c 1 -p 4 -n 100 --frames-per-connection 10");
    let frames: Vec<_> = count.connections.iter().map(|(_, frames)| *frames).collect();
    assert_eq!(frames, [10; 10]);
    assert_eq!(line(&ended, "reopened"), "9 connections");
}
