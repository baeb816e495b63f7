//! Peers that don't read: they cost a batch and the socket's buffers, and nobody else a reply.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::time::Duration;

use common::{Peer, Received, Server, data, pattern, same_bytes};
use socket2::SockRef;
use volley_proto::{Receipt, ReplyKind};
use volley_server::{Config, End, Negotiated};

/// Of the sockets here. The kernel takes double, and counts its own overhead in.
const BUFFER: usize = 64 * 1024;

/// Four buffers lie between the two ends, and a batch is read of which the replies wait.
const BETWEEN: usize = 4 * 2 * BUFFER + 256 * 1024;

/// How long a write must be stuck to count as blocked for good.
const STUCK: Duration = Duration::from_millis(500);

fn narrow(reply: ReplyKind) -> Server {
    let mut config = Config::default();
    config.reply = reply;
    Server::start_on(config, Negotiated::new(reply), |listener| {
        // What it accepts inherits them.
        SockRef::from(listener).set_recv_buffer_size(BUFFER).unwrap();
        SockRef::from(listener).set_send_buffer_size(BUFFER).unwrap();
    })
}

#[test]
fn a_flood_of_empty_frames_that_reads_no_echo_is_no_longer_read() {
    let server = narrow(ReplyKind::Echo);
    let mut peer = Peer::connect_tight(server.address, BUFFER);
    let pushed = peer.push_until_blocked(&data(b""), STUCK);
    assert!(pushed < BETWEEN, "{pushed} bytes");
    Peer::connect(server.address).echoes(b"the others go on");
    // The rest of the last one.
    let sender = peer.send_aside(vec![0; (4 - pushed % 4) % 4]);
    let frames = pushed.div_ceil(4);
    same_bytes(&peer.read(4 * frames), &data(b"").repeat(frames));
    sender.join().unwrap().unwrap();
    peer.half_close();
    peer.expect_end();
    assert_eq!(server.finish().frames_answered, frames as u64 + 1);
}

#[test]
fn a_flood_of_empty_frames_that_reads_no_receipt_is_no_longer_read() {
    let server = narrow(ReplyKind::Ack);
    let mut peer = Peer::connect_tight(server.address, BUFFER);
    let pushed = peer.push_until_blocked(&data(b""), STUCK);
    // A receipt is nine times as long as an empty frame, so it is less than for echoes.
    assert!(pushed < BETWEEN, "{pushed} bytes");
    let sender = peer.send_aside(vec![0; (4 - pushed % 4) % 4]);
    let frames = pushed.div_ceil(4) as u64;
    for seq in 1..=frames {
        let Received::Data(payload) = peer.frame() else { panic!("no data frame") };
        assert_eq!(Receipt::parse(&payload).unwrap().seq, seq);
    }
    sender.join().unwrap().unwrap();
    peer.half_close();
    peer.expect_end();
    assert_eq!(server.finish().frames_answered, frames);
}

#[test]
fn a_flood_of_long_frames_that_reads_nothing_is_no_longer_read() {
    let server = narrow(ReplyKind::Echo);
    let mut peer = Peer::connect_tight(server.address, BUFFER);
    let frame = data(&pattern(700_000, 5));
    let pushed = peer.push_until_blocked(&frame, STUCK);
    // One frame is kept besides, while its echo is on its way.
    assert!(pushed < BETWEEN + frame.len(), "{pushed} bytes");
    let missing = frame.len() - pushed % frame.len();
    let sender = peer.send_aside(frame[frame.len() - missing..].to_vec());
    let frames = pushed / frame.len() + 1;
    same_bytes(&peer.read(frames * frame.len()), &frame.repeat(frames));
    sender.join().unwrap().unwrap();
    drop(peer);
    assert_eq!(server.finish().frames_answered, frames as u64);
}

#[test]
fn a_peer_that_reads_slowly_gets_everything_in_order() {
    let server = narrow(ReplyKind::Echo);
    let mut peer = Peer::connect_tight(server.address, BUFFER);
    let frames: Vec<u8> =
        (0..4_000).flat_map(|i| data(&pattern(usize::try_from(i).unwrap() % 700, i))).collect();
    let sender = peer.send_aside(frames.clone());
    for part in frames.chunks(997) {
        same_bytes(&peer.read(part.len()), part);
    }
    sender.join().unwrap().unwrap();
}

#[test]
fn a_peer_that_leaves_without_reading_is_booked_with_what_it_missed() {
    for reply in [ReplyKind::Echo, ReplyKind::Ack] {
        let server = narrow(reply);
        let mut peer = Peer::connect_tight(server.address, BUFFER);
        peer.push_until_blocked(&data(b"x"), STUCK);
        // It closes with unread replies, which is a reset.
        drop(peer);
        let books = server.finish();
        assert_eq!(books.ends[&End::Reset], 1, "{books}");
        assert!(books.frames_dropped() > 0, "{books}");
        assert_eq!(books.frames_received, books.payload_bytes);
    }
}

#[test]
fn peers_that_do_not_read_hold_nobody_up() {
    let server = narrow(ReplyKind::Ack);
    let mut stuck: Vec<_> = (0..5).map(|_| Peer::connect_tight(server.address, BUFFER)).collect();
    let flood = data(b"").repeat(BETWEEN / 4);
    let floods: Vec<_> = stuck.iter().map(|peer| peer.send_aside(flood.clone())).collect();
    let mut other = Peer::connect(server.address);
    other.send(common::hello(1));
    other.expect(common::welcome(1));
    for round in 0..200 {
        other.echoes(&pattern(round * 10, 1));
    }
    for (peer, flood) in stuck.iter_mut().zip(floods) {
        let replies = peer.read(36 * (BETWEEN / 4));
        assert_eq!(replies[replies.len() - 24..][..8], (BETWEEN as u64 / 4).to_be_bytes());
        flood.join().unwrap().unwrap();
    }
}
