//! The PROXY protocol through the library: whom a connection is taken to be from, and who is not
//! served at all.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::{LIMIT, Peer, Server, data, hello, pattern, welcome};
use volley_server::{Config, ConnectionLimit, OpenFailure, Proxied, Refusal, Trusted};

const V1: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 7007\r\n";

/// From `client` to 198.51.100.7:7007.
fn v2(client: &str) -> Vec<u8> {
    let SocketAddr::V4(client) = client.parse().unwrap() else { panic!("{client}") };
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
    header.extend(client.ip().octets());
    header.extend([198, 51, 100, 7]);
    header.extend(client.port().to_be_bytes());
    header.extend(7007_u16.to_be_bytes());
    header
}

const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";

/// Takes headers from 127.0.0.0/29.
fn start(config: Config) -> Server {
    Server::start_through(config, |listener| {
        Proxied::new(listener, Trusted::new(["127.0.0.0/29".parse().unwrap()]))
    })
}

/// A connection that begins with these bytes.
fn connect(server: &Server, sent: impl AsRef<[u8]>) -> Peer {
    let mut peer = Peer::connect(server.address);
    peer.send(sent);
    peer
}

/// Waits for the end of all openings, and checks that so many have failed, all in this way.
#[track_caller]
fn all_failed(server: &Server, how: OpenFailure, count: u64) {
    server.wait_until(|server| server.handle.books().open_failures() == count);
    let books = server.handle.books();
    assert_eq!((books.open_failures[&how], books.accepted), (count, 0));
}

#[test]
fn the_client_is_who_the_header_names_and_the_balancer_is_shown_beside_it() {
    let server = start(Config::default());
    for header in [V1, &v2("192.0.2.1:56324")] {
        let mut peer = connect(&server, header);
        peer.echoes(b"hello");
        let [status] = &server.handle.connections()[..] else { panic!("one connection") };
        assert_eq!(status.peer.to_string(), "192.0.2.1:56324");
        assert_eq!(status.peer.address(), Some("192.0.2.1:56324".parse().unwrap()));
        assert_eq!(status.peer.via(), Some(peer.local()));
        peer.leave();
        server.wait_until(|server| server.handle.books().active == 0);
    }
}

#[test]
fn a_header_that_names_nobody_leaves_the_balancer_itself() {
    let server = start(Config::default());
    for header in [LOCAL, b"PROXY UNKNOWN\r\n"] {
        let mut peer = connect(&server, header);
        peer.echoes(b"hello");
        let [status] = &server.handle.connections()[..] else { panic!("one connection") };
        assert_eq!((status.peer.address(), status.peer.via()), (Some(peer.local()), None));
        peer.leave();
        server.wait_until(|server| server.handle.books().active == 0);
    }
}

#[test]
fn frames_that_come_with_the_header_are_answered() {
    let server = start(Config::default());
    for header in [V1, &v2("192.0.2.1:1"), LOCAL] {
        for len in [0, 1, 5000, 300_000] {
            let frame = data(&pattern(len, 7));
            let mut peer = Peer::connect(server.address);
            let sent = peer.send_aside([header, &hello(0), &frame].concat());
            peer.expect(welcome(1));
            peer.expect(&frame);
            sent.join().unwrap().unwrap();
            peer.leave();
        }
    }
}

#[test]
fn a_header_may_come_byte_by_byte() {
    let server = start(Config::default());
    for header in [V1, &v2("192.0.2.1:1")] {
        let mut peer = Peer::connect(server.address);
        for byte in header {
            peer.send([*byte]);
            // Another connection's whole life lies between two of them.
            let mut other = connect(&server, LOCAL);
            other.echoes(b"between");
            other.leave();
        }
        peer.echoes(b"hello");
        peer.leave();
    }
    assert_eq!(server.finish().open_failures(), 0);
}

#[test]
fn who_is_no_trusted_balancer_is_told_so_even_if_he_says_nothing() {
    // He takes no place from others.
    let mut config = Config::default();
    config.connections = ConnectionLimit::new(0);
    let server = start(config);
    for sent in [V1, b""] {
        let mut peer = Peer::connect_from("127.0.0.9", server.address);
        peer.send(sent);
        let text = "this listener takes connections from its balancers only";
        assert_eq!(peer.error(), (10, 0, text.to_owned()));
        peer.leave();
    }
    all_failed(&server, OpenFailure::ProxyUntrusted, 2);
}

#[test]
fn who_comes_without_a_good_header_is_told_what_is_wrong() {
    let server = start(Config::default());
    for (sent, text) in [
        (&data(b"hello")[..], "a PROXY header has to come first, and this is a frame"),
        (b"GET / HTTP/1.1\r\n\r\n", "a PROXY header has to come first, and this looks like HTTP"),
        (
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
            "a PROXY header of 65551 bytes: at most 2048 are taken",
        ),
    ] {
        let mut peer = connect(&server, sent);
        assert_eq!(peer.error(), (8, 0, text.to_owned()));
        peer.leave();
    }
    all_failed(&server, OpenFailure::ProxyHeader, 3);
}

#[test]
fn a_header_that_never_ends_is_waited_for_no_longer_than_the_deadline() {
    let mut config = Config::default();
    config.deadlines.handshake = Some(Duration::from_millis(100));
    let server = start(config);
    for begun in [&b""[..], b"PROXY TCP4", b"\r\n\r\n"] {
        connect(&server, begun).expect_end();
    }
    all_failed(&server, OpenFailure::TimedOut, 3);
}

#[test]
fn half_a_header_and_a_close_are_no_connection() {
    let server = start(Config::default());
    for begun in [&b""[..], b"PROXY TCP4", b"\r\n\r\n"] {
        connect(&server, begun).leave();
    }
    all_failed(&server, OpenFailure::Closed, 3);
}

#[test]
fn a_reset_is_as_good_as_a_close_however_little_came_before() {
    let server = start(Config::default());
    for (count, begun) in (1..).zip([&b""[..], b"PROXY TCP4", b"\r\n\r\n"]) {
        connect(&server, begun).reset();
        all_failed(&server, OpenFailure::Closed, count);
    }
}

#[test]
fn clients_are_counted_by_their_own_source_and_not_by_their_balancer() {
    let config = Config::default();
    config.connections.set_max_per_source(1);
    let server = start(config);
    let header = |n: u8, port: u16| v2(&format!("192.0.2.{n}:{port}"));
    let mut peers: Vec<_> = (1..5).map(|n| connect(&server, header(n, 1))).collect();
    peers.iter_mut().for_each(|peer| peer.echoes(b"in"));
    let mut over = connect(&server, header(1, 2));
    let text = "you have as many connections as one source may";
    assert_eq!(over.error(), (2, 0, text.to_owned()));
    over.leave();
    let books = server.handle.books();
    assert_eq!((books.refused[&Refusal::Source], books.open_failures()), (1, 0));
    peers.remove(0).leave();
    server.wait_until(|server| server.handle.books().active == 3);
    connect(&server, header(1, 3)).echoes(b"in");
}

#[test]
fn those_who_open_are_connections_too_and_take_turns() {
    let mut config = Config::default();
    config.connections = ConnectionLimit::new(2);
    config.max_handshakes = 1;
    let server = start(config);
    let [mut first, mut second] = [(); 2].map(|()| connect(&server, b"PROXY "));
    server.wait_until(|server| server.handle.books().opening == 2);
    second.send([&b"UNKNOWN\r\n"[..], &data(b"second")].concat());
    // Meanwhile the server has more than one look at its sockets.
    for _ in 0..5 {
        let mut over = Peer::connect(server.address);
        let text = "the server has as many connections as it may";
        assert_eq!(over.error(), (2, 0, text.to_owned()));
        over.leave();
    }
    second.expect_nothing_yet();
    first.send([&b"UNKNOWN\r\n"[..], &data(b"first")].concat());
    first.expect(data(b"first"));
    second.expect(data(b"second"));
}

#[test]
fn who_says_nothing_takes_no_place_from_others() {
    let mut config = Config::default();
    config.max_handshakes = 1;
    let server = start(config);
    let _silent = [(); 10].map(|()| Peer::connect(server.address));
    server.wait_until(|server| server.handle.books().opening == 10);
    connect(&server, LOCAL).echoes(b"hello");
    assert_eq!(server.handle.books().opening, 10);
}

#[test]
fn a_shutdown_waits_for_those_who_open_and_ends_them_at_the_deadline() {
    let mut config = Config::default();
    config.drain = Duration::from_millis(300);
    let mut server = start(config);
    let [mut late, mut never] = [(); 2].map(|()| connect(&server, &LOCAL[..5]));
    server.wait_until(|server| server.handle.books().opening == 2);
    server.shut_down();
    late.send([&LOCAL[5..], &data(b"late")].concat());
    late.expect(data(b"late"));
    late.expect_end();
    never.expect_end();
    let books = server.finish();
    assert_eq!((books.accepted, books.frames_answered), (1, 1));
    assert_eq!((books.open_failures[&OpenFailure::CutOff], books.cut_off()), (1, 1));
}

#[test]
fn a_shutdown_waits_for_who_says_nothing_no_longer_than_on_a_plain_listener() {
    let mut config = Config::default();
    config.drain = LIMIT * 10;
    let mut server = start(config);
    let mut silent = Peer::connect(server.address);
    server.wait_until(|server| server.handle.books().opening == 1);
    server.shut_down();
    silent.expect_end();
    let books = server.finish();
    assert_eq!((books.open_failures[&OpenFailure::Drained], books.cut_off()), (1, 0));
}
