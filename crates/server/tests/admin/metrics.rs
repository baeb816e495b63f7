//! What the metrics count, and that they balance.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use volley_tests::{Admin, Metrics};

use super::make_traffic;
use crate::common::{
    HELLO, LIMIT, Peer, Volleyd, control, data, pattern, program_is_missing, welcome,
};

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
