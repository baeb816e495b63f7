//! The limit on connections, and what those hear that are over it.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use common::{ERROR, Peer, Server, control, data};
use volley_server::{Config, ConnectionLimit};

fn at_most(connections: usize) -> Config {
    let mut config = Config::default();
    config.connections = ConnectionLimit::new(connections);
    config
}

fn busy() -> Vec<u8> {
    control(ERROR, 0, 2, 0, b"the server has as many connections as it may")
}

/// Comes back until there is a place: one is free only once the server has seen a peer go.
fn connect_when_free(server: &Server) -> Peer {
    let deadline = std::time::Instant::now() + common::LIMIT;
    while std::time::Instant::now() < deadline {
        let mut peer = Peer::connect(server.address);
        let frame = data(b"a place?");
        peer.send(&frame);
        let head = peer.read(4);
        if head == frame[..4] {
            peer.expect(&frame[4..]);
            return peer;
        }
        assert_eq!(head, busy()[..4]);
        peer.expect(&busy()[4..]);
    }
    panic!("no place became free");
}

#[test]
fn a_connection_over_the_limit_is_refused_as_busy() {
    let server = Server::start(at_most(2));
    let mut peers = [Peer::connect(server.address), Peer::connect(server.address)];
    peers.iter_mut().for_each(|peer| peer.echoes(b"in"));
    for frame in [vec![], data(b"hello")] {
        let mut over = Peer::connect(server.address);
        over.send(frame);
        over.expect(busy());
        over.expect_end();
    }
    peers.iter_mut().for_each(|peer| peer.echoes(b"still in"));
    drop(peers);
    let books = server.finish();
    assert_eq!((books.accepted, books.refused(), books.frames_answered), (2, 2, 4));
}

#[test]
fn a_place_that_became_free_is_used_again() {
    let server = Server::start(at_most(1));
    for round in 0..5u8 {
        let mut peer = connect_when_free(&server);
        peer.echoes(&[round]);
        let mut over = Peer::connect(server.address);
        over.expect(busy());
        over.expect_end();
    }
    assert_eq!(server.finish().accepted, 5);
}

#[test]
fn a_limit_of_zero_refuses_everyone() {
    let server = Server::start(at_most(0));
    for _ in 0..3 {
        let mut peer = Peer::connect(server.address);
        peer.expect(busy());
        peer.expect_end();
    }
    let books = server.finish();
    assert_eq!((books.accepted, books.refused()), (0, 3));
    assert!(books.ends.is_empty());
}

#[test]
fn listeners_with_clones_of_a_config_share_its_limit() {
    let config = at_most(2);
    let (one, two) = (Server::start(config.clone()), Server::start(config.clone()));
    let (mut first, mut second) = (Peer::connect(one.address), Peer::connect(two.address));
    first.echoes(b"one");
    second.echoes(b"two");
    assert_eq!((config.connections.open(), config.connections.max()), (2, 2));
    for server in [&one, &two] {
        let mut over = Peer::connect(server.address);
        over.expect(busy());
        over.expect_end();
    }
    drop(first);
    // The place was of the first listener, and goes to the second.
    let third = connect_when_free(&two);
    drop((second, third));
    let (one, two) = (one.finish(), two.finish());
    assert_eq!((one.accepted, one.refused(), two.accepted), (1, 1, 2));
    assert_eq!(config.connections.open(), 0);
}

#[test]
fn a_flood_over_the_limit_is_refused_to_the_last_one() {
    let server = Server::start(at_most(1));
    let mut inside = Peer::connect(server.address);
    inside.echoes(b"in");
    // More than may linger at once.
    let mut over: Vec<_> = (0..100).map(|_| Peer::connect(server.address)).collect();
    for peer in &mut over {
        peer.expect(busy());
        peer.expect_end();
    }
    inside.echoes(b"still in");
    drop((inside, over));
    assert_eq!(server.finish().refused(), 100);
}

#[test]
fn a_refused_peer_that_goes_on_sending_still_reads_why() {
    let server = Server::start(at_most(0));
    let mut peer = Peer::connect(server.address);
    let sender = peer.send_aside(data(&[0; 100_000]));
    peer.expect(busy());
    sender.join().unwrap().unwrap();
    peer.expect_end();
}
