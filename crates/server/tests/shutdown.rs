//! How a server ends: by a drain, by being dropped, or by a broken listener.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::error::Error;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use common::{
    GOAWAY, LIMIT, Peer, Received, Server, Volleyd, check_books, data, hello, pattern, welcome,
};
use socket2::{Domain, SockRef, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::timeout;
use volley_proto::ReplyKind;
use volley_server::{Books, Config, ConnectionLimit, End, Negotiated, ServeError, bind, serve};

fn drain_for(drain: Duration) -> Config {
    let mut config = Config::default();
    config.drain = drain;
    config
}

/// For those who are to be cut off at its end.
const SHORT: Duration = Duration::from_millis(200);

/// The next frame must be a GOAWAY for the shutdown. Returns the milliseconds that it leaves.
#[track_caller]
fn goaway(peer: &mut Peer) -> u64 {
    match peer.frame() {
        Received::Control { kind: GOAWAY, flags: 0, code: 7, arg, text } => {
            assert_eq!(text, "the server is shutting down");
            arg
        }
        other => panic!("no GOAWAY but {other:?}"),
    }
}

/// What those hear who are cut off.
const WAITS_NO_LONGER: &str = "the server is shutting down and waits no longer";

#[test]
fn a_server_that_shuts_down_accepts_no_more() {
    let server = Server::echo();
    let address = server.address;
    Peer::connect(address).echoes(b"open");
    let books = server.finish();
    assert_eq!((books.accepted, books.refused()), (1, 0));
    assert!(std::net::TcpStream::connect_timeout(&address, LIMIT).is_err());
}

#[test]
fn idle_plain_connections_are_closed_at_once() {
    let mut server = Server::start(drain_for(LIMIT * 10));
    let mut fresh = Peer::connect(server.address);
    let mut used = Peer::connect(server.address);
    used.echoes(b"hello");
    server.shut_down();
    // Neither a GOAWAY nor an ERROR: they did not say that they understand them.
    used.expect_end();
    fresh.expect_end();
    let books = server.finish();
    assert_eq!(books.ends[&End::Drained], 2);
}

#[test]
fn those_who_said_hello_are_told_and_answered_until_they_close() {
    let mut server = Server::start(drain_for(LIMIT));
    let mut peer = Peer::connect(server.address);
    peer.send(hello(0));
    peer.expect(welcome(1));
    peer.echoes(b"before");
    server.shut_down();
    let left = goaway(&mut peer);
    assert!((1..=20_000).contains(&left), "{left} ms of the 20 s drain");
    for i in 0..10 {
        peer.echoes(&pattern(i * 100, 1));
    }
    peer.half_close();
    peer.expect_end();
    let books = server.finish();
    assert_eq!(books.ends[&End::Closed], 1);
    assert_eq!((books.frames_received, books.frames_answered), (11, 11));
}

#[test]
fn goaway_is_the_bytes_of_the_protocol() {
    let mut server = Server::start(drain_for(LIMIT));
    let mut peer = Peer::connect(server.address);
    peer.send(hello(2));
    peer.expect(welcome(2));
    server.shut_down();
    peer.expect(b"\x80\0\0\x27\x03\0\0\x07\0\0\0\0\0\0");
    // Less than 20 s, in two bytes.
    let left = u16::from_be_bytes(peer.read(2).try_into().unwrap());
    assert!(left <= 20_000);
    peer.expect(b"the server is shutting down");
    peer.expect_nothing_yet();
}

#[test]
fn goaway_waits_for_the_replies_before_it() {
    let mut server = Server::start(drain_for(LIMIT));
    let mut peer = Peer::connect_narrow(server.address, 16 * 1024);
    peer.send(hello(1));
    peer.expect(welcome(1));
    let frame = data(&pattern(1 << 20, 1));
    // Its echo can't be written whole: nobody reads.
    let sender = peer.send_aside(frame.repeat(8));
    peer.expect(&frame[..100]);
    server.shut_down();
    peer.expect(&frame[100..]);
    let mut replies = 1;
    loop {
        match peer.frame() {
            Received::Data(payload) => {
                common::same_bytes(&payload, &frame[4..]);
                replies += 1;
            }
            other => {
                assert!(matches!(other, Received::Control { kind: GOAWAY, .. }), "{other:?}");
                break;
            }
        }
    }
    for _ in replies..8 {
        peer.expect(&frame);
    }
    sender.join().unwrap().unwrap();
    peer.half_close();
    peer.expect_end();
    assert_eq!(server.finish().frames_answered, 8);
}

#[test]
fn a_plain_peer_in_the_middle_of_a_frame_may_finish_it() {
    for len in [5, 100, 700_000] {
        let mut server = Server::start(drain_for(LIMIT));
        let frame = data(&pattern(len, 9));
        let (first, second) = frame.split_at(frame.len() / 2);
        let mut peer = Peer::connect(server.address);
        peer.echoes(b"before");
        peer.send(first);
        let mut idle = Peer::connect(server.address);
        idle.echoes(b"idle");
        server.shut_down();
        // When this one is closed the drain has begun.
        idle.expect_end();
        peer.send(second);
        peer.expect(&frame);
        // And then it is idle.
        peer.expect_end();
        let books = server.finish();
        assert_eq!(books.ends[&End::Drained], 2, "{books}");
        assert_eq!((books.frames_received, books.frames_answered), (3, 3));
    }
}

#[test]
fn stuck_peers_are_cut_off_at_the_deadline_and_counted() {
    let mut server = Server::start(drain_for(SHORT));
    // In the middle of a frame for ever.
    let mut slow = Peer::connect(server.address);
    slow.send(b"\0\0\0\x05hel");
    // Told, and silent.
    let mut told = Peer::connect(server.address);
    told.send(hello(0));
    told.expect(welcome(1));
    // Never reads.
    let mut deaf = Peer::connect_narrow(server.address, 16 * 1024);
    deaf.push_until_blocked(&data(&pattern(1 << 20, 1)), Duration::from_millis(500));
    let mut idle = Peer::connect(server.address);
    idle.echoes(b"all are there");
    server.shut_down();
    assert!(goaway(&mut told) <= 200);
    told.echoes(b"still answered");
    // Each that can hear it learns why, and how far the server got.
    assert_eq!(told.error(), (7, 1, WAITS_NO_LONGER.to_owned()));
    told.expect_end();
    let books = server.finish();
    assert_eq!(books.cut_off(), 3, "{books}");
    assert_eq!(books.ends[&End::Drained], 1, "{books}");
    assert!(books.frames_dropped() >= 1, "{books}");
    assert_eq!(slow.error(), (7, 0, WAITS_NO_LONGER.to_owned()));
    let (rest, _) = slow.read_to_any_end();
    assert!(rest.is_empty(), "a fragment gets no reply");
}

#[test]
fn a_drain_of_no_time_cuts_off_what_is_not_idle() {
    let server = Server::start(drain_for(Duration::ZERO));
    let mut idle = Peer::connect(server.address);
    idle.echoes(b"idle");
    let mut slow = Peer::connect(server.address);
    slow.send(b"\0\0\0\x05hel");
    idle.echoes(b"the fragment has been read");
    let books = server.finish();
    assert_eq!(books.cut_off() + books.ends.get(&End::Drained).unwrap_or(&0), 2, "{books}");
    assert!(books.cut_off() >= 1, "{books}");
}

#[test]
fn a_drain_without_end_can_be_asked_for() {
    let mut server = Server::start(drain_for(Duration::MAX));
    let mut peer = Peer::connect(server.address);
    peer.send(hello(0));
    peer.expect(welcome(1));
    server.shut_down();
    assert!(goaway(&mut peer) > 1_000_000_000, "as good as for ever");
    peer.echoes(b"still answered");
    peer.half_close();
    peer.expect_end();
    assert_eq!(server.finish().ends[&End::Closed], 1);
}

/// A server on the test's own thread: it runs only while the test waits.
struct Beside {
    address: SocketAddr,
    shutdown: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<Result<Books, ServeError>>,
}

impl Beside {
    async fn start(config: Config) -> Self {
        let (shutdown, asked) = oneshot::channel();
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(serve(listener, config, asked));
        for _ in 0..100 {
            yield_now().await;
        }
        Self { address, shutdown, task }
    }

    async fn finish(self) -> Books {
        let _ = self.shutdown.send(());
        let books = timeout(LIMIT, self.task).await.unwrap().unwrap().unwrap();
        check_books(&books);
        books
    }
}

#[tokio::test]
async fn connections_made_before_the_shutdown_are_served() {
    // One turn of the runtime accepts no more than about a hundred.
    for connections in [1, 500] {
        let server = Beside::start(Config::default()).await;
        let mut peers: Vec<_> = (0..connections).map(|_| Peer::connect(server.address)).collect();
        peers.iter_mut().for_each(|peer| peer.send(data(b"in time")));
        let books = server.finish().await;
        assert_eq!((books.accepted, books.frames_answered), (connections, connections), "{books}");
        for peer in &mut peers {
            peer.expect(data(b"in time"));
            peer.expect_end();
        }
    }
}

#[tokio::test]
async fn connections_made_before_the_shutdown_can_be_left_to_another_server() {
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let kept = listener.as_fd().try_clone_to_owned().unwrap();
    let mut peer = Peer::connect(address);
    peer.send(data(b"hello"));
    let server = volley_server::Server::new(listener, Config::default()).unwrap();
    server.handle().leave_backlog();
    // It is shut down before it has accepted anything.
    let books = timeout(LIMIT, server.run(async {})).await.unwrap().unwrap();
    assert_eq!(books.accepted, 0);
    let next = TcpListener::from_std(kept.into()).unwrap();
    let books = timeout(LIMIT, serve(next, Config::default(), async {})).await.unwrap().unwrap();
    assert_eq!((books.accepted, books.frames_answered), (1, 1));
    peer.expect(data(b"hello"));
    peer.expect_end();
}

#[tokio::test]
async fn connections_over_the_limit_are_told_so_by_a_shutdown_too() {
    let mut config = Config::default();
    config.connections = ConnectionLimit::new(1);
    let server = Beside::start(config).await;
    let mut peers: Vec<_> = (0..3).map(|_| Peer::connect(server.address)).collect();
    let books = server.finish().await;
    assert_eq!((books.accepted, books.refused()), (1, 2));
    peers[0].expect_end();
    for peer in &mut peers[1..] {
        assert_eq!(peer.error().0, 2);
        peer.expect_end();
    }
}

#[tokio::test]
async fn frames_received_before_the_shutdown_are_answered() {
    let server = Beside::start(Config::default()).await;
    let mut peer = Peer::connect(server.address);
    for _ in 0..100 {
        yield_now().await;
    }
    // Accepted, and now the server does not run until the shutdown is asked for.
    peer.send(data(b"in time").repeat(100));
    let books = server.finish().await;
    assert_eq!(books.frames_answered, 100, "{books}");
    peer.expect(data(b"in time").repeat(100));
    peer.expect_end();
}

#[tokio::test]
async fn dropping_the_future_ends_all_connections() {
    let server = Beside::start(Config::default()).await;
    let mut peers: Vec<_> = (0..10).map(|_| Peer::connect(server.address)).collect();
    peers[0].send(hello(0));
    peers[1].send(b"\0\0\0\x05hel");
    for _ in 0..100 {
        yield_now().await;
    }
    peers[0].expect(welcome(1));
    server.task.abort();
    assert!(timeout(LIMIT, server.task).await.unwrap().unwrap_err().is_cancelled());
    for _ in 0..100 {
        yield_now().await;
    }
    for peer in &mut peers {
        // No drain: no GOAWAY.
        assert_eq!(peer.error(), (7, 0, WAITS_NO_LONGER.to_owned()));
        assert!(peer.read_to_any_end().0.is_empty());
    }
    assert!(std::net::TcpStream::connect_timeout(&server.address, LIMIT).is_err());
}

#[tokio::test]
async fn a_listener_that_is_broken_from_the_start_is_an_error() {
    let directory = std::env::temp_dir().join(format!("volley-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let unix: OwnedFd = UnixListener::bind(directory.join("no-tcp")).unwrap().into();
    std::fs::remove_dir_all(&directory).unwrap();
    let silent = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    silent.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    for socket in [unix, silent.into()] {
        let listener: std::net::TcpListener = socket.into();
        listener.set_nonblocking(true).unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let served = serve(listener, Config::default(), std::future::pending::<()>());
        let error = timeout(LIMIT, served).await.unwrap().unwrap_err();
        assert!(matches!(error, ServeError::Listener(_)), "{error:?}");
        assert_eq!(error.to_string(), "cannot accept on the listener");
        assert!(error.source().is_some());
    }
}

#[test]
fn a_listener_that_breaks_ends_the_server_and_its_connections() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let responder = Negotiated::new(ReplyKind::Echo);
    let mut server = Server::start_on(Config::default(), responder, move |listener| {
        sender.send(SockRef::from(listener).try_clone().unwrap()).unwrap();
    });
    let listener: Socket = receiver.recv_timeout(LIMIT).unwrap();
    let mut peer = Peer::connect(server.address);
    peer.echoes(b"well");
    // From now on accept(2) says EINVAL.
    listener.shutdown(Shutdown::Both).unwrap();
    let error = server.outcome().unwrap_err();
    assert!(matches!(error, ServeError::Listener(_)), "{error:?}");
    peer.read_to_any_end();
}

/// Half-closed by the drain, a peer may still be sending: what it was promised must reach it.
#[test]
fn a_peer_that_reads_late_gets_the_replies_from_before_the_shutdown() {
    let mut server = Server::start(drain_for(LIMIT));
    let stream = std::net::TcpStream::connect_timeout(&server.address, LIMIT).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.set_write_timeout(Some(LIMIT)).unwrap();
    let frames = data(&pattern(1_000, 4)).repeat(100);
    (&stream).write_all(&frames).unwrap();
    let mut first = [0; 1_004];
    (&stream).read_exact(&mut first).unwrap();
    server.shut_down();
    let mut rest = Vec::new();
    (&stream).read_to_end(&mut rest).unwrap();
    common::same_bytes(&[&first[..], &rest].concat(), &frames);
}

/// On several threads the one that serves a connection may hear of the shutdown before another has
/// told it of the bytes.
#[test]
fn what_arrived_before_the_shutdown_is_answered_on_any_thread() {
    let mut command = Volleyd::command();
    command.args(["--listen", "127.0.0.1:0", "--threads", "4"]);
    // The signal must come right behind the bytes, with no look at the metrics between them.
    let daemon = Volleyd::spawn_alone(command, 1);
    let mut peers: Vec<_> = (0..50).map(|_| daemon.connect()).collect();
    for peer in &mut peers {
        peer.echoes(b"hello");
    }
    for peer in &mut peers {
        peer.send(data(b"last"));
        peer.half_close();
    }
    let (books, _) = daemon.finish();
    for peer in &mut peers {
        peer.expect(data(b"last"));
        peer.expect_end();
    }
    assert_eq!((books.ended("closed"), books.frames_answered), (50, 100));
}

/// A close with bytes unread, or bytes after a close, would be a reset, which destroys replies that
/// are still on their way.
#[test]
fn a_busy_plain_peer_reads_all_its_replies_and_then_the_end() {
    let mut server = Server::start(drain_for(LIMIT));
    let mut peer = Peer::connect(server.address);
    // The shutdown finds a frame half received, so it is the drain that answers the rest.
    peer.send(&data(b"first")[..3]);
    server.shut_down();
    peer.send(&data(b"first")[3..]);
    peer.expect(data(b"first"));
    peer.expect_end();
    // What comes now is too late for an answer, and must not look like a failure to the peer.
    peer.send(data(b"too late"));
    drop(peer);
    let books = server.finish();
    assert_eq!(books.frames_answered, 1);
}
