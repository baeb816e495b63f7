//! What hostile and confused peers do to the daemon: it says why, once, and goes on.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use common::{
    ERROR, GOAWAY, HELLO, Peer, Received, Volleyd, WELCOME, control, data, hello, pattern,
    same_bytes, welcome,
};

/// A legal start, the bytes that break the rules, and what the daemon must say to them.
struct Case {
    before: Vec<u8>,
    replies: Vec<u8>,
    fault: Vec<u8>,
    code: u16,
    last_seq: u64,
    text: String,
}

fn case(fault: impl Into<Vec<u8>>, code: u16, text: impl Into<String>) -> Case {
    Case {
        before: vec![],
        replies: vec![],
        fault: fault.into(),
        code,
        last_seq: 0,
        text: text.into(),
    }
}

/// As [`case`], behind `frames` echoed frames.
fn after(frames: u64, fault: impl Into<Vec<u8>>, code: u16, text: &str) -> Case {
    let before = data(b"legal").repeat(usize::try_from(frames).unwrap());
    Case { replies: before.clone(), before, last_seq: frames, ..case(fault, code, text) }
}

fn cases() -> Vec<Case> {
    let mut cases = vec![
        case(1_048_577u32.to_be_bytes(), 1, "frame of 1048577 bytes exceeds the limit of 1048576"),
        after(
            3,
            0x7fff_ffffu32.to_be_bytes(),
            1,
            "frame of 2147483647 bytes exceeds the limit of 1048576",
        ),
        case(welcome(1), 8, "WELCOME from a client: only HELLO may come from one"),
        case(
            control(GOAWAY, 0, 7, 0, b""),
            8,
            "GOAWAY from a client: only HELLO may come from one",
        ),
        case(control(ERROR, 0, 1, 0, b"x"), 8, "ERROR from a client: only HELLO may come from one"),
        after(1, hello(0), 8, "HELLO after the first frame"),
        Case {
            before: hello(0),
            replies: welcome(1),
            ..case(hello(0), 8, "HELLO after the first frame")
        },
        case(control(HELLO, 0, 2, 0, b""), 8, "protocol version 2: only version 1 is known"),
        case(control(HELLO, 0, 0, 0, b""), 8, "protocol version 0: only version 1 is known"),
        case(control(9, 0, 1, 0, b""), 8, "control frame of unknown type 9"),
        case(control(HELLO, 3, 1, 0, b""), 8, "HELLO with unknown flags 3"),
        case(control(WELCOME, 0, 1, 0, b""), 8, "WELCOME with unknown flags 0"),
        case(
            control(HELLO, 0, 1, 0, b"\xff"),
            8,
            "control frame whose text is not UTF-8 from byte 0 on",
        ),
        case(
            "GET / HTTP/1.1\r\nHost: volley\r\n\r\n",
            8,
            "this looks like HTTP, not a framed client",
        ),
        case("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 8, "this looks like HTTP, not a framed client"),
        case(
            [&b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"[..], &pattern(506, 1)].concat(),
            8,
            "this looks like TLS, not a framed client",
        ),
        case("SSH-2.0-OpenSSH_9.9\r\n", 8, "this looks like SSH, not a framed client"),
        case("*1\r\n$4\r\nPING\r\n", 8, "this looks like RESP (Redis), not a framed client"),
        case(
            "PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n",
            8,
            "this looks like PROXY protocol v1, not a framed client",
        ),
        case(
            "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c",
            8,
            "this looks like PROXY protocol v2, not a framed client",
        ),
    ];
    for len in (0..12u32).chain([213, 255, 1 << 20]) {
        let plural = if len == 1 { "" } else { "s" };
        let text = format!("control frame of {len} byte{plural}: must be 12 to 212");
        cases.push(case((1 << 31 | len).to_be_bytes(), 8, text));
    }
    cases
}

/// The lines that name the peer.
fn lines_of<'a>(log: &'a [String], peer: &Peer) -> Vec<&'a String> {
    let name = format!("peer={}}}", peer.local());
    log.iter().filter(|line| line.contains(&name)).collect()
}

#[test]
fn every_fault_gets_its_error_and_one_line_and_harms_nobody() {
    let daemon = Volleyd::start(&[]);
    let mut bystander = daemon.connect();
    let mut faulty = Vec::new();
    let mut bytes = 0;
    for (round, case) in cases().into_iter().enumerate() {
        let frame = pattern(round * 10, 1);
        bytes += frame.len() as u64;
        bystander.echoes(&frame);
        let mut peer = daemon.connect();
        peer.send([&case.before[..], &case.fault].concat());
        peer.expect(&case.replies);
        assert_eq!(peer.error(), (case.code, case.last_seq, case.text.clone()));
        peer.expect_end();
        peer.half_close();
        bystander.echoes(b"");
        faulty.push((peer, case));
    }
    let rounds = faulty.len() as u64;
    bystander.leave();
    let (books, log) = daemon.finish();
    for (peer, case) in &faulty {
        let lines = lines_of(&log, peer);
        assert_eq!(lines.len(), 1, "{lines:#?}");
        assert!(lines[0].contains("WARN"), "{}", lines[0]);
        assert!(lines[0].contains(&case.text), "{}", lines[0]);
        let end = if case.code == 1 {
            "reason=\"error: too large\""
        } else {
            "reason=\"error: protocol\""
        };
        assert!(lines[0].contains(end), "{}", lines[0]);
    }
    assert_eq!(books.accepted, rounds + 1);
    assert_eq!(books.ended("error: too large"), 2);
    assert_eq!(books.ended("error: protocol"), rounds - 2);
    assert_eq!(books.ended("closed"), 1);
    // Two of the bystander's in each round, and four before faults.
    assert_eq!((books.frames_received, books.frames_answered), (2 * rounds + 4, 2 * rounds + 4));
    assert_eq!(books.payload_bytes, bytes + 4 * 5);
}

#[test]
fn fragments_are_told_apart_by_how_they_end() {
    let daemon = Volleyd::start(&[]);
    let mut bystander = daemon.connect();
    bystander.echoes(b"before");

    let mut cut = daemon.connect();
    cut.send([data(b"whole"), b"\0\0\0\x09frag".to_vec()].concat());
    cut.half_close();
    cut.expect(data(b"whole"));
    cut.expect_end();

    let mut reset = daemon.connect();
    reset.echoes(b"whole");
    reset.send(b"\0\0\0\x09frag");
    let gone = format!("peer={}}}", reset.local());
    // The fragment must have been read before the reset destroys it, to be told.
    bystander.echoes(b"turn");
    reset.reset();

    bystander.echoes(b"after");
    bystander.leave();
    let (books, log) = daemon.finish();
    let lines = lines_of(&log, &cut);
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(
        lines[0].contains("reason=\"truncated\"") && lines[0].contains("fragment=8"),
        "{}",
        lines[0]
    );
    let lines: Vec<_> = log.iter().filter(|line| line.contains(&gone)).collect();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].contains("WARN") && lines[0].contains("reason=\"reset\""), "{}", lines[0]);
    assert_eq!((books.ended("truncated"), books.ended("reset"), books.ended("closed")), (1, 1, 1));
    assert_eq!((books.frames_received, books.frames_answered), (5, 5));
}

#[test]
fn a_million_empty_frames_without_a_reader_cost_nobody_else_anything() {
    for reply in ["echo", "ack"] {
        let daemon = Volleyd::start(&["--reply", reply]);
        let mut bystander = daemon.connect();
        bystander.send(hello(1));
        bystander.expect(welcome(1));
        let flooder = Peer::connect_narrow(daemon.address(), 64 * 1024);
        let name = format!("peer={}}}", flooder.local());
        let flood = flooder.send_aside(vec![0; 4_000_000]);
        for round in 0..100 {
            bystander.echoes(&pattern(round, 1));
        }
        let resident = resident_kib(daemon.pid());
        assert!(resident.is_none_or(|kib| kib < 64 * 1024), "{resident:?} KiB");
        // It leaves with the replies unread; its writer may have been stuck until then.
        flooder.reset();
        let _ = flood.join().unwrap();
        bystander.echoes(b"after");
        bystander.leave();
        let (books, log) = daemon.finish();
        let lines: Vec<_> = log.iter().filter(|line| line.contains(&name)).collect();
        assert_eq!(lines.len(), 1, "{lines:#?}");
        assert_eq!((books.accepted, books.ended("closed")), (2, 1), "{books:?}");
        assert!(books.frames_received <= 1_000_101, "{books:?}");
    }
}

/// What a process holds in memory now, where /proc tells.
fn resident_kib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[test]
fn a_million_empty_frames_with_a_reader_are_all_answered() {
    let daemon = Volleyd::start(&["--reply", "ack"]);
    let mut peer = daemon.connect();
    let flood = peer.send_aside(vec![0; 4_000_000]);
    // The numbers of the first and the last of each thousand.
    for thousand in 0..1_000 {
        let replies = peer.read(36 * 1_000);
        for (at, seq) in [(0, 1u64), (999, 1_000)] {
            let reply = &replies[36 * at..36 * (at + 1)];
            same_bytes(&reply[..8], b"\0\0\0\x20ACK1");
            assert_eq!(reply[12..20], (1_000 * thousand + seq).to_be_bytes());
        }
    }
    flood.join().unwrap().unwrap();
    peer.leave();
    let (books, _) = daemon.finish();
    assert_eq!((books.frames_received, books.frames_answered), (1_000_000, 1_000_000));
    assert_eq!(books.payload_bytes, 0);
}

#[test]
fn a_peer_that_sends_one_byte_at_a_time_is_served() {
    let daemon = Volleyd::start(&["--reply", "ack"]);
    let mut bystander = daemon.connect();
    bystander.send(hello(1));
    bystander.expect(welcome(1));
    let mut peer = daemon.connect();
    for byte in [hello(1), data(b"slow but sure"), data(b"")].concat() {
        peer.send([byte]);
        bystander.echoes(b"turn");
    }
    peer.expect([welcome(1), data(b"slow but sure"), data(b"")].concat());
    peer.leave();
    bystander.leave();
    let (books, _) = daemon.finish();
    assert_eq!(books.ended("closed"), 2);
    assert_eq!(books.payload_bytes, 13 + 4 * (16 + 17 + 4));
}

#[test]
fn a_name_in_a_hello_cannot_forge_a_line_of_the_log() {
    let daemon = Volleyd::start(&["--log", "debug"]);
    let mut peer = daemon.connect();
    peer.send(control(HELLO, 0, 1, 0, b"\n2026-01-01T00:00:00Z ERROR forged\r\x1b[31m"));
    peer.expect(welcome(1));
    drop(peer);
    let (_, log) = daemon.finish();
    assert!(log.iter().all(|line| !line.starts_with("2026-01-01T00:00:00Z")), "{log:#?}");
    assert!(log.iter().all(|line| !line.contains(['\x1b', '\r'])), "{log:#?}");
    assert!(log.iter().any(|line| line.contains("forged")), "{log:#?}");
}

#[test]
fn an_error_never_repeats_what_the_peer_sent() {
    let daemon = Volleyd::start(&[]);
    let mut peer = daemon.connect();
    peer.send([data(b"secret").as_slice(), b"GET /secret HTTP/1.1\r\n\r\n"].concat());
    peer.expect(data(b"secret"));
    let Received::Control { text, .. } = peer.frame() else { panic!("no ERROR") };
    assert!(!text.contains("secret"), "{text}");
    peer.half_close();
    peer.expect_end();
    let (_, log) = daemon.finish();
    assert!(log.iter().all(|line| !line.contains("secret")), "{log:#?}");
}

#[test]
fn a_crowd_of_faulty_peers_leaves_the_others_alone() {
    let daemon = Volleyd::start(&["--threads", "2"]);
    let mut bystander = daemon.connect();
    let mut crowd: Vec<_> = (0..200).map(|_| daemon.connect()).collect();
    for (i, peer) in crowd.iter_mut().enumerate() {
        match i % 4 {
            0 => peer.send([0x7f; 100]),
            1 => peer.send(b"\0\0\0\x09frag"),
            2 => peer.send(b"GET / HTTP/1.1\r\n\r\n"),
            _ => peer.send(data(b"")),
        }
        bystander.echoes(&pattern(i, 1));
    }
    for (i, peer) in crowd.into_iter().enumerate() {
        if i % 8 < 4 {
            peer.reset()
        } else {
            drop(peer)
        }
        bystander.echoes(&pattern(i, 1));
    }
    bystander.leave();
    let (books, log) = daemon.finish();
    assert_eq!(books.accepted, 201);
    assert_eq!(books.frames_received, 400 + 50);
    assert_eq!(log.iter().filter(|line| line.contains("connection over")).count(), 201);
}
