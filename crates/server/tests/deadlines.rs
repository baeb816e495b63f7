//! Deadlines: each ends its connection with its reason, is never early, and leaves those alone who
//! keep it.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{GOAWAY, Peer, Received, Server, control, data, hello, welcome};
use volley_proto::Reason;
use volley_server::{Books, Config, Deadlines, End};

const SHORT: Duration = Duration::from_millis(200);

/// A server with no deadline but those that are set here.
fn start(set: impl FnOnce(&mut Deadlines)) -> Server {
    let mut config = Config::default();
    config.deadlines = Deadlines::off();
    set(&mut config.deadlines);
    Server::start(config)
}

/// The peer is told this and no other thing, not before the deadline, and the connection ends.
#[track_caller]
fn expect_error(peer: &mut Peer, since: Instant, code: u16, last_seq: u64, text: &str) {
    assert_eq!(peer.error(), (code, last_seq, text.to_owned()));
    assert!(since.elapsed() >= SHORT, "after {:?}", since.elapsed());
    peer.half_close();
    peer.expect_end();
}

#[track_caller]
fn ended(books: &Books, reason: Reason) {
    assert_eq!(books.ends.get(&End::Error(reason)), Some(&1), "{books}");
}

#[test]
fn a_peer_that_sends_nothing_is_told_that_it_is_idle() {
    let server = start(|deadlines| deadlines.first_frame = Some(SHORT));
    let since = Instant::now();
    let mut peer = Peer::connect(server.address);
    expect_error(&mut peer, since, 4, 0, "no whole frame came within 200ms of connecting");
    ended(&server.finish(), Reason::Idle);
}

#[test]
fn a_first_frame_that_does_not_become_whole_is_too_slow() {
    let server = start(|deadlines| deadlines.first_frame = Some(SHORT));
    let since = Instant::now();
    let mut peer = Peer::connect(server.address);
    peer.send(&data(b"hello")[..6]);
    expect_error(&mut peer, since, 5, 0, "no whole frame came within 200ms of connecting");
    ended(&server.finish(), Reason::FrameTooSlow);
}

#[test]
fn a_hello_is_a_first_frame_and_what_comes_later_has_its_time() {
    let server = start(|deadlines| deadlines.first_frame = Some(SHORT));
    let mut greeted = Peer::connect(server.address);
    greeted.send(hello(0));
    greeted.expect(welcome(1));
    let mut plain = Peer::connect(server.address);
    plain.echoes(b"first");
    sleep(3 * SHORT);
    greeted.echoes(b"second");
    plain.echoes(b"second");
    drop((greeted, plain));
    assert_eq!(server.finish().frames_answered, 3);
}

#[test]
fn a_frame_that_drips_in_is_too_slow_and_those_before_it_are_answered() {
    let server = start(|deadlines| deadlines.frame = Some(SHORT));
    let mut peer = Peer::connect(server.address);
    peer.echoes(b"one");
    peer.echoes(b"two");
    let since = Instant::now();
    for byte in data(&[7; 1000]) {
        // The server may have closed.
        if peer.try_send(&[byte]).is_err() || since.elapsed() > 2 * SHORT {
            break;
        }
        sleep(Duration::from_millis(10));
    }
    expect_error(&mut peer, since, 5, 2, "a frame of 1004 bytes did not come within 200ms");
    ended(&server.finish(), Reason::FrameTooSlow);
}

/// 20 ms and what 100,004 bytes take at 100 kB/s: a good second.
#[test]
fn a_large_frame_has_the_time_that_it_takes_at_the_lowest_rate() {
    let server = start(|deadlines| {
        deadlines.frame = Some(Duration::from_millis(20));
        deadlines.min_rate = Some(100_000);
    });
    let frame = data(&common::pattern(100_000, 1));
    let mut peer = Peer::connect(server.address);
    for part in frame.chunks(20_001) {
        peer.send(part);
        sleep(Duration::from_millis(60));
    }
    peer.expect(&frame);
    let since = Instant::now();
    peer.send(&frame[..50_000]);
    let (code, last_seq, text) = peer.error();
    assert_eq!((code, last_seq), (5, 1));
    assert_eq!(text, "a frame of 100004 bytes did not come within 1.02s");
    assert!(since.elapsed() >= Duration::from_millis(1020), "{:?}", since.elapsed());
}

#[test]
fn an_idle_peer_is_told_and_one_that_sends_now_and_then_is_not() {
    let server = start(|deadlines| deadlines.idle = Some(SHORT));
    let mut idle = Peer::connect(server.address);
    idle.echoes(b"one");
    let since = Instant::now();
    let mut busy = Peer::connect(server.address);
    for _ in 0..8 {
        busy.echoes(b"here");
        sleep(SHORT / 4);
    }
    expect_error(&mut idle, since, 4, 1, "no frame came for 200ms");
    busy.echoes(b"still here");
    drop(busy);
    ended(&server.finish(), Reason::Idle);
}

#[test]
fn a_peer_that_does_not_read_is_cut_and_its_frames_are_booked_as_dropped() {
    let server = start(|deadlines| deadlines.write = Some(SHORT));
    let since = Instant::now();
    let mut deaf = Peer::connect_narrow(server.address, 16 * 1024);
    deaf.push_until_reset(&data(&[7; 10_000]));
    assert!(since.elapsed() >= SHORT, "{:?}", since.elapsed());
    let books = server.finish();
    ended(&books, Reason::ReaderTooSlow);
    assert_eq!(
        books.dropped.get(&End::Error(Reason::ReaderTooSlow)),
        Some(&books.frames_dropped())
    );
    assert!(books.frames_dropped() > 0, "{books}");
}

/// A byte now and then is no progress to live on.
#[test]
fn a_peer_that_reads_by_the_byte_is_cut_too() {
    let server = start(|deadlines| deadlines.write = Some(SHORT));
    let mut slow = Peer::connect_narrow(server.address, 16 * 1024);
    let sender = slow.send_aside(data(&[7; 1 << 20]).repeat(64));
    let since = Instant::now();
    while !sender.is_finished() {
        assert!(since.elapsed() < common::LIMIT, "it is still served");
        slow.read_a_little();
        sleep(Duration::from_millis(5));
    }
    assert!(sender.join().unwrap().is_err());
    drop(slow);
    ended(&server.finish(), Reason::ReaderTooSlow);
}

#[test]
fn a_reader_that_takes_its_replies_slowly_and_steadily_is_served() {
    let server = start(|deadlines| {
        deadlines.write = Some(SHORT);
        deadlines.min_rate = Some(1 << 20);
    });
    let mut slow = Peer::connect(server.address);
    // More than the kernel's buffers hold, and in parts that open the window again: a shut one is
    // asked for only every 200 ms.
    let frames = data(&common::pattern(1 << 20, 3)).repeat(32);
    let sender = slow.send_aside(frames.clone());
    for part in frames.chunks(1 << 20) {
        slow.expect(part);
        sleep(Duration::from_millis(20));
    }
    sender.join().unwrap().unwrap();
    drop(slow);
    assert_eq!(server.finish().frames_answered, 32);
}

#[test]
fn an_old_connection_is_asked_to_go_and_served_until_it_does() {
    let server = start(|deadlines| deadlines.lifetime = Some(SHORT));
    let since = Instant::now();
    let mut peer = Peer::connect(server.address);
    peer.send(hello(0));
    peer.expect(welcome(1));
    peer.echoes(b"young");
    let text = "the connection is as old as one may get".to_owned();
    let goaway = Received::Control { kind: GOAWAY, flags: 0, code: 11, arg: 10_000, text };
    assert_eq!(peer.frame(), goaway);
    assert!(since.elapsed() >= SHORT, "{:?}", since.elapsed());
    peer.echoes(b"on its way");
    peer.leave();
    let books = server.finish();
    assert_eq!((books.frames_answered, books.ends.get(&End::Closed)), (2, Some(&1)));
}

#[test]
fn an_old_connection_that_does_not_go_is_ended() {
    let mut config = Config::default();
    config.deadlines = Deadlines::off();
    config.deadlines.lifetime = Some(SHORT);
    config.drain = SHORT;
    let server = Server::start(config);
    let mut peer = Peer::connect(server.address);
    peer.send(hello(0));
    peer.expect(welcome(1));
    let Received::Control { kind: GOAWAY, code: 11, .. } = peer.frame() else {
        panic!("no GOAWAY")
    };
    peer.echoes(b"still here");
    assert_eq!(peer.error(), (11, 1, "the connection is older than 200ms".to_owned()));
    drop(peer);
    ended(&server.finish(), Reason::LifetimeOver);
}

#[test]
fn an_old_plain_connection_is_ended_between_two_frames() {
    let server = start(|deadlines| deadlines.lifetime = Some(SHORT));
    let since = Instant::now();
    let mut peer = Peer::connect(server.address);
    peer.echoes(b"young");
    expect_error(&mut peer, since, 11, 1, "the connection is older than 200ms");
    ended(&server.finish(), Reason::LifetimeOver);
}

#[test]
fn without_deadlines_nobody_is_ended() {
    let server = start(|_| {});
    let mut silent = Peer::connect(server.address);
    let mut halfway = Peer::connect(server.address);
    halfway.send(&data(b"hello")[..6]);
    sleep(3 * SHORT);
    silent.echoes(b"late");
    halfway.send(&data(b"hello")[6..]);
    halfway.expect(data(b"hello"));
}

#[test]
fn other_deadlines_hold_for_open_connections_at_once() {
    let server = start(|_| {});
    let mut peer = Peer::connect(server.address);
    peer.echoes(b"one");
    let mut config = server.handle.config();
    config.deadlines.idle = Some(SHORT);
    server.handle.reconfigure(config);
    assert_eq!(peer.error(), (4, 1, "no frame came for 200ms".to_owned()));
    drop(peer);
    ended(&server.finish(), Reason::Idle);
}

#[test]
fn an_error_of_a_deadline_is_a_control_frame_like_any_other() {
    let server = start(|deadlines| deadlines.idle = Some(SHORT));
    let mut peer = Peer::connect(server.address);
    peer.echoes(b"one");
    peer.expect(control(common::ERROR, 0, 4, 1, b"no frame came for 200ms"));
    peer.half_close();
    peer.expect_end();
}
