//! Limits per source, per listener, on rates and on memory. The limit on all connections has
//! `connection_limit.rs`.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::time::{Duration, Instant};

use common::{Peer, Server, data, pattern};
use volley_proto::Reason;
use volley_server::{BufferLimit, Config, ConnectionLimit, ConnectionState, End, Refusal};

#[test]
fn a_source_over_its_limit_is_refused_and_told_so() {
    let config = Config::default();
    config.connections.set_max_per_source(2);
    let server = Server::start(config);
    let mut peers = [Peer::connect(server.address), Peer::connect(server.address)];
    peers.iter_mut().for_each(|peer| peer.echoes(b"in"));
    let mut over = Peer::connect(server.address);
    let told = (2, 0, "you have as many connections as one source may".to_owned());
    assert_eq!(over.error(), told);
    over.expect_end();
    let mut elsewhere = Peer::connect_from("127.0.0.2", server.address);
    elsewhere.echoes(b"from another address");
    drop((peers, elsewhere));
    let books = server.finish();
    assert_eq!((books.accepted, books.refused.get(&Refusal::Source)), (3, Some(&1)));
}

#[test]
fn a_listener_has_a_limit_of_its_own_under_that_of_all() {
    let all = ConnectionLimit::new(3);
    let [narrow, wide] = [1, usize::MAX].map(|max| {
        let mut config = Config::default();
        config.connections = all.child();
        config.connections.set_max(max);
        Server::start(config)
    });
    let mut peers = vec![Peer::connect(narrow.address)];
    peers[0].echoes(b"in");
    let busy = (2, 0, "the server has as many connections as it may".to_owned());
    assert_eq!(Peer::connect(narrow.address).error(), busy);
    for _ in 0..2 {
        let mut peer = Peer::connect(wide.address);
        peer.echoes(b"in");
        peers.push(peer);
    }
    assert_eq!(Peer::connect(wide.address).error(), busy);
    all.set_max(4);
    Peer::connect(wide.address).echoes(b"in");
}

#[test]
fn accepting_is_no_faster_than_it_may_and_nobody_is_refused() {
    let mut config = Config::default();
    config.accept_rate = Some(100.0);
    let server = Server::start(config);
    let since = Instant::now();
    let mut peers: Vec<_> = (0..40).map(|_| Peer::connect(server.address)).collect();
    peers.iter_mut().for_each(|peer| peer.echoes(b"here"));
    // A tenth of a second's worth at once, then the rate.
    assert!(since.elapsed() >= Duration::from_millis(290), "{:?}", since.elapsed());
    drop(peers);
    let books = server.finish();
    assert_eq!((books.accepted, books.refused()), (40, 0));
    assert!(books.accept_pauses > 0, "{books:?}");
}

#[test]
fn a_connection_is_answered_no_faster_than_its_frames_may_come() {
    let mut config = Config::default();
    config.frame_rate = Some(200.0);
    let server = Server::start(config);
    let mut peer = Peer::connect(server.address);
    let frames: Vec<u8> = (0..100_u8).flat_map(|i| data(&pattern(i.into(), i.into()))).collect();
    let since = Instant::now();
    peer.send(&frames);
    peer.expect(&frames);
    assert!(since.elapsed() >= Duration::from_millis(390), "{:?}", since.elapsed());
    // With its end behind them none is lost.
    peer.send(&frames);
    peer.half_close();
    peer.expect(&frames);
    peer.expect_end();
    let books = server.finish();
    assert_eq!(books.frames_answered, 200);
    assert!(books.throttled > 0, "{books:?}");
}

#[test]
fn a_connection_is_read_no_faster_than_its_bytes_may_come() {
    let mut config = Config::default();
    config.byte_rate = Some(1_000_000.0);
    let server = Server::start(config);
    let mut peer = Peer::connect(server.address);
    let frames = data(&pattern(600_000, 1));
    let since = Instant::now();
    let sender = peer.send_aside(frames.clone());
    peer.expect(&frames);
    sender.join().unwrap().unwrap();
    assert!(since.elapsed() >= Duration::from_millis(490), "{:?}", since.elapsed());
    drop(peer);
    assert!(server.finish().throttled > 0);
}

#[test]
fn other_rates_hold_for_open_connections_at_once() {
    let mut config = Config::default();
    config.frame_rate = Some(0.01);
    let server = Server::start(config);
    let mut peer = Peer::connect(server.address);
    peer.echoes(b"the first is free");
    let frames: Vec<u8> = (0..50_u8).flat_map(|i| data(&[i; 10])).collect();
    peer.send(&frames);
    server.wait_until(|server| server.handle.connections()[0].state == ConnectionState::Throttled);
    let mut config = server.handle.config();
    config.frame_rate = None;
    server.handle.reconfigure(config);
    peer.expect(&frames);
}

#[test]
fn over_the_budget_for_what_is_kept_a_connection_ends_and_the_others_go_on() {
    let mut config = Config::default();
    // One frame of 1 MiB, its head and a bit.
    config.buffers = BufferLimit::new((1 << 20) + 8192);
    let buffers = config.buffers.clone();
    let server = Server::start(config);
    let frame = data(&pattern(1 << 20, 1));
    let mut first = Peer::connect(server.address);
    first.send(&frame[..700_000]);
    // Room for a frame is made by doubling it: now there is some for all of this one.
    server.wait_until(|_| buffers.held() == 1 << 20);
    let mut second = Peer::connect(server.address);
    second.echoes(b"small");
    // Not so much that the rest would not be read any more after the ERROR.
    second.send(&frame[..250_000]);
    let (code, last_seq, text) = second.error();
    assert_eq!((code, last_seq), (12, 1));
    assert!(text.starts_with("the server keeps ") && text.ends_with(", of 1056768"), "{text}");
    second.half_close();
    second.expect_end();
    let mut third = Peer::connect(server.address);
    third.echoes(b"small");
    first.send(&frame[700_000..]);
    first.expect(&frame);
    server.wait_until(|_| buffers.held() == 0);
    third.send(&frame);
    third.expect(&frame);
    drop((first, third));
    let books = server.finish();
    assert_eq!(books.ends.get(&End::Error(Reason::OutOfMemory)), Some(&1), "{books}");
}

#[test]
fn the_first_bytes_of_a_large_frame_take_no_more_of_the_budget_than_they_are() {
    let mut config = Config::default();
    config.buffers = BufferLimit::new(1 << 20);
    let buffers = config.buffers.clone();
    let server = Server::start(config);
    let frame = data(&pattern(1 << 20, 1));
    let mut peers: Vec<_> = (0..50).map(|_| Peer::connect(server.address)).collect();
    for at in 0..6 {
        peers.iter_mut().for_each(|peer| peer.send(&frame[at..=at]));
        server.wait_until(|server| server.handle.books().bytes_in == 50 * (at as u64 + 1));
    }
    let mut other = Peer::connect(server.address);
    other.send(&frame[..300_000]);
    server.wait_until(|server| server.handle.books().bytes_in == 300 + 300_000);
    assert!(buffers.held() <= 600_000, "{}", buffers.held());
    drop((peers, other));
    let books = server.finish();
    assert_eq!(books.ends, [(End::Truncated, 51)].into());
}

#[test]
fn a_connection_can_be_looked_at() {
    let server = Server::start(Config::default());
    let mut peer = Peer::connect(server.address);
    peer.send(common::control(common::HELLO, 0, 1, 0, b"a client"));
    peer.expect(common::welcome(1));
    peer.echoes(b"hello");
    // The echo may be here before it is booked.
    server.wait_until(|server| server.handle.connections()[0].frames_answered == 1);
    let status = server.handle.connections().remove(0);
    let who = volley_server::Peer::Socket(peer.local());
    assert_eq!((status.peer, &*status.client), (who, "a client"));
    assert_eq!((status.frames_received, status.frames_answered, status.payload_bytes), (1, 1, 5));
    assert_eq!((status.bytes_in, status.bytes_out), (16 + 8 + 9, 16 + 9));
    let states = |server: &Server| server.handle.connections()[0].state;
    server.wait_until(|server| states(server) == ConnectionState::Waiting);
    peer.send(&data(b"hello")[..6]);
    server.wait_until(|server| states(server) == ConnectionState::Receiving);
    peer.send(&data(b"hello")[6..]);
    peer.expect(data(b"hello"));
    peer.push_until_blocked(&data(&[7; 10_000]), Duration::from_millis(100));
    server.wait_until(|server| states(server) == ConnectionState::Writing);
    let books = server.handle.books();
    assert!(books.balance() && books.active == 1 && books.frames_pending > 0, "{books:?}");
    assert!(server.handle.service_times().count() > 0);
    peer.reset();
    server.wait_until(|server| server.handle.connections().is_empty());
}
