//! Requests good, bad and hostile, and that none of them harms the frames.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;

use crate::common::{LIMIT, Peer, Volleyd, pattern};

#[test]
fn pages_say_what_they_are() {
    let daemon = Volleyd::start(&[]);
    let text = "text/plain; charset=utf-8";
    let openmetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    for (path, status, content_type, body) in [
        ("/", 200, text, "/metrics "),
        ("/metrics", 200, openmetrics, "# HELP "),
        ("/readyz", 200, text, "ready\n"),
        ("/connections", 200, "application/json", "{\"total\":"),
        ("/connections?limit=x", 400, text, "limit must be a number up to 10000\n"),
        ("/log", 200, text, "info\n"),
        ("/nowhere", 404, text, "no such path; there are\n/metrics "),
        ("/metrics/", 404, text, "no such path; there are\n/metrics "),
    ] {
        let answer = daemon.admin().get(path);
        assert_eq!((answer.status, answer.header("content-type")), (status, Some(content_type)));
        assert!(answer.body.starts_with(body), "{path}: {answer:?}");
        let head = daemon.admin().ask("HEAD", path, "");
        assert_eq!((head.status, head.body.as_str()), (status, ""), "{path}");
        assert_eq!(head.header("content-type"), Some(content_type));
    }
}

#[test]
fn other_methods_are_not_allowed_and_change_nothing() {
    let daemon = Volleyd::start(&[]);
    for (method, path, allowed) in [
        ("POST", "/metrics", "GET, HEAD"),
        ("DELETE", "/", "GET, HEAD"),
        ("PUT", "/readyz", "GET, HEAD"),
        ("OPTIONS", "/connections", "GET, HEAD"),
        ("POST", "/log", "GET, HEAD, PUT"),
    ] {
        let answer = daemon.admin().ask(method, path, "debug");
        assert_eq!((answer.status, answer.header("allow")), (405, Some(allowed)), "{answer:?}");
    }
    assert_eq!(daemon.admin().ask("PUT", "/nowhere", "debug").status, 404);
    assert_eq!(daemon.admin().get("/log").body, "info\n");
}

/// Nobody keeps a place for long, and while all places are taken the frames go on.
#[test]
fn those_who_ask_too_slowly_are_cut_off_and_hold_up_nobody() {
    let daemon = Volleyd::start(&[]);
    let address = daemon.admin().endpoint.trim_start_matches("tcp://").to_owned();
    let connect = || {
        let stream = TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream
    };
    // A body that never comes.
    let mut slow = connect();
    slow.write_all(b"PUT /log HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\ndeb").unwrap();
    // More than there are places, with heads that never end.
    let mut silent: Vec<_> = (0..80).map(|_| connect()).collect();
    for stream in &mut silent {
        stream.write_all(b"GET /metrics HTTP/1.1\r\nx: ").unwrap();
    }
    let mut peer = daemon.connect();
    (0..100).for_each(|_| peer.echoes(b"hello"));
    for mut stream in silent {
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{answer:?}");
    }
    assert_eq!(slow.read_to_end(&mut Vec::new()).unwrap(), 0);
    assert_eq!(daemon.admin().get("/log").body, "info\n");
    peer.echoes(b"still here");
}

#[test]
fn a_flood_of_requests_harms_no_frame() {
    let daemon = Volleyd::start(&[]);
    let mut peers: Vec<_> = (0..20).map(|_| daemon.connect()).collect();
    thread::scope(|scope| {
        for path in ["/metrics", "/connections", "/livez", "/nowhere"] {
            let admin = daemon.admin();
            scope.spawn(move || (0..200).for_each(|_| drop(admin.get(path))));
        }
        for round in 0..100 {
            peers.iter_mut().for_each(|peer| peer.echoes(&pattern(round, 7)));
        }
    });
    // Only those who looked have left, and nobody with a fault.
    let metrics = daemon.admin().metrics();
    let closed = |labels| metrics.sum("volleyd_connections_closed_total", labels);
    assert_eq!(closed(&[]), closed(&[("reason", "closed")]), "{metrics:#?}");
    peers.into_iter().for_each(Peer::leave);
}

#[test]
fn garbage_is_refused_and_harms_nobody() {
    let daemon = Volleyd::start(&[]);
    let address = daemon.admin().endpoint.trim_start_matches("tcp://").to_owned();
    let long_head = [b"GET / HTTP/1.1\r\nx: ".to_vec(), vec![b'x'; 1 << 20]].concat();
    let cases: [&[u8]; 5] =
        [b"", b"\0\0\0\x05hello", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", &long_head];
    for garbage in cases {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        // It may be closed against before all is sent, and then reset.
        let _ = stream.write_all(garbage);
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let status = answer.get(9..10);
        assert!(status.is_none_or(|first| first == b"4"), "{}", answer.escape_ascii());
        daemon.connect().echoes(b"hello");
        assert_eq!(daemon.admin().get("/readyz").status, 200);
    }
}
