//! Without frames: what comes in goes back, and nothing else ever does.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::time::Duration;

use common::{Peer, Server, data, hello, pattern, same_bytes};
use volley_proto::Reason;
use volley_server::{Config, ConnectionLimit, Deadlines, End};

const SHORT: Duration = Duration::from_millis(200);

#[test]
fn bytes_come_back_as_they_are_whatever_they_look_like() {
    let server = Server::raw(Config::default());
    let mut peer = Peer::connect(server.address);
    // The front of a frame, a HELLO, another protocol, and a length that no frame has.
    for bytes in [&data(b"hello")[..6], &hello(2), b"GET / HTTP/1.1\r\n\r\n", &[0x7f; 5], b"x"] {
        peer.send(bytes);
        same_bytes(&peer.read(bytes.len()), bytes);
    }
    peer.half_close();
    peer.expect_end();
    let books = server.finish();
    assert_eq!((books.frames_received, books.payload_bytes), (5, 6 + 16 + 18 + 5 + 1));
    assert_eq!(books.ends.get(&End::Closed), Some(&1));
}

#[test]
fn a_long_stream_comes_back_whole_to_a_peer_that_reads_slowly() {
    let server = Server::raw(Config::default());
    let mut peer = Peer::connect_tight(server.address, 16 * 1024);
    let bytes = pattern(5_000_000, 3);
    let sender = peer.send_aside(bytes.clone());
    for part in bytes.chunks(9_973) {
        same_bytes(&peer.read(part.len()), part);
    }
    sender.join().unwrap().unwrap();
    peer.half_close();
    peer.expect_end();
    assert_eq!(server.finish().payload_bytes, 5_000_000);
}

#[test]
fn what_was_not_read_counts_as_dropped() {
    let server = Server::raw(Config::default());
    let mut peer = Peer::connect_tight(server.address, 16 * 1024);
    peer.push_until_blocked(b"x", Duration::from_millis(300));
    drop(peer);
    let books = server.finish();
    assert_eq!(books.frames_dropped(), 1, "{books:?}");
}

#[test]
fn a_deadline_closes_without_a_word() {
    let mut config = Config::default();
    config.deadlines = Deadlines::off();
    config.deadlines.first_frame = Some(SHORT);
    let server = Server::raw(config);
    // Whoever has sent anything has said his first word.
    let mut talker = Peer::connect(server.address);
    talker.send(b"a");
    same_bytes(&talker.read(1), b"a");
    Peer::connect(server.address).expect_end();
    talker.send(b"b");
    same_bytes(&talker.read(1), b"b");
    talker.half_close();
    talker.expect_end();
    let books = server.finish();
    assert_eq!(books.ends.get(&End::Error(Reason::Idle)), Some(&1), "{books}");
}

#[test]
fn one_too_many_is_closed_without_a_word() {
    let mut config = Config::default();
    config.connections = ConnectionLimit::new(1);
    let server = Server::raw(config);
    let mut first = Peer::connect(server.address);
    first.send(b"a");
    same_bytes(&first.read(1), b"a");
    Peer::connect(server.address).expect_end();
    assert_eq!(server.finish().refused(), 1);
}

#[test]
fn a_drain_answers_what_has_come_and_closes() {
    let mut server = Server::raw(Config::default());
    let mut peer = Peer::connect(server.address);
    peer.send(b"abc");
    same_bytes(&peer.read(3), b"abc");
    server.shut_down();
    peer.expect_end();
    let books = server.finish();
    assert_eq!(books.ends.get(&End::Drained), Some(&1), "{books}");
}

#[test]
fn the_drain_deadline_cuts_off_without_a_word() {
    let mut config = Config::default();
    config.drain = SHORT;
    let mut server = Server::raw(config);
    let mut peer = Peer::connect_tight(server.address, 16 * 1024);
    let pushed = peer.push_until_blocked(b"x", SHORT);
    server.shut_down();
    let books = server.outcome().unwrap();
    assert_eq!(books.cut_off(), 1, "{books}");
    // All that comes are its own bytes.
    let (rest, _) = peer.read_to_any_end();
    assert!(rest.len() < pushed && rest.iter().all(|&byte| byte == b'x'));
}
