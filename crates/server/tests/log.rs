//! The daemon's log: its forms, its filters, and whose line is whose.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use common::{HELLO, Peer, Volleyd, control, data, hello, welcome};
use serde_json::Value;

/// A daemon whose `RUST_LOG` is this.
fn start_under(filter: &str, arguments: &[&str]) -> Volleyd {
    let mut command = Volleyd::command();
    command.env("RUST_LOG", filter).args(["--listen", "127.0.0.1:0"]).args(arguments);
    Volleyd::spawn(command, 1)
}

/// One connection with a fault and one without. Returns the faulty one, which stays open so that
/// nobody else gets its port.
fn visit(daemon: &Volleyd) -> Peer {
    let mut good = daemon.connect();
    good.echoes(b"good");
    good.leave();
    let mut bad = daemon.connect();
    bad.send([0x7f; 4]);
    assert_eq!(bad.error().0, 1);
    bad.expect_end();
    bad.half_close();
    bad
}

#[test]
fn json_is_one_object_per_line_with_the_connections_id_and_peer() {
    let daemon = Volleyd::start(&["--log-format", "json", "--log", "debug"]);
    let mut peer = daemon.connect();
    peer.send(control(HELLO, 0, 1, 0, b"a \"quoted\"\nname"));
    peer.expect(welcome(1));
    peer.echoes(b"hello");
    peer.send([0x7f; 4]);
    assert_eq!(peer.error().0, 1);
    peer.half_close();
    peer.expect_end();
    let name = peer.local().to_string();
    let address = daemon.address().to_string();
    daemon.signal(rustix::process::Signal::TERM);
    let (code, log) = daemon.exit();
    assert_eq!(code, 0);
    let lines: Vec<Value> = log
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    assert!(lines.iter().all(|line| line["timestamp"].is_string() && line["level"].is_string()));
    let with = |message: &str| -> &Value {
        lines.iter().find(|line| line["message"] == message).unwrap_or_else(|| panic!("{log:#?}"))
    };
    assert_eq!(with("listening")["endpoint"], format!("tcp://{address}"));
    assert_eq!(with("HELLO")["client"], "a \"quoted\"\nname");
    let over = with("connection over");
    assert_eq!(over["reason"], "error: too large");
    assert_eq!(
        (&over["frames"], &over["bytes"], &over["unanswered"]),
        (&1.into(), &5.into(), &0.into())
    );
    assert_eq!(over["cause"], "frame of 2139062143 bytes exceeds the limit of 1048576");
    assert_eq!(over["level"], "WARN");
    // The same in every line of the connection.
    for line in [with("accepted"), with("HELLO"), over] {
        assert_eq!(line["span"]["name"], "connection", "{line}");
        assert_eq!(line["span"]["id"], over["span"]["id"], "{line}");
        assert_eq!(line["span"]["peer"], name.as_str(), "{line}");
        assert!(line["span"]["id"].is_u64(), "{line}");
    }
}

#[test]
fn the_lines_of_one_connection_carry_one_id_and_no_other_has_it() {
    let daemon = Volleyd::start(&["--log", "debug", "--threads", "4"]);
    let mut peers: Vec<_> = (0..10).map(|_| daemon.connect()).collect();
    for peer in &mut peers {
        peer.send(hello(0));
        peer.expect(welcome(1));
    }
    let names: Vec<_> = peers.iter().map(|peer| format!(" peer={}}}", peer.local())).collect();
    peers.into_iter().for_each(Peer::leave);
    let (_, log) = daemon.finish();
    let mut ids = std::collections::BTreeSet::new();
    for name in &names {
        let lines: Vec<_> = log.iter().filter(|line| line.contains(name)).collect();
        // Accepted, HELLO, over.
        assert_eq!(lines.len(), 3, "{lines:#?}");
        let id = |line: &str| {
            let (_, rest) = line.split_once("connection{id=").unwrap();
            rest.split_once(name).unwrap().0.parse::<u64>().unwrap()
        };
        let first = id(lines[0]);
        assert!(lines.iter().all(|line| id(line) == first), "{lines:#?}");
        assert!(ids.insert(first), "{first} twice");
    }
}

#[test]
fn every_connection_leaves_one_record() {
    let daemon = Volleyd::start(&[]);
    let bad = visit(&daemon);
    let (_, log) = daemon.finish();
    let records: Vec<_> = log.iter().filter(|line| line.contains("connection over")).collect();
    assert_eq!(records.len(), 2, "{log:#?}");
    let name = format!("peer={}}}", bad.local());
    let (bad, good): (Vec<&String>, Vec<&String>) =
        records.into_iter().partition(|line| line.contains(&name));
    assert!(
        good[0].contains("INFO") && good[0].contains("reason=\"closed\" frames=1 bytes=4"),
        "{good:?}"
    );
    assert!(bad[0].contains("WARN") && bad[0].contains("frames=0 bytes=0"), "{bad:?}");
    // Nobody reads it on a terminal: no colours.
    assert!(log.iter().all(|line| !line.contains('\x1b')), "{log:#?}");
}

/// At `warn` too a line says whose fault it tells.
#[test]
fn a_warning_names_its_connection_under_every_filter() {
    for filter in ["warn", "info", "volley_server=warn", "off,volley_server=debug"] {
        let mut daemon = Volleyd::start(&["--log", filter]);
        let bad = visit(&daemon);
        let line = daemon.wait_for(&["connection over", "too large"]);
        assert!(line.contains(&format!("peer={}}}", bad.local())), "{filter}: {line}");
        assert!(line.contains("id="), "{filter}: {line}");
    }
}

#[test]
fn a_filter_chooses_what_is_logged() {
    let levels = |filter: &str, log: &[String]| {
        let has = |level: &str| log.iter().any(|line| line.contains(level));
        assert!(has(" WARN "), "{filter}: {log:#?}");
        (has(" INFO "), has(" DEBUG "))
    };
    for (filter, expected) in [
        ("warn", (false, false)),
        ("info", (true, false)),
        ("debug", (true, true)),
        ("warn,volley_server=debug", (true, true)),
    ] {
        // By the flag, by the environment, and by the flag against the environment.
        for way in 0..3 {
            let daemon = match way {
                0 => Volleyd::start(&["--log", filter]),
                1 => start_under(filter, &[]),
                _ => start_under("off", &["--log", filter]),
            };
            visit(&daemon);
            daemon.signal(rustix::process::Signal::TERM);
            let (code, log) = daemon.exit();
            assert_eq!((code, levels(filter, &log)), (0, expected), "{filter}: {log:#?}");
        }
    }
}

#[test]
fn a_bad_filter_in_the_environment_is_wrong_usage() {
    let (code, stdout, stderr) = common::exit_of(&[], &[("RUST_LOG", "volley=loud")]);
    assert_eq!((code, stdout.as_str()), (2, ""), "{stderr}");
    assert!(stderr.contains("volley=loud"), "{stderr}");
}

#[test]
fn what_was_not_answered_is_in_the_record() {
    let daemon = Volleyd::start(&[]);
    let mut deaf = Peer::connect_narrow(daemon.address(), 16 * 1024);
    let frame = data(&[7; 1 << 20]);
    let pushed = deaf.push_until_blocked(&frame, std::time::Duration::from_millis(300));
    deaf.reset();
    let (books, log) = daemon.finish();
    let record = log.iter().find(|line| line.contains("connection over")).unwrap();
    let dropped = books.frames_received - books.frames_answered;
    assert!(dropped > 0 && books.frames_received <= (pushed / frame.len()) as u64, "{books:?}");
    assert!(record.contains(&format!("unanswered={dropped}")), "{record}");
    assert!(record.contains(&format!("frames={} ", books.frames_received)), "{record}");
    assert!(record.contains("reason=\"reset\""), "{record}");
}
