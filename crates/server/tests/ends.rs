//! How connections end, and what the books say of it.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::time::Duration;

use common::{LIMIT, Peer, Server, check_books, data, hello, pattern, welcome};
use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::timeout;
use volley_proto::Reason;
use volley_server::{Config, End, bind, serve};

#[test]
fn a_half_closed_client_gets_all_its_replies() {
    let server = Server::echo();
    let mut peer = Peer::connect(server.address);
    let frames: Vec<u8> = (0..2_000).flat_map(|i| data(&pattern(1_000, i))).collect();
    let sender = peer.send_aside(frames.clone());
    // Half of them are read before the half-close, the rest behind it.
    let half = frames.len() / 2;
    peer.expect(&frames[..half]);
    sender.join().unwrap().unwrap();
    peer.half_close();
    peer.expect(&frames[half..]);
    peer.expect_end();
    let books = server.finish();
    assert_eq!((books.frames_received, books.frames_answered), (2_000, 2_000));
    assert_eq!(books.ends[&End::Closed], 1);
}

#[test]
fn a_frame_and_the_end_in_one_go_are_answered() {
    for server in [Server::echo(), Server::ack()] {
        let mut peer = Peer::connect(server.address);
        peer.send([hello(1), data(b"last words")].concat());
        peer.half_close();
        peer.expect([welcome(1), data(b"last words")].concat());
        peer.expect_end();
        assert_eq!(server.finish().ends[&End::Closed], 1);
    }
}

#[test]
fn a_connection_without_a_frame_is_closed_too() {
    let server = Server::echo();
    let mut peer = Peer::connect(server.address);
    peer.half_close();
    peer.expect_end();
    let books = server.finish();
    assert_eq!((books.accepted, books.frames_received), (1, 0));
    assert_eq!(books.ends[&End::Closed], 1);
}

#[test]
fn the_end_inside_a_frame_is_truncated_and_the_frames_before_it_are_answered() {
    let whole = [data(b"one"), data(b"two")].concat();
    let fragments =
        [&b"\0"[..], b"\0\0\0", b"\0\0\0\x05", b"\0\0\0\x05hell", b"\x80\0\0\x0c\x01\0", b"\x80"];
    for fragment in fragments {
        let server = Server::echo();
        let mut peer = Peer::connect(server.address);
        peer.send([&whole, fragment].concat());
        peer.half_close();
        peer.expect(&whole);
        peer.expect_end();
        let books = server.finish();
        assert_eq!(books.ends[&End::Truncated], 1, "{fragment:02x?}");
        assert_eq!((books.frames_received, books.frames_answered), (2, 2));
        assert_eq!(books.payload_bytes, 6, "a fragment is no payload");
    }
}

#[test]
fn the_end_inside_a_long_frame_is_truncated() {
    let server = Server::echo();
    let mut peer = Peer::connect(server.address);
    let long = data(&pattern(1 << 20, 3));
    peer.send([data(b"before"), long[..600_000].to_vec()].concat());
    peer.half_close();
    peer.expect(data(b"before"));
    peer.expect_end();
    assert_eq!(server.finish().ends[&End::Truncated], 1);
}

#[test]
fn a_reset_inside_a_frame_is_a_reset() {
    for fragment in [&b"\0\0"[..], b"\0\0\0\x05hel"] {
        let server = Server::echo();
        let mut peer = Peer::connect(server.address);
        peer.echoes(b"one");
        peer.send(fragment);
        peer.reset();
        // Another connection is unharmed.
        Peer::connect(server.address).echoes(b"two");
        let books = server.finish();
        assert_eq!(books.ends[&End::Reset], 1, "{books}");
        assert_eq!((books.frames_received, books.frames_answered), (2, 2));
    }
}

#[test]
fn a_declared_length_reserves_nothing() {
    let mut config = Config::default();
    config.max_frame = volley_proto::MaxFrame::CEILING;
    let server = Server::start(config);
    // 200 times 64 MiB would be 12 GiB.
    let mut peers: Vec<_> = (0..200).map(|_| Peer::connect(server.address)).collect();
    for peer in &mut peers {
        peer.send((64u32 << 20).to_be_bytes());
        peer.send(b"and no more");
    }
    Peer::connect(server.address).echoes(b"done with those");
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmPeak:"));
    if let Some(kib) = peak.and_then(|line| line.split_whitespace().next()) {
        assert!(kib.parse::<u64>().unwrap() < 8 << 20, "{kib} KiB");
    }
}

/// The frame arrives whole, and the reset with its last bytes. Long frames take a path of their
/// own.
#[tokio::test]
async fn a_reply_that_the_socket_refuses_counts_as_dropped() {
    for len in [10, 100_000, 300_000, 1 << 20] {
        let (shutdown, asked) = oneshot::channel::<()>();
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(serve(listener, Config::default(), asked));
        let mut peer = TcpStream::connect(address).await.unwrap();
        let frame = data(&pattern(len, 1));
        let (most, rest) = frame.split_at(frame.len() - 5);
        timeout(LIMIT, peer.write_all(most)).await.unwrap().unwrap();
        // Both sides share this thread: the server has read by then what it can.
        for _ in 0..1_000 {
            yield_now().await;
        }
        // From here on the server does not run, until the reset has been sent.
        assert_eq!(peer.try_write(rest).unwrap(), 5);
        SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
        drop(peer);
        let _ = shutdown.send(());
        let books = timeout(LIMIT, server).await.unwrap().unwrap().unwrap();
        check_books(&books);
        assert_eq!(books.frames_answered, 0, "{len} bytes: {books}");
        assert_eq!(books.ends[&End::Reset], 1, "{len} bytes: {books}");
    }
}

#[test]
fn a_peer_that_goes_on_sending_after_its_fault_still_reads_the_error() {
    for more in [0, 1, 1_000, 100_000, 200_000] {
        let server = Server::echo();
        let mut peer = Peer::connect(server.address);
        peer.send([data(b"good"), vec![0x7f; 4]].concat());
        let sender = peer.send_aside(pattern(more, 1));
        peer.expect(data(b"good"));
        let (code, last_seq, _) = peer.error();
        assert_eq!((code, last_seq), (1, 1));
        sender.join().unwrap().unwrap();
        // A clean end and not a reset, which could have come before the ERROR.
        peer.expect_end();
        // What is sent in the time of the lingering close is read too: against a closed socket
        // the second write would fail.
        for _ in 0..4 {
            peer.send(pattern(10_000, 2));
        }
        drop(peer);
        assert_eq!(server.finish().ends[&End::Error(Reason::TooLarge)], 1);
    }
}

#[test]
fn a_peer_that_sends_for_ever_after_its_fault_is_let_go() {
    let server = Server::echo();
    let mut peer = Peer::connect(server.address);
    peer.send([0x7f; 4]);
    let sender = peer.send_aside(vec![0; 64 << 20]);
    assert_eq!(peer.error().0, 1);
    assert!(sender.join().unwrap().is_err(), "all 64 MiB were read");
}

#[test]
fn a_silent_peer_that_keeps_its_end_open_after_its_fault_is_let_go() {
    let server = Server::echo();
    let mut peer = Peer::connect(server.address);
    peer.send([0x7f; 4]);
    assert_eq!(peer.error().0, 1);
    peer.expect_end();
    // The peer stays: the server must not wait for it.
    assert_eq!(server.finish().ends[&End::Error(Reason::TooLarge)], 1);
}
