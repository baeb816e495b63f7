//! The greeting, and the control frames that may not come from a client.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use common::{
    ERROR, GOAWAY, HELLO, Peer, Received, Server, WELCOME, control, data, hello, welcome,
};
use volley_proto::{MaxFrame, Reason, Receipt};
use volley_server::{Config, End};

fn listener(reply: u8) -> Server {
    if reply == 1 { Server::echo() } else { Server::ack() }
}

#[test]
fn hello_is_granted_what_it_asks_for() {
    for (own, wanted, granted) in [(1, 0, 1), (1, 1, 1), (1, 2, 2), (2, 0, 2), (2, 1, 1), (2, 2, 2)]
    {
        let server = listener(own);
        let mut peer = Peer::connect(server.address);
        peer.send(hello(wanted));
        peer.expect(welcome(granted));
        for seq in 1..=3 {
            peer.send(data(b"hello"));
            let Received::Data(reply) = peer.frame() else { panic!("no data frame") };
            if granted == 1 {
                assert_eq!(reply, b"hello");
            } else {
                let receipt = Receipt::parse(&reply).unwrap();
                assert_eq!((receipt.seq, receipt.total), (seq, 5 * seq));
                assert_eq!(receipt.crc32c, 0x9a71_bb4c);
            }
        }
        drop(peer);
        // HELLO is no data frame.
        assert_eq!(server.finish().frames_received, 3);
    }
}

#[test]
fn the_bytes_of_the_greeting_are_those_of_the_protocol_page() {
    let server = Server::echo();
    let mut peer = Peer::connect(server.address);
    peer.send(b"\x80\0\0\x0c\x01\x02\0\x01\0\0\0\0\0\0\0\0");
    peer.expect(b"\x80\0\0\x0c\x02\x02\0\x01\0\0\0\0\0\x10\0\0");
}

#[test]
fn welcome_tells_the_longest_frame() {
    for max in [0, 100, 64 << 20] {
        let mut config = Config::default();
        config.max_frame = MaxFrame::new(max).unwrap();
        let server = Server::start(config);
        let mut peer = Peer::connect(server.address);
        peer.send(hello(0));
        peer.expect(control(WELCOME, 1, 1, max, b""));
    }
}

#[test]
fn hello_and_frames_in_one_packet_are_answered_in_order() {
    let server = Server::echo();
    let mut peer = Peer::connect(server.address);
    let frames = [data(b"one"), data(b""), data(b"three")].concat();
    peer.send([control(HELLO, 1, 1, 0, b"a test"), frames.clone()].concat());
    peer.expect([welcome(1), frames].concat());
}

#[test]
fn a_hello_split_at_every_byte_is_understood() {
    let server = Server::ack();
    let greeting = control(HELLO, 1, 1, 0, "ö".repeat(100).as_bytes());
    assert_eq!(greeting.len(), 216);
    for split in 1..greeting.len() {
        let mut peer = Peer::connect(server.address);
        peer.send(&greeting[..split]);
        peer.send(&greeting[split..]);
        peer.expect(welcome(1));
        peer.echoes(b"x");
    }
}

#[test]
fn hello_counts_only_as_the_very_first_frame() {
    let late = "HELLO after the first frame".to_owned();
    let server = Server::echo();
    let mut peer = Peer::connect(server.address);
    peer.send([hello(0), hello(0)].concat());
    peer.expect(welcome(1));
    assert_eq!(peer.error(), (8, 0, late.clone()));
    peer.expect_end();

    let mut peer = Peer::connect(server.address);
    peer.send([data(b"first"), hello(0), data(b"never")].concat());
    peer.expect(data(b"first"));
    assert_eq!(peer.error(), (8, 1, late.clone()));
    peer.expect_end();

    let mut peer = Peer::connect(server.address);
    peer.send([hello(2), data(b"a"), data(b"b")].concat());
    peer.expect(welcome(2));
    peer.read(2 * 36);
    peer.send(hello(2));
    assert_eq!(peer.error(), (8, 2, late));
    peer.expect_end();

    drop(peer);
    let books = server.finish();
    assert_eq!(books.ends[&End::Error(Reason::Protocol)], 3);
    assert_eq!((books.frames_received, books.frames_answered), (3, 3));
}

#[test]
fn the_servers_own_control_frames_are_refused_from_a_client() {
    let server = Server::echo();
    for (kind, flags, name) in [(WELCOME, 1, "WELCOME"), (GOAWAY, 0, "GOAWAY"), (ERROR, 0, "ERROR")]
    {
        for greeted in [false, true] {
            let mut peer = Peer::connect(server.address);
            if greeted {
                peer.send(hello(0));
                peer.expect(welcome(1));
            }
            peer.send(control(kind, flags, 1, 0, b""));
            let text = format!("{name} from a client: only HELLO may come from one");
            assert_eq!(peer.error(), (8, 0, text));
            peer.expect_end();
        }
    }
}

#[test]
fn illegal_control_frames_are_refused_by_name() {
    let server = Server::echo();
    let cases = [
        (control(0, 0, 1, 0, b""), "control frame of unknown type 0"),
        (control(5, 0, 1, 0, b""), "control frame of unknown type 5"),
        (control(255, 0, 1, 0, b""), "control frame of unknown type 255"),
        (control(HELLO, 3, 1, 0, b""), "HELLO with unknown flags 3"),
        (control(HELLO, 0x82, 1, 0, b""), "HELLO with unknown flags 130"),
        (control(HELLO, 0, 0, 0, b""), "protocol version 0: only version 1 is known"),
        (control(HELLO, 0, 2, 0, b""), "protocol version 2: only version 1 is known"),
        (
            control(HELLO, 0, 1, 0, b"ab\xffcd"),
            "control frame whose text is not UTF-8 from byte 2 on",
        ),
        (
            control(HELLO, 0, 1, 0, b"cut \xc3"),
            "control frame whose text is not UTF-8 from byte 4 on",
        ),
    ];
    for (bytes, text) in cases {
        let mut peer = Peer::connect(server.address);
        peer.send(&bytes);
        assert_eq!(peer.error(), (8, 0, text.to_owned()));
        peer.expect_end();
    }
}

#[test]
fn control_lengths_that_no_frame_has_are_refused_by_their_head() {
    let server = Server::echo();
    let illegal = (0..12u32).chain([213, 214, 1000, 1 << 20, (1 << 31) - 1]);
    for len in illegal {
        let mut peer = Peer::connect(server.address);
        peer.send((1 << 31 | len).to_be_bytes());
        let (code, last_seq, text) = peer.error();
        assert_eq!((code, last_seq), (8, 0), "{len}");
        // 2^31 - 1 is the bytes ff ff ff ff.
        let plural = if len == 1 { "" } else { "s" };
        assert_eq!(text, format!("control frame of {len} byte{plural}: must be 12 to 212"));
        peer.expect_end();
    }
}
