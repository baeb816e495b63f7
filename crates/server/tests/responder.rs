//! Replies of one's own: whatever a responder does, each frame gets one reply, in order.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{LIMIT, Peer, Received, Server, data, hello, pattern, same_bytes, welcome};
use socket2::SockRef;
use tokio::io::AsyncReadExt;
use tokio::net::TcpSocket;
use tokio::time::timeout;
use volley_proto::{MaxFrame, Reason, Receipt, ReplyKind};
use volley_server::{Config, End, Replied, Request, Responder, Slot, bind, serve};

/// The one of the example.
#[derive(Clone)]
struct Shout;

impl Responder for Shout {
    fn respond(&mut self, request: &Request<'_>, slot: Slot<'_, '_>) -> Replied {
        slot.send(&request.payload().to_ascii_uppercase())
    }
}

/// Replies in every way that there is, by what the frame begins with.
#[derive(Clone)]
struct AsTold;

impl Responder for AsTold {
    fn respond(&mut self, request: &Request<'_>, slot: Slot<'_, '_>) -> Replied {
        match request.payload() {
            [b'e', ..] => slot.echo(),
            [b's', rest @ ..] => slot.send(rest),
            [b'w', rest @ ..] => slot.send_with(rest.len() + 2, |reply| {
                assert!(reply.iter().all(|&byte| byte == 0), "it begins as zeros");
                reply[1..=rest.len()].copy_from_slice(rest);
            }),
            b"panic" => panic!("as told"),
            b"panic while filling" => slot.send_with(1_000, |reply| {
                reply[0] = 1;
                panic!("as told");
            }),
            b"panic after the reply" => {
                let _ = slot.send(b"never to be seen");
                panic!("as told");
            }
            b"panic after the echo" => {
                let _ = slot.echo();
                panic!("as told");
            }
            _ => slot.send(&[]),
        }
    }

    fn grant(&mut self, wanted: Option<ReplyKind>) -> ReplyKind {
        assert!(wanted != Some(ReplyKind::Ack), "as told");
        ReplyKind::Echo
    }
}

#[test]
fn a_server_can_shout() {
    let server = Server::start_with(Config::default(), Shout);
    let mut peer = Peer::connect(server.address);
    peer.send([data(b"hello"), data(b""), data(b"Frame")].concat());
    peer.expect([data(b"HELLO"), data(b""), data(b"FRAME")].concat());
    drop(peer);
    assert_eq!(server.finish().frames_answered, 3);
}

#[test]
fn a_responder_that_grants_nothing_itself_grants_echo() {
    let server = Server::start_with(Config::default(), Shout);
    for wanted in 0..=2 {
        let mut peer = Peer::connect(server.address);
        peer.send([hello(wanted), data(b"x")].concat());
        peer.expect([welcome(1), data(b"X")].concat());
    }
}

#[test]
fn echoes_and_other_replies_can_be_mixed() {
    let server = Server::start_with(Config::default(), AsTold);
    let mut peer = Peer::connect(server.address);
    let (mut sent, mut expected) = (Vec::new(), Vec::new());
    for seed in 0..3_000 {
        let noise = pattern(usize::try_from(seed * 7 % 300).unwrap(), seed);
        let with = |first: &[u8], last: &[u8]| data(&[first, &noise, last].concat());
        // Runs of echoes, of the others, and changes between them.
        let (frame, reply) = match seed / 5 * seed % 4 {
            0 | 1 => (with(b"e", b""), with(b"e", b"")),
            2 => (with(b"s", b""), with(b"", b"")),
            _ => (with(b"w", b""), with(b"\0", b"\0")),
        };
        sent.extend(frame);
        expected.extend(reply);
    }
    let sender = peer.send_aside(sent);
    peer.expect(&expected);
    sender.join().unwrap().unwrap();
}

#[test]
fn a_reply_can_be_far_longer_than_its_request() {
    #[derive(Clone)]
    struct Huge;
    impl Responder for Huge {
        fn respond(&mut self, request: &Request<'_>, slot: Slot<'_, '_>) -> Replied {
            slot.send(&pattern(5 << 20, request.seq()))
        }
    }
    let server = Server::start_with(Config::default(), Huge);
    let mut peer = Peer::connect(server.address);
    peer.send(data(b"").repeat(8));
    peer.half_close();
    for seq in 1..=8 {
        peer.expect(data(&pattern(5 << 20, seq)));
    }
    peer.expect_end();
    assert_eq!(server.finish().frames_answered, 8);
}

#[test]
fn a_peer_that_does_not_read_huge_replies_gets_no_more_of_them_made() {
    #[derive(Clone)]
    struct Counted(Arc<AtomicUsize>);
    impl Responder for Counted {
        fn respond(&mut self, request: &Request<'_>, slot: Slot<'_, '_>) -> Replied {
            if request.payload() == b"small" {
                return slot.echo();
            }
            self.0.fetch_add(1, Ordering::Relaxed);
            slot.send(&pattern(8 << 20, request.seq()))
        }
    }
    let made = Arc::new(AtomicUsize::new(0));
    let server = Server::start_with(Config::default(), Counted(Arc::clone(&made)));
    let mut peer = Peer::connect_narrow(server.address, 64 * 1024);
    peer.send(data(b"").repeat(10));
    let mut other = Peer::connect(server.address);
    // Each exchange is at least one turn of the server's loop.
    for _ in 0..500 {
        other.echoes(b"small");
    }
    // One is being written; the kernel's send buffer, 4 MiB at most by default, holds no other.
    assert!(made.load(Ordering::Relaxed) <= 2, "{made:?}");
    peer.half_close();
    for seq in 1..=10 {
        peer.expect(data(&pattern(8 << 20, seq)));
    }
    peer.expect_end();
    assert_eq!(made.load(Ordering::Relaxed), 10);
}

/// A reply can be as long as its request without being its echo.
#[test]
fn a_long_reply_of_the_same_length_is_not_taken_for_an_echo() {
    let mut config = Config::default();
    config.max_frame = MaxFrame::CEILING;
    let server = Server::start_with(config, Shout);
    let mut peer = Peer::connect_narrow(server.address, 64 * 1024);
    let whisper = b"quiet".repeat(16 << 20).split_off(16 << 20);
    peer.send(data(&whisper));
    peer.half_close();
    peer.expect(data(&whisper.to_ascii_uppercase()));
    peer.expect_end();
}

/// As above, with the daemon's own receipts: one is 36 bytes long, as is a frame of 32.
#[tokio::test]
async fn receipts_as_long_as_their_frames_stay_receipts() {
    let mut config = Config::default();
    config.reply = ReplyKind::Ack;
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    SockRef::from(&listener).set_send_buffer_size(8 * 1024).unwrap();
    let address = listener.local_addr().unwrap();
    let _server = tokio::spawn(serve(listener, config, pending::<()>()));
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    let mut peer = timeout(LIMIT, socket.connect(address)).await.unwrap().unwrap();
    // As many small ones as fill a batch of 256 KiB with their receipts, which the socket does not
    // take at once; and those of 32, which wait until it does. All come in one read: both sides
    // share this thread.
    let (small, alike) = (7_282, 500);
    let frames = [data(b"").repeat(small), data(&[b'x'; 32]).repeat(alike)].concat();
    peer.writable().await.unwrap();
    assert_eq!(peer.try_write(&frames).unwrap(), frames.len());
    for seq in 1..=small + alike {
        let mut reply = [0; 36];
        timeout(LIMIT, peer.read_exact(&mut reply)).await.unwrap().unwrap();
        let receipt = Receipt::parse(&reply[4..]);
        assert_eq!(receipt.map(|receipt| receipt.seq), Ok(seq as u64), "{reply:02x?}");
    }
}

const FAILED: &str = "the server failed to answer this frame";

#[test]
fn a_panic_is_an_internal_error_for_its_own_connection_only() {
    let server = Server::start_with(Config::default(), AsTold);
    let mut other = Peer::connect(server.address);
    other.echoes(b"e before");
    let mut peer = Peer::connect(server.address);
    peer.send([data(b"e one"), data(b"stwo"), data(b"panic"), data(b"e never")].concat());
    peer.expect([data(b"e one"), data(b"two")].concat());
    assert_eq!(peer.error(), (9, 2, FAILED.to_owned()));
    peer.expect_end();
    other.echoes(b"e after");
    drop((peer, other));
    let books = server.finish();
    assert_eq!(books.ends[&End::Error(Reason::Internal)], 1);
    assert_eq!(books.ends[&End::Closed], 1);
    // The one that failed arrived, and was not answered; the one behind it was not looked at.
    assert_eq!((books.frames_received, books.frames_answered), (5, 4));
}

#[test]
fn a_panic_at_the_first_frame_has_answered_none() {
    let server = Server::start_with(Config::default(), AsTold);
    let mut peer = Peer::connect(server.address);
    peer.send(data(b"panic"));
    assert_eq!(peer.error(), (9, 0, FAILED.to_owned()));
    peer.expect_end();
    drop(peer);
    let books = server.finish();
    assert_eq!((books.frames_received, books.frames_answered), (1, 0));
}

#[test]
fn nothing_of_a_reply_is_sent_whose_responder_panics() {
    for told in ["panic while filling", "panic after the reply", "panic after the echo"] {
        for before in [&[][..], &[&b"e one"[..]], &[b"e one", b"s two", b"w three"]] {
            let server = Server::start_with(Config::default(), AsTold);
            let mut peer = Peer::connect(server.address);
            peer.send(hello(0));
            peer.expect(welcome(1));
            // All in one batch.
            let mut frames: Vec<u8> = before.iter().flat_map(|payload| data(payload)).collect();
            frames.extend(data(told.as_bytes()));
            peer.send(frames);
            for _ in before {
                assert!(matches!(peer.frame(), Received::Data(_)), "{told}");
            }
            let answered = before.len() as u64;
            assert_eq!(peer.error(), (9, answered, FAILED.to_owned()), "{told}");
            peer.expect_end();
            drop(peer);
            let books = server.finish();
            assert_eq!((books.frames_received, books.frames_answered), (answered + 1, answered));
        }
    }
}

#[test]
fn a_panic_at_hello_is_an_internal_error_too() {
    let server = Server::start_with(Config::default(), AsTold);
    let mut other = Peer::connect(server.address);
    let mut peer = Peer::connect(server.address);
    peer.send([hello(2), data(b"e never")].concat());
    let (code, last_seq, _) = peer.error();
    assert_eq!((code, last_seq), (9, 0));
    peer.expect_end();
    other.echoes(b"e unharmed");
    drop((peer, other));
    let books = server.finish();
    assert_eq!(books.ends[&End::Error(Reason::Internal)], 1, "{books}");
    assert_eq!((books.frames_received, books.frames_answered), (1, 1));
}

#[test]
fn each_connection_has_a_responder_of_its_own() {
    #[derive(Clone)]
    struct Counter(u8);
    impl Responder for Counter {
        fn respond(&mut self, _: &Request<'_>, slot: Slot<'_, '_>) -> Replied {
            self.0 += 1;
            slot.send(&[self.0])
        }
    }
    let server = Server::start_with(Config::default(), Counter(0));
    let mut peers = [Peer::connect(server.address), Peer::connect(server.address)];
    for round in 1..=3 {
        for peer in &mut peers {
            peer.send(data(b""));
            same_bytes(&peer.read(5), &data(&[round]));
        }
    }
}
