//! The log's filter, and what the log never has.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use super::make_traffic;
use crate::common::{HELLO, Peer, Volleyd, control, data, hello};

#[test]
fn the_log_filter_can_be_seen_and_changed() {
    for format in ["text", "json"] {
        let mut daemon = Volleyd::start(&["--log", "warn", "--log-format", format]);
        assert_eq!(daemon.admin().get("/log").body, "warn\n");
        daemon.connect().leave();
        let answer = daemon.admin().ask("PUT", "/log", "debug\n");
        assert_eq!((answer.status, answer.body.as_str()), (200, "debug\n"));
        daemon.wait_for(&["INFO", "another log filter is in force", "warn", "debug"]);
        let peer = daemon.connect();
        let local = peer.local().to_string();
        peer.leave();
        daemon.wait_for(&["DEBUG", "accepted", &local]);
        // From here on nothing but what tells of the next filter.
        daemon.admin().ask("PUT", "/log", "off");
        daemon.wait_for(&["INFO", "another log filter is in force", "off"]);
        assert_eq!(daemon.admin().get("/log").body, "off\n");
        daemon.connect().leave();
        daemon.admin().ask("PUT", "/log", "error");
        daemon.signal(Signal::TERM);
        let (code, log) = daemon.exit();
        assert_eq!(code, 0);
        assert!(log[log.len() - 2].contains("off"), "{log:#?}");
        assert!(log[log.len() - 1].contains("error"), "{log:#?}");
        // Those of the first connection were below the level.
        assert_eq!(log.iter().filter(|line| line.contains("connection over")).count(), 1);
    }
}

#[test]
fn a_bad_log_filter_is_refused_with_the_reason_and_changes_nothing() {
    let daemon = Volleyd::start(&[]);
    let long = "a".repeat(4097);
    for (filter, status, reason) in [
        ("inof", 400, "`inof` is no level: write error, warn, info, debug, trace or off\n"),
        (
            "volley_server=loud",
            400,
            "`volley_server=loud` is no filter: error parsing level filter: ",
        ),
        ("", 400, "the body must be a filter, such as debug\n"),
        (" \n", 400, "the body must be a filter, such as debug\n"),
        (&long, 413, "a filter has at most 4096 bytes\n"),
    ] {
        let answer = daemon.admin().ask("PUT", "/log", filter);
        assert_eq!(answer.status, status, "{filter}");
        assert!(answer.body.starts_with(reason), "{filter}: {}", answer.body);
    }
    assert_eq!(daemon.admin().get("/log").body, "info\n");
    let (_, log) = daemon.finish();
    assert!(!log.iter().any(|line| line.contains("another log filter")), "{log:#?}");
}

#[test]
fn the_log_filter_can_change_while_connections_come_and_go() {
    let daemon = Volleyd::start(&["--threads", "2"]);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let (address, stop) = (daemon.address(), &stop);
        scope.spawn(move || make_traffic(address, 0, stop));
        for round in 0..100 {
            let filter = ["trace", "off", "warn,volley_server=debug"][round % 3];
            assert_eq!(daemon.admin().ask("PUT", "/log", filter).status, 200);
        }
        stop.store(true, Ordering::Relaxed);
    });
    daemon.admin().ask("PUT", "/log", "info");
    daemon.finish();
}

/// Not even where the log tells everything, and not what is no frame either.
#[test]
fn no_payload_is_ever_logged() {
    let marker = b"S3CR3T-of-somebody";
    // As text, and as the numbers or escapes that a careless record would make of the bytes.
    let forms = ["S3CR3T", "83, 51, 67, 82", "533343523354", "53 33 43 52", "\\x53\\x33"];
    for (format, reply) in [("text", "echo"), ("json", "ack")] {
        let arguments = ["--log", "trace", "--log-format", format, "--reply", reply];
        let daemon = Volleyd::start(&arguments);
        let mut peer = daemon.connect();
        peer.send([hello(0), data(marker), data(b"")].concat());
        peer.half_close();
        peer.read_to_end();
        // A fragment, what is no frame, a frame that is too long, and a control frame that is
        // wrong.
        let too_long = [&[0x01; 4], &marker[..]].concat();
        let wrong = [
            data(marker)[..12].to_vec(),
            marker.to_vec(),
            too_long,
            control(9, 0, 1, 0, marker),
            [hello(0), control(HELLO, 0, 1, 0, marker)].concat(),
        ];
        for bytes in wrong {
            let mut peer = daemon.connect();
            peer.send(bytes);
            peer.half_close();
            peer.read_to_any_end();
        }
        // Nor where it could not be answered.
        let mut deaf = Peer::connect_narrow(daemon.address(), 16 * 1024);
        let frame = data(&marker.repeat(50_000));
        if reply == "echo" {
            deaf.push_until_blocked(&frame, Duration::from_millis(300));
        }
        deaf.reset();
        daemon.admin().get("/S3CR3T");
        daemon.signal(Signal::TERM);
        let (code, log) = daemon.exit();
        assert_eq!(code, 0);
        let told: Vec<_> =
            log.iter().filter(|line| forms.iter().any(|form| line.contains(form))).collect();
        // What the administrator asked for is his own, and shows that this test would see one.
        assert!(told.len() == 1 && told[0].contains("admin request"), "{told:#?}");
    }
}
