//! Data frames and their replies, byte for byte.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::time::{SystemTime, UNIX_EPOCH};

use common::{Peer, Received, Server, data, pattern, same_bytes};
use volley_proto::{MaxFrame, Receipt, crc32c};
use volley_server::{Config, End};

fn with_max_frame(bytes: u64) -> Config {
    let mut config = Config::default();
    config.max_frame = MaxFrame::new(bytes).unwrap();
    config
}

fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

/// The next reply must be a receipt.
#[track_caller]
fn receipt(peer: &mut Peer) -> Receipt {
    match peer.frame() {
        Received::Data(payload) => Receipt::parse(&payload).unwrap(),
        other => panic!("no receipt but {other:?}"),
    }
}

#[test]
fn an_echo_is_the_frame_that_was_sent() {
    let server = Server::echo();
    let mut peer = Peer::connect(server.address);
    peer.send(b"\0\0\0\x05hello");
    peer.expect(b"\0\0\0\x05hello");
    peer.send(b"\0\0\0\0");
    peer.expect(b"\0\0\0\0");
    drop(peer);
    let books = server.finish();
    assert_eq!((books.accepted, books.frames_received, books.frames_answered), (1, 2, 2));
    assert_eq!(books.payload_bytes, 5);
}

#[test]
fn a_receipt_has_the_layout_of_the_protocol() {
    let server = Server::ack();
    let mut peer = Peer::connect(server.address);
    let before = now();
    peer.send(b"\0\0\0\x05hello");
    let reply = peer.read(36);
    let after = now();
    assert_eq!(reply[..8], *b"\0\0\0\x20ACK1");
    assert_eq!(reply[8..12], [0x9a, 0x71, 0xbb, 0x4c]);
    assert_eq!(reply[12..20], 1u64.to_be_bytes());
    assert_eq!(reply[20..28], 5u64.to_be_bytes());
    let received_at = u64::from_be_bytes(reply[28..].try_into().unwrap());
    assert!((before..=after).contains(&received_at), "{before} {received_at} {after}");
}

#[test]
fn receipts_number_and_sum_up_the_frames_of_their_own_connection() {
    let server = Server::ack();
    let mut peers = [Peer::connect(server.address), Peer::connect(server.address)];
    let mut totals = [0, 0];
    let mut last = [0, 0];
    for seq in 1..=100 {
        for (which, peer) in peers.iter_mut().enumerate() {
            let payload = pattern(usize::try_from(seq).unwrap() * (which + 3) % 50, seq);
            totals[which] += payload.len() as u64;
            let before = now();
            peer.send(data(&payload));
            let found = receipt(peer);
            assert_eq!((found.seq, found.total), (seq, totals[which]));
            assert_eq!(found.crc32c, crc32c(&payload));
            assert!((before..=now()).contains(&found.received_at));
            assert!(found.received_at >= last[which]);
            last[which] = found.received_at;
        }
    }
    drop(peers);
    let books = server.finish();
    assert_eq!((books.frames_answered, books.payload_bytes), (200, totals[0] + totals[1]));
    assert_eq!(books.ends[&End::Closed], 2);
}

#[test]
fn frames_split_at_every_byte_are_answered() {
    let server = Server::echo();
    let bytes = [data(b"hello"), data(b""), data(b"world")].concat();
    for split in 1..bytes.len() {
        let mut peer = Peer::connect(server.address);
        peer.send(&bytes[..split]);
        // The frames before the split can be answered only once they have arrived, so this waits
        // until the server has read them.
        let whole = [9, 13].into_iter().filter(|&end| end <= split).max().unwrap_or(0);
        peer.expect(&bytes[..whole]);
        peer.send(&bytes[split..]);
        peer.expect(&bytes[whole..]);
    }
}

#[test]
fn a_frame_that_comes_byte_by_byte_is_answered_once_it_is_whole() {
    let server = Server::echo();
    let mut peer = Peer::connect(server.address);
    let mut other = Peer::connect(server.address);
    let frame = data(&pattern(300, 1));
    for (at, &byte) in frame.iter().enumerate() {
        peer.expect_nothing_yet();
        peer.send([byte]);
        // A turn of the server's loop lies between two bytes.
        if at % 16 == 0 {
            other.echoes(b"turn");
        }
    }
    peer.expect(&frame);
}

#[test]
fn many_frames_in_one_write_are_answered_in_order() {
    let server = Server::echo();
    let mut peer = Peer::connect(server.address);
    let burst: Vec<u8> =
        (0..500).flat_map(|i| data(&pattern(usize::try_from(i).unwrap() % 37, i))).collect();
    peer.send(&burst);
    peer.expect(&burst);
    drop(peer);
    assert_eq!(server.finish().frames_answered, 500);
}

#[test]
fn a_pipeline_of_thousands_is_answered_in_order() {
    for server in [Server::echo(), Server::ack()] {
        let mut peer = Peer::connect(server.address);
        peer.send(common::hello(1));
        peer.expect(common::welcome(1));
        let pipeline: Vec<u8> = (0u32..50_000).flat_map(|i| data(&i.to_be_bytes())).collect();
        let sender = peer.send_aside(pipeline.clone());
        peer.expect(&pipeline);
        sender.join().unwrap().unwrap();
        drop(peer);
        assert_eq!(server.finish().frames_answered, 50_000);
    }
}

#[test]
fn a_pipeline_of_thousands_gets_a_receipt_each() {
    let server = Server::ack();
    let mut peer = Peer::connect(server.address);
    // Lengths 0 to 40: replies both longer and shorter than what they answer, and as long.
    let payload = |seq: u64| pattern(usize::try_from(seq % 41).unwrap(), seq);
    let sender = peer.send_aside((1..=50_000).flat_map(|seq| data(&payload(seq))).collect());
    let mut total = 0;
    for seq in 1..=50_000 {
        let payload = payload(seq);
        total += payload.len() as u64;
        let found = receipt(&mut peer);
        assert_eq!((found.seq, found.total, found.crc32c), (seq, total, crc32c(&payload)));
    }
    sender.join().unwrap().unwrap();
}

#[test]
fn a_frame_of_the_longest_length_is_answered_and_a_longer_one_is_refused() {
    for max in [0, 1, 5, 1000, 262_140, 262_141, 1 << 20] {
        let server = Server::start(with_max_frame(max));
        let mut peer = Peer::connect(server.address);
        let longest = data(&pattern(usize::try_from(max).unwrap(), max));
        let sender = peer.send_aside(longest.clone());
        peer.expect(&longest);
        sender.join().unwrap().unwrap();
        // Its head is enough.
        peer.send((u32::try_from(max).unwrap() + 1).to_be_bytes());
        let plural = if max == 0 { "" } else { "s" };
        let text = format!("frame of {} byte{plural} exceeds the limit of {max}", max + 1);
        assert_eq!(peer.error(), (1, 1, text));
        peer.expect_end();
        drop(peer);
        let books = server.finish();
        assert_eq!((books.frames_received, books.frames_answered), (1, 1));
        assert_eq!(books.payload_bytes, max);
        assert_eq!(books.ends[&End::Error(volley_proto::Reason::TooLarge)], 1);
    }
}

#[test]
fn the_error_for_a_long_frame_is_the_one_of_the_protocol_page() {
    let server = Server::echo();
    let mut peer = Peer::connect(server.address);
    let frames = [data(b"a"), data(b"b"), data(b"c")].concat();
    peer.send([frames.clone(), 2_097_152u32.to_be_bytes().to_vec()].concat());
    peer.expect(&frames);
    peer.expect(b"\x80\0\0\x3f\x04\0\0\x01\0\0\0\0\0\0\0\x03");
    peer.expect(b"frame of 2097152 bytes exceeds the limit of 1048576");
    peer.expect_end();
}

#[test]
fn frames_that_do_not_fit_the_read_buffer_are_answered() {
    let server = Server::start(with_max_frame(64 << 20));
    for len in [262_139, 262_140, 262_141, (1 << 20) - 1, 3 << 20, 64 << 20] {
        let mut peer = Peer::connect(server.address);
        // Small ones around it: none may be lost, and none may come early.
        let bytes = [data(b"before"), data(&pattern(len, 7)), data(b"after")].concat();
        let sender = peer.send_aside(bytes.clone());
        peer.expect(&bytes);
        sender.join().unwrap().unwrap();
    }
    let books = server.finish();
    assert_eq!((books.frames_received, books.frames_answered), (18, 18));
}

#[test]
fn long_frames_get_their_receipts_too() {
    let mut config = with_max_frame(64 << 20);
    config.reply = volley_proto::ReplyKind::Ack;
    let server = Server::start(config);
    let mut peer = Peer::connect(server.address);
    let (first, second) = (pattern(64 << 20, 1), pattern(300_000, 2));
    let sender = peer.send_aside([data(&first), data(&second)].concat());
    let (one, two) = (receipt(&mut peer), receipt(&mut peer));
    sender.join().unwrap().unwrap();
    assert_eq!((one.seq, one.total, one.crc32c), (1, 64 << 20, crc32c(&first)));
    assert_eq!((two.seq, two.total, two.crc32c), (2, (64 << 20) + 300_000, crc32c(&second)));
}

#[test]
fn interleaved_connections_get_each_its_own() {
    let server = Server::echo();
    let mut peers: Vec<_> = (0..20).map(|_| Peer::connect(server.address)).collect();
    for round in 0..20 {
        let frame = |peer: usize| data(&pattern(round * 13, (round * 100 + peer) as u64));
        // The first half of every frame before the second half of any.
        for (i, peer) in peers.iter_mut().enumerate() {
            peer.send(&frame(i)[..2 + round]);
        }
        for (i, peer) in peers.iter_mut().enumerate().rev() {
            peer.send(&frame(i)[2 + round..]);
        }
        for (i, peer) in peers.iter_mut().enumerate() {
            same_bytes(&peer.read(frame(i).len()), &frame(i));
        }
    }
    drop(peers);
    let books = server.finish();
    assert_eq!((books.accepted, books.frames_answered), (20, 400));
}
