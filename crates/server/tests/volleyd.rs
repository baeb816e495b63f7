//! The daemon's command line: where it listens, what it takes, and how it exits.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::Stdio;
use std::time::Instant;

use common::{
    GOAWAY, LIMIT, Peer, Received, Volleyd, WELCOME, control, data, exit_of, hello,
    ipv6_is_missing, pattern, welcome,
};
use rustix::process::{Pid, Signal};

#[test]
fn a_signal_drains_and_exits_with_0() {
    for (signal, name) in [(Signal::TERM, "SIGTERM"), (Signal::INT, "SIGINT")] {
        let daemon = Volleyd::start(&[]);
        let mut plain = daemon.connect();
        plain.echoes(b"plain");
        let mut greeted = daemon.connect();
        greeted.send(hello(0));
        greeted.expect(welcome(1));
        daemon.signal(signal);
        plain.expect_end();
        let Received::Control { kind: GOAWAY, code: 7, arg, .. } = greeted.frame() else {
            panic!("no GOAWAY");
        };
        assert!((1..=10_000).contains(&arg), "{arg} ms of the 10 s drain");
        greeted.echoes(b"still answered");
        greeted.leave();
        let (code, log) = daemon.exit();
        assert_eq!(code, 0, "{log:#?}");
        assert!(log.iter().any(|line| line.contains(name)), "{log:#?}");
        let books = common::Books::parse(log.last().unwrap());
        assert_eq!((books.ended("closed"), books.ended("drained")), (1, 1));
        assert_eq!((books.frames_received, books.frames_answered), (2, 2));
    }
}

#[test]
fn a_second_signal_exits_at_once() {
    let cases = [
        (Signal::TERM, Signal::TERM, 143),
        (Signal::INT, Signal::INT, 130),
        (Signal::TERM, Signal::INT, 130),
        (Signal::INT, Signal::TERM, 143),
    ];
    for (first, second, expected) in cases {
        let mut daemon = Volleyd::start(&["--drain", "1h"]);
        let mut peer = daemon.connect();
        peer.send(hello(0));
        peer.expect(welcome(1));
        daemon.signal(first);
        daemon.wait_for(&["shutting down"]);
        daemon.signal(second);
        let (code, log) = daemon.exit();
        assert_eq!(code, expected, "{log:#?}");
        assert!(log.last().unwrap().contains("exiting at once"), "{log:#?}");
    }
}

#[test]
fn those_who_are_not_done_after_the_drain_are_cut_off_and_told_in_the_log() {
    let daemon = Volleyd::start(&["--drain", "100ms"]);
    let mut peer = daemon.connect();
    peer.send(hello(0));
    peer.expect(welcome(1));
    let (books, log) = daemon.finish();
    assert_eq!(books.ended("cut off"), 1);
    let told = log.iter().find(|line| line.contains("cut off at the drain deadline")).unwrap();
    assert!(told.contains("WARN") && told.contains("connections=1"), "{told}");
}

#[test]
fn the_books_are_of_all_listeners_together() {
    let daemon = {
        let mut command = Volleyd::command();
        command.args(["--listen", "127.0.0.1:0", "--listen", "tcp://127.0.0.1:0"]);
        Volleyd::spawn(command, 2)
    };
    let addresses = daemon.addresses();
    assert_ne!(addresses[0], addresses[1]);
    for (address, frames) in addresses.into_iter().zip([3, 4]) {
        let mut peer = Peer::connect(address);
        (0..frames).for_each(|_| peer.echoes(b"12345"));
    }
    let (books, _) = daemon.finish();
    assert_eq!((books.accepted, books.frames_answered, books.payload_bytes), (2, 7, 35));
}

#[test]
fn it_listens_on_ipv6_and_ipv4_at_once() {
    if ipv6_is_missing() {
        return;
    }
    let mut command = Volleyd::command();
    command.args(["--listen", "[::1]:0", "--listen", "127.0.0.1:0"]);
    let daemon = Volleyd::spawn(command, 2);
    assert!(daemon.endpoints[0].starts_with("tcp://[::1]:"), "{:?}", daemon.endpoints);
    for address in daemon.addresses() {
        Peer::connect(address).echoes(b"hello");
    }
    assert_eq!(daemon.finish().0.accepted, 2);
}

#[test]
fn it_listens_at_a_name() {
    let mut command = Volleyd::command();
    command.args(["--listen", "localhost:0"]);
    let daemon = Volleyd::spawn(command, 1);
    daemon.connect().echoes(b"hello");
    daemon.finish();
}

#[test]
fn a_port_in_use_exits_with_69_and_says_which_and_why() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    // All or none: the first one is free, and not announced.
    let (code, stdout, stderr) = exit_of(&["--listen", "127.0.0.1:0", "--listen", &address], &[]);
    assert_eq!((code, stdout.as_str()), (69, ""), "{stderr}");
    assert!(stderr.contains(&address) && stderr.contains("in use"), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

#[test]
fn an_address_of_another_machine_exits_with_69() {
    // TEST-NET-1 (RFC 5737): nobody's.
    let (code, stdout, stderr) = exit_of(&["--listen", "192.0.2.1:0"], &[]);
    assert_eq!((code, stdout.as_str()), (69, ""), "{stderr}");
    assert!(stderr.contains("192.0.2.1:0"), "{stderr}");
}

#[test]
fn an_unknown_name_exits_with_68() {
    // A label of 64 letters would be refused as no name. This one is legal and no host has it
    // (RFC 6761).
    let (code, stdout, stderr) = exit_of(&["--listen", "volley.invalid:0"], &[]);
    assert_eq!((code, stdout.as_str()), (68, ""), "{stderr}");
    assert!(stderr.contains("volley.invalid:0"), "{stderr}");
}

#[test]
fn wrong_usage_exits_with_2_and_says_what_is_wrong() {
    let cases: [(&[&str], &str); 26] = [
        (&["--unknown"], "--unknown"),
        (&["stray"], "stray"),
        (&["--listen"], "--listen"),
        (&["--listen", ""], "--listen"),
        (&["--listen", "127.0.0.1"], "127.0.0.1:7007"),
        (&["--listen", "127.0.0.1:70000"], "70000"),
        (&["--listen", "::1:0"], "brackets"),
        (&["--listen", "sctp://127.0.0.1:0"], "unknown scheme `sctp`"),
        (&["--listen", "unix:"], "names no socket"),
        (&["--admin", ""], "--admin"),
        (&["--admin", "127.0.0.1"], "127.0.0.1:7007"),
        (&["--admin", "unix:"], "unix:/run/volley.sock"),
        (&["--admin", "tls://127.0.0.1:0"], "can't be at tls://"),
        (&["--reply", "shout"], "echo"),
        (&["--max-frame", "64MiBs"], "64MiBs"),
        (&["--max-frame", "67108865"], "67108864"),
        (&["--max-frame", "65MiB"], "67108864"),
        (&["--max-frame", "-1"], "-1"),
        (&["--max-connections", "many"], "many"),
        (&["--datagram-rate", "0"], "would allow nothing"),
        (&["--datagram-rate", "often"], "often"),
        (&["--drain", "10"], "10"),
        (&["--threads", "0"], "--threads"),
        (&["--log", "volley=loud"], "--log"),
        (&["--log-format", "xml"], "json"),
        (&["--drain", "1s", "--drain", "2s"], "--drain"),
    ];
    for (arguments, named) in cases {
        let (code, stdout, stderr) = exit_of(arguments, &[]);
        assert_eq!((code, stdout.as_str()), (2, ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains(named), "{arguments:?}: {stderr}");
    }
}

#[test]
fn help_and_version_go_to_stdout() {
    let (code, stdout, stderr) = exit_of(&["--version"], &[]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert_eq!(stdout, format!("volleyd {}", env!("CARGO_PKG_VERSION")));
    let (code, stdout, stderr) = exit_of(&["--help"], &[]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    for flag in [
        "--listen",
        "--admin",
        "--reply",
        "--max-frame",
        "--max-connections",
        "--drain",
        "--threads",
        "--log",
    ] {
        assert!(stdout.contains(flag), "{flag}: {stdout}");
    }
}

#[test]
fn the_longest_frame_is_set_with_a_unit() {
    for (flag, bytes) in
        [("0", 0), ("100", 100), ("1k", 1_000), ("1.5KiB", 1_536), ("64MiB", 64 << 20)]
    {
        let daemon = Volleyd::start(&["--max-frame", flag]);
        let mut peer = daemon.connect();
        peer.send(hello(0));
        peer.expect(control(WELCOME, 1, 1, bytes, b""));
        let longest = data(&pattern(usize::try_from(bytes).unwrap().min(1 << 22), 1));
        let sender = peer.send_aside(longest.clone());
        peer.expect(&longest);
        sender.join().unwrap().unwrap();
        peer.send((u32::try_from(bytes).unwrap() + 1).to_be_bytes());
        assert_eq!(peer.error().0, 1);
        peer.half_close();
        peer.expect_end();
        daemon.finish();
    }
}

#[test]
fn the_reply_is_set_by_a_flag_and_changed_by_hello() {
    for (flag, own) in [("echo", 1), ("ack", 2)] {
        let daemon = Volleyd::start(&["--reply", flag]);
        let mut plain = daemon.connect();
        plain.send(data(b"hello"));
        let Received::Data(reply) = plain.frame() else { panic!("no data frame") };
        assert_eq!(reply.starts_with(b"ACK1"), own == 2);
        for (wanted, granted) in [(0, own), (1, 1), (2, 2)] {
            let mut peer = daemon.connect();
            peer.send([hello(wanted), data(b"hello")].concat());
            peer.expect(welcome(granted));
            let Received::Data(reply) = peer.frame() else { panic!("no data frame") };
            assert_eq!(reply.starts_with(b"ACK1"), granted == 2);
        }
    }
}

#[test]
fn the_limit_on_connections_is_of_all_listeners_together() {
    let mut command = Volleyd::command();
    command.args(["--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"]);
    command.args(["--max-connections", "2"]);
    let daemon = Volleyd::spawn(command, 2);
    let addresses = daemon.addresses();
    let mut inside: Vec<_> = addresses.iter().copied().map(Peer::connect).collect();
    inside.iter_mut().for_each(|peer| peer.echoes(b"in"));
    for address in addresses {
        let mut over = Peer::connect(address);
        assert_eq!(over.error().0, 2);
        over.expect_end();
    }
    drop(inside);
    let (books, _) = daemon.finish();
    assert_eq!((books.accepted, books.refused), (2, 2));
}

#[test]
fn one_thread_and_four_serve_fifty_connections_at_once() {
    for threads in ["1", "4"] {
        let daemon = Volleyd::start(&["--threads", threads]);
        let mut peers: Vec<_> = (0..50).map(|_| daemon.connect()).collect();
        for round in 0..20 {
            let frames = |peer: usize| {
                let one = |i: usize| data(&pattern(peer + i * 11, (round * 50 + peer) as u64));
                (0..5).flat_map(one).collect::<Vec<u8>>()
            };
            for (i, peer) in peers.iter_mut().enumerate() {
                peer.send(frames(i));
            }
            for (i, peer) in peers.iter_mut().enumerate() {
                peer.expect(frames(i));
            }
        }
        peers.into_iter().for_each(Peer::leave);
        let (books, _) = daemon.finish();
        assert_eq!((books.accepted, books.ended("closed")), (50, 50));
        assert_eq!((books.frames_received, books.frames_answered), (5_000, 5_000));
    }
}

#[test]
fn it_shows_its_limits_when_it_starts() {
    let arguments = ["--max-connections", "100", "--max-frame", "64KiB", "--threads", "1"];
    let mut daemon = Volleyd::start(&arguments);
    let told = daemon.wait_for(&["INFO", "limits in force"]);
    for limit in [
        "max_connections=100 ",
        "max_connections_per_source=off",
        "descriptors=",
        "max_frame=64KiB",
        "max_buffered=",
        "accept_rate=off",
        "idle_timeout=5m",
        "drain=10s",
        "threads=1",
    ] {
        assert!(told.contains(limit), "{limit}: {told}");
    }
    let (_, log) = daemon.finish();
    assert!(!log.iter().any(|line| line.contains("open to the network")), "{log:#?}");
}

#[test]
fn a_drain_without_end_is_no_defect() {
    let daemon = Volleyd::start(&["--drain", "18446744073709551615s"]);
    daemon.connect().echoes(b"hello");
    daemon.finish();
}

#[test]
fn nobody_has_to_read_its_stdout() {
    // Started without one.
    let arguments = ["-c", "exec \"$@\" >&-", "sh"];
    let mut command = Volleyd::command_through("sh", &arguments);
    command.args(["--listen", "127.0.0.1:0"]);
    let mut daemon = Volleyd::spawn_alone(command, 0);
    let line = daemon.wait_for(&["INFO", "listening endpoint=tcp://127.0.0.1:"]);
    let address = line.rsplit("tcp://").next().unwrap().trim().parse().unwrap();
    Peer::connect(address).echoes(b"hello");
    assert_eq!(daemon.finish().0.frames_answered, 1);
}

/// Whoever reads the log may go away, or stop reading: the frames and the signals go on.
#[test]
fn a_log_that_nobody_reads_holds_nothing_up() {
    for keep_open in [true, false] {
        let mut command = Volleyd::command();
        command.args(["--listen", "127.0.0.1:0", "--log", "debug"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut daemon = command.spawn().unwrap();
        let stderr = daemon.stderr.take().filter(|_| keep_open);
        let mut line = String::new();
        BufReader::new(daemon.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().trim_start_matches("listening tcp://").parse().unwrap();
        // More lines than a pipe holds.
        for _ in 0..1000 {
            Peer::connect(address).echoes(b"hello");
        }
        rustix::process::kill_process(Pid::from_child(&daemon), Signal::TERM).unwrap();
        let deadline = Instant::now() + LIMIT;
        let status = loop {
            match daemon.try_wait().unwrap() {
                Some(status) => break Some(status),
                None if Instant::now() > deadline => break None,
                None => std::thread::yield_now(),
            }
        };
        let _ = daemon.kill();
        assert_eq!(status.and_then(|status| status.code()), Some(0), "open: {keep_open}");
        drop(stderr);
    }
}

#[test]
fn a_fatal_error_is_told_whatever_the_filter() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", taken.local_addr().unwrap());
    let (code, _, stderr) = exit_of(&["--listen", &endpoint, "--log", "off"], &[]);
    assert_eq!(code, 69);
    let told = format!("volleyd: cannot listen on {endpoint}: Address already in use");
    assert!(stderr.starts_with(&told), "{stderr}");
}

#[test]
fn a_misspelt_level_is_wrong_usage() {
    let (code, _, stderr) = exit_of(&["--log", "inof"], &[]);
    assert_eq!(code, 2);
    assert!(stderr.contains("`inof` is no level"), "{stderr}");
}
