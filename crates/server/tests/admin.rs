//! The admin listener: its metrics, its health, its list of connections, the log's filter, and that
//! nobody who asks it can harm the frames.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use common::{
    HELLO, LIMIT, Peer, Volleyd, control, data, exit_of, hello, pass, pattern, program_is_missing,
    welcome,
};
use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use rustix::process::Signal;
use serde_json::Value;
use socket2::Socket;
use volley_tests::{Admin, Metrics};

/// Scrapes until the metrics are as expected.
#[track_caller]
fn scrape_until(admin: &Admin, expected: impl Fn(&Metrics) -> bool) -> Metrics {
    let deadline = Instant::now() + LIMIT;
    loop {
        let metrics = admin.metrics();
        if expected(&metrics) {
            return metrics;
        }
        assert!(Instant::now() < deadline, "{metrics:#?}");
        thread::yield_now();
    }
}

/// Asks whether it lives until the answer is yes: a machine that stands still for a second is no
/// fault of the daemon's.
#[track_caller]
fn wait_until_alive(admin: &Admin) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let answer = admin.get("/livez");
        if (answer.status, answer.body.as_str()) == (200, "ok\n") {
            return;
        }
        assert!(Instant::now() < deadline, "{answer:?}");
    }
}

/// The label of the daemon's only listener.
fn listener(daemon: &Volleyd) -> [(&str, &str); 1] {
    [("listener", &daemon.endpoints[0])]
}

#[test]
fn metrics_tell_exactly_what_was_done() {
    let daemon = Volleyd::start(&[]);
    let mut open = daemon.connect();
    open.send([control(HELLO, 1, 1, 0, b"tester"), data(&[1; 100]), data(b"")].concat());
    open.expect([welcome(1), data(&[1; 100]), data(b"")].concat());
    let mut truncated = daemon.connect();
    truncated.echoes(&[2; 10]);
    truncated.send(&data(b"hello")[..6]);
    truncated.leave();
    let mut too_large = daemon.connect();
    too_large.send([0x7f; 4]);
    too_large.half_close();
    let error = too_large.read_to_end();
    let mut reset = daemon.connect();
    reset.echoes(b"12345");
    reset.reset();
    let is_over = |metrics: &Metrics| metrics.sum("volleyd_connections_active", &[]) == 1.0;
    let metrics = scrape_until(daemon.admin(), is_over);

    let of = listener(&daemon);
    let get = |name: &str| metrics.get(name, &of);
    assert_eq!(get("volleyd_connections_accepted_total"), 4.0);
    assert_eq!(get("volleyd_connections_active"), 1.0);
    assert_eq!(get("volleyd_frames_received_total"), 4.0);
    assert_eq!(get("volleyd_frames_answered_total"), 4.0);
    assert_eq!(get("volleyd_frames_pending"), 0.0);
    assert_eq!(get("volleyd_payload_bytes_total"), 115.0);
    // HELLO with its name, frames with their heads, a fragment, a head alone.
    let received = (16 + 6 + 104 + 4) + (14 + 6) + 4 + 9;
    assert_eq!(get("volleyd_received_bytes_total"), f64::from(received));
    // WELCOME, echoes, and the ERROR.
    let sent = (16 + 104 + 4) + 14 + error.len() + 9;
    assert_eq!(get("volleyd_sent_bytes_total"), sent as f64);
    assert_eq!(get("volleyd_accept_pauses_total"), 0.0);
    assert_eq!(get("volleyd_throttled_total"), 0.0);
    for (name, labels, value) in metrics.series() {
        let reason = labels.get("reason").map(String::as_str);
        let expected = match name {
            "volleyd_connections_closed_total" => {
                ["truncated", "too_large", "reset"].contains(&reason.unwrap())
            }
            "volleyd_frames_dropped_total"
            | "volleyd_connections_refused_total"
            | "volleyd_accept_errors_total" => false,
            _ => continue,
        };
        assert_eq!(value, f64::from(u8::from(expected)), "{name} {labels:?}");
    }
}

#[test]
fn frames_that_nobody_takes_are_pending_and_then_dropped() {
    let daemon = Volleyd::start(&[]);
    let mut deaf = Peer::connect_narrow(daemon.address(), 16 * 1024);
    let frame = data(&pattern(1 << 20, 1));
    deaf.push_until_blocked(&frame, Duration::from_millis(300));
    let of = listener(&daemon);
    let is_stuck = |metrics: &Metrics| metrics.get("volleyd_frames_pending", &of) > 0.0;
    let stuck = scrape_until(daemon.admin(), is_stuck);
    assert!(stuck.get("volleyd_buffered_bytes", &[]) >= 4096.0);
    assert_eq!(stuck.get("volleyd_buffered_limit_bytes", &[]), f64::from(1 << 30));
    deaf.reset();
    let is_over = |metrics: &Metrics| metrics.get("volleyd_connections_active", &of) == 0.0;
    let over = scrape_until(daemon.admin(), is_over);
    let reset = [of[0], ("reason", "reset")];
    assert_eq!(
        over.get("volleyd_frames_dropped_total", &reset),
        stuck.get("volleyd_frames_pending", &of)
    );
    assert_eq!(over.get("volleyd_frames_pending", &of), 0.0);
    assert_eq!(over.get("volleyd_buffered_bytes", &[]), 0.0);
}

#[test]
fn those_who_are_turned_away_are_counted_by_what_there_was_no_more_of() {
    let daemon = Volleyd::start(&["--max-connections", "1"]);
    let mut inside = daemon.connect();
    inside.echoes(b"in");
    for _ in 0..3 {
        let mut over = daemon.connect();
        assert_eq!(over.error().0, 2);
        over.expect_end();
    }
    let metrics = daemon.admin().metrics();
    assert_eq!(metrics.get("volleyd_connections_limit", &[]), 1.0);
    for (reason, count) in [("connections", 3.0), ("source", 0.0), ("descriptors", 0.0)] {
        let labels = [listener(&daemon)[0], ("reason", reason)];
        assert_eq!(metrics.get("volleyd_connections_refused_total", &labels), count, "{reason}");
    }
}

#[test]
fn without_a_limit_on_connections_descriptors_are_left_for_those_who_ask() {
    if program_is_missing("prlimit") {
        return;
    }
    let mut command = Volleyd::command_through("prlimit", &["--nofile=300:300"]);
    command.args(["--listen", "127.0.0.1:0"]);
    let metrics = Volleyd::spawn(command, 1).admin().metrics();
    assert_eq!(metrics.get("process_max_fds", &[]), 300.0);
    assert_eq!(metrics.get("volleyd_connections_limit", &[]), 188.0);
}

/// What first appears with its first occurrence can't be seen to rise.
#[test]
fn everything_that_can_happen_is_there_from_the_start_with_0() {
    let metrics = Volleyd::start(&[]).admin().metrics();
    let counts = |name: &str, key: &str| {
        let found = metrics.series().filter(|(found, ..)| *found == name);
        let values: Vec<_> = found.map(|(_, labels, value)| (labels[key].clone(), value)).collect();
        assert!(values.iter().all(|(_, value)| *value == 0.0), "{values:?}");
        values.len()
    };
    let ends = volley_server::End::all().count();
    assert_eq!(counts("volleyd_connections_closed_total", "reason"), ends);
    assert_eq!(counts("volleyd_frames_dropped_total", "reason"), ends);
    let refusals = volley_server::Refusal::ALL.len();
    assert_eq!(counts("volleyd_connections_refused_total", "reason"), refusals);
    let errors = volley_server::AcceptError::ALL.len();
    assert_eq!(counts("volleyd_accept_errors_total", "kind"), errors);
}

#[test]
fn service_times_are_of_one_batch_in_16() {
    let daemon = Volleyd::start(&["--threads", "1"]);
    let mut peer = daemon.connect();
    // A batch is booked when its reply is out, so the last one may not be by now.
    (0..34).for_each(|_| peer.echoes(b"one batch each"));
    let metrics = daemon.admin().metrics();
    let of = listener(&daemon);
    // Batches 0, 16 and 32 at least: what was received in parts makes more of them.
    let count = metrics.get("volleyd_service_seconds_count", &of);
    assert!((3.0..=34.0).contains(&count), "{count}");
    assert!(metrics.get("volleyd_service_seconds_sum", &of) > 0.0);
}

#[test]
fn the_process_and_the_program_have_figures_too() {
    let daemon = Volleyd::start(&[]);
    let metrics = daemon.admin().metrics();
    let get = |name: &str| metrics.get(name, &[]);
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    // The clock may have been set since the machine was started.
    assert!((get("process_start_time_seconds") - now).abs() < 86_400.0);
    assert!(get("process_cpu_seconds_total") >= 0.0);
    assert!(get("process_resident_memory_bytes") > 100_000.0);
    assert!(get("process_virtual_memory_bytes") > get("process_resident_memory_bytes"));
    assert!(get("process_threads") >= 3.0);
    assert!(get("process_open_fds") >= 5.0);
    assert!(get("process_max_fds") > get("process_open_fds"));
    assert_eq!(get("volleyd_ready"), 1.0);
    assert_eq!(get("volleyd_log_lines_dropped_total"), 0.0);
    let (_, build, one) =
        metrics.series().find(|(name, ..)| *name == "volleyd_build_info").unwrap();
    assert_eq!((build["version"].as_str(), one), (env!("CARGO_PKG_VERSION"), 1.0));
}

#[test]
fn lines_of_the_log_that_nobody_takes_are_counted() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("log");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    // Its stderr is a pipe that is never read.
    let redirect = "fifo=$1; shift; exec \"$@\" 2<>\"$fifo\"";
    let mut command =
        Volleyd::command_through("sh", &["-c", redirect, "sh", fifo.to_str().unwrap()]);
    command.args(["--listen", "127.0.0.1:0", "--log", "debug"]);
    let daemon = Volleyd::spawn(command, 1);
    let deadline = Instant::now() + LIMIT;
    while daemon.admin().metrics().get("volleyd_log_lines_dropped_total", &[]) == 0.0 {
        assert!(Instant::now() < deadline, "no line is dropped");
        for _ in 0..500 {
            daemon.connect().echoes(b"hello");
        }
    }
}

/// Connects, sends, resets and leaves without end, until told to stop.
fn make_traffic(address: std::net::SocketAddr, seed: u64, stop: &AtomicBool) {
    for round in seed.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let mut peer = Peer::connect(address);
        let frames = data(&pattern(usize::try_from(round % 5000).unwrap(), round)).repeat(5);
        peer.send(&frames);
        match round % 3 {
            0 => peer.reset(),
            1 => {
                peer.expect(&frames);
                peer.leave();
            }
            _ => peer.expect(&frames),
        }
    }
}

#[test]
fn the_books_balance_in_every_scrape_and_no_counter_falls_while_traffic_runs() {
    let mut command = Volleyd::command();
    command.args(["--threads", "2", "--log", "off"]);
    command.args(["--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"]);
    let daemon = Volleyd::spawn(command, 2);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for (seed, address) in (0..4).zip(daemon.addresses().into_iter().cycle()) {
            let stop = &stop;
            scope.spawn(move || make_traffic(address, seed * 1000, stop));
        }
        let mut before = daemon.admin().metrics();
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..100 {
                let now = daemon.admin().metrics();
                now.check_books();
                now.check_counters_since(&before);
                before = now;
            }
        }));
        stop.store(true, Ordering::Relaxed);
        checked.unwrap();
    });
    let metrics = daemon.admin().metrics();
    for endpoint in &daemon.endpoints {
        assert!(metrics.get("volleyd_frames_answered_total", &[("listener", endpoint)]) > 0.0);
    }
}

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

#[test]
fn it_is_ready_until_a_drain_begins_and_alive_to_its_end() {
    let daemon = Volleyd::start(&["--drain", "1h"]);
    let mut peer = daemon.connect();
    peer.send(hello(0));
    peer.expect(welcome(1));
    assert_eq!(daemon.admin().get("/readyz").status, 200);
    daemon.signal(Signal::TERM);
    let deadline = Instant::now() + LIMIT;
    let answer = loop {
        let answer = daemon.admin().get("/readyz");
        if answer.status != 200 {
            break answer;
        }
        assert!(Instant::now() < deadline, "it is ready in a drain");
    };
    assert_eq!((answer.status, answer.body.as_str()), (503, "draining\n"));
    assert_eq!(daemon.admin().metrics().get("volleyd_ready", &[]), 0.0);
    // The listener is closed, and yet nobody must be told to restart a daemon that drains.
    assert_eq!(daemon.admin().get("/livez").status, 200);
    // GOAWAY, and then the peer is served until it leaves.
    peer.frame();
    peer.echoes(b"still answered");
    daemon.admin().check_books();
    peer.leave();
    assert_eq!(daemon.exit().0, 0);
}

/// A listener that breaks ends the daemon, which drains the others before that.
#[test]
fn it_is_not_ready_once_a_listener_is_broken() {
    let sockets = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let broken = Socket::from(sockets[0].try_clone().unwrap());
    let mut command = Volleyd::command();
    command.args(["--drain", "1h"]);
    let names = ["first", "second"];
    pass(&mut command, names.into_iter().zip(sockets.map(Into::into)));
    let mut daemon = Volleyd::spawn(command, 2);
    let mut peer = Peer::connect(daemon.addresses()[1]);
    peer.send(hello(0));
    peer.expect(welcome(1));
    assert_eq!(daemon.admin().get("/readyz").status, 200);
    // From now on accept(2) says EINVAL.
    broken.shutdown(Shutdown::Both).unwrap();
    daemon.wait_for(&["ERROR", "cannot accept"]);
    // GOAWAY.
    peer.frame();
    let answer = daemon.admin().get("/readyz");
    assert_eq!((answer.status, answer.body.as_str()), (503, "draining\n"));
    peer.leave();
    assert_eq!(daemon.exit().0, 69);
}

#[test]
fn a_look_at_the_listeners_is_a_frame_through_each_of_them() {
    let mut command = Volleyd::command();
    command.args(["--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"]);
    let daemon = Volleyd::spawn(command, 2);
    wait_until_alive(daemon.admin());
    let metrics = daemon.admin().metrics();
    for endpoint in &daemon.endpoints {
        assert!(metrics.get("volleyd_frames_answered_total", &[("listener", endpoint)]) >= 1.0);
    }
}

/// What a deadlock or an endless loop would be: the thread that serves the frames stands still, and
/// the one that answers for it does not.
#[test]
fn it_is_not_alive_while_its_frames_are_held_up() {
    let daemon = Volleyd::start(&["--threads", "1"]);
    // With one thread that is the main one. Its number is the process's.
    let main = nix::unistd::Pid::from_raw(daemon.pid().try_into().unwrap());
    wait_until_alive(daemon.admin());
    if let Err(error) = ptrace::seize(main, ptrace::Options::empty()) {
        println!("skipped: threads can't be stopped here: {error}");
        return;
    }
    ptrace::interrupt(main).unwrap();
    waitpid(main, Some(WaitPidFlag::__WALL)).unwrap();
    let answer = daemon.admin().get("/livez");
    let wrong = format!("{}: no reply within 1s\n", daemon.endpoints[0]);
    assert_eq!((answer.status, answer.body), (503, wrong));
    assert_eq!(daemon.admin().get("/metrics").status, 200);
    ptrace::detach(main, None).unwrap();
    wait_until_alive(daemon.admin());
}

#[test]
fn a_daemon_that_refuses_everybody_is_alive() {
    let daemon = Volleyd::start(&["--max-connections", "1"]);
    let mut inside = daemon.connect();
    inside.echoes(b"in");
    wait_until_alive(daemon.admin());
    assert!(daemon.admin().metrics().sum("volleyd_connections_refused_total", &[]) >= 1.0);
}

/// Asks for the connections until they are as expected.
#[track_caller]
fn connections_until(admin: &Admin, path: &str, expected: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + LIMIT;
    loop {
        let answer = admin.get(path);
        let listing: Value = serde_json::from_str(&answer.body).unwrap();
        if expected(&listing) {
            return listing;
        }
        assert!(Instant::now() < deadline, "{listing:#}");
        thread::yield_now();
    }
}

#[test]
fn the_open_connections_are_listed_with_what_they_do() {
    let mut command = Volleyd::command();
    command.args(["--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"]);
    let daemon = Volleyd::spawn(command, 2);
    let [first, second] = daemon.addresses()[..] else { panic!("two listeners") };
    let mut waiting = Peer::connect(first);
    waiting.send([control(HELLO, 0, 1, 0, b"a \"quoted\" name"), data(b"12345")].concat());
    waiting.expect([welcome(1), data(b"12345")].concat());
    let mut receiving = Peer::connect(second);
    receiving.echoes(b"");
    receiving.send(&data(&[0; 10_000])[..9_000]);
    let mut writing = Peer::connect_narrow(second, 16 * 1024);
    writing.push_until_blocked(&data(&pattern(1 << 20, 1)), Duration::from_millis(300));
    let is_so = |listing: &Value| {
        let state = |at: usize| listing["connections"][at]["state"].as_str();
        [state(0), state(1), state(2)] == [Some("waiting"), Some("receiving"), Some("writing")]
            && listing["connections"][1]["buffered_bytes"] != 0
    };
    let listing = connections_until(daemon.admin(), "/connections", is_so);
    assert_eq!(listing["total"], 3);
    let connections = listing["connections"].as_array().unwrap();
    for (shown, (peer, endpoint)) in connections.iter().zip([
        (&waiting, &daemon.endpoints[0]),
        (&receiving, &daemon.endpoints[1]),
        (&writing, &daemon.endpoints[1]),
    ]) {
        assert_eq!(shown["peer"], peer.local().to_string());
        assert_eq!(shown["listener"], endpoint.as_str());
        assert!(shown["age_seconds"].as_f64().unwrap() > 0.0);
    }
    assert_eq!(connections[0]["client"], "a \"quoted\" name");
    assert_eq!(connections[1]["client"], "");
    let figures = |at: usize| {
        ["frames_received", "frames_answered", "payload_bytes", "bytes_in", "bytes_out"]
            .map(|key| connections[at][key].as_u64().unwrap())
    };
    assert_eq!(figures(0), [1, 1, 5, 16 + 15 + 9, 16 + 9]);
    assert_eq!(figures(1), [1, 1, 0, 4 + 9_000, 4]);
    assert_eq!(connections[1]["buffered_bytes"], 8192);
    let [received, answered, ..] = figures(2);
    assert!(received > answered, "{connections:?}");
    // The oldest first, and how many there are in all.
    for limit in 0..5 {
        let listing: Value =
            serde_json::from_str(&daemon.admin().get(&format!("/connections?limit={limit}")).body)
                .unwrap();
        let ids = |listing: &Value| -> Vec<u64> {
            let shown = listing["connections"].as_array().unwrap();
            shown.iter().map(|shown| shown["id"].as_u64().unwrap()).collect()
        };
        assert_eq!(listing["total"], 3);
        assert_eq!(ids(&listing), [1, 2, 3][..limit.min(3)]);
    }
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

#[test]
fn a_port_in_use_exits_with_69_and_says_which() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", taken.local_addr().unwrap());
    let (code, stdout, stderr) =
        exit_of(&["--listen", "127.0.0.1:0", "--admin", &endpoint, "--log", "off"], &[]);
    assert_eq!((code, stdout.as_str()), (69, ""));
    let told = format!("volleyd: cannot listen on {endpoint}: Address already in use");
    assert!(stderr.starts_with(&told), "{stderr}");
}

#[test]
fn it_is_set_by_the_environment_too_and_told_in_the_log() {
    let mut command = Volleyd::command();
    command.env("VOLLEYD_ADMIN", "localhost:0").args(["--listen", "127.0.0.1:0"]);
    let mut daemon = Volleyd::spawn_with(command, 1, true);
    assert_eq!(daemon.admin().get("/readyz").status, 200);
    let url = daemon.admin().endpoint.replace("tcp://", "http://");
    daemon.wait_for(&["INFO", "admin", &format!("endpoint={url}")]);
}

#[test]
fn without_the_flag_there_is_none() {
    let mut command = Volleyd::command();
    command.args(["--listen", "127.0.0.1:0"]);
    let daemon = Volleyd::spawn_alone(command, 1);
    daemon.connect().echoes(b"hello");
    let threads = |pid: u32| -> Vec<String> {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        let name = |task: std::io::Result<fs::DirEntry>| {
            fs::read_to_string(task.unwrap().path().join("comm")).unwrap().trim().to_owned()
        };
        tasks.map(name).collect()
    };
    assert!(!threads(daemon.pid()).contains(&"volleyd-admin".to_owned()));
    let with = Volleyd::start(&[]);
    // It has a name once it runs.
    assert_eq!(with.admin().get("/readyz").status, 200);
    assert!(threads(with.pid()).contains(&"volleyd-admin".to_owned()));
}
