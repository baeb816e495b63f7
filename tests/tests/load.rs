//! The load tester against the daemon: both say the same, and time is told honestly.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, also in what it calls")]

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::sleep;
use volley_tests::{Daemon, program, run, within};

/// `volley-load run` to this daemon, with the report as JSON on stdout.
fn load(daemon: &Daemon, arguments: &[&str]) -> Command {
    let mut command = program("volley-load");
    command.args(["run", "--to", &daemon.endpoint, "--json", "-"]).args(arguments);
    command
}

/// The seconds at this place of the report, where it has nanoseconds.
fn seconds(report: &Value, place: &str) -> f64 {
    report.pointer(place).and_then(Value::as_f64).unwrap() / 1e9
}

fn number(report: &Value, place: &str) -> u64 {
    report.pointer(place).and_then(Value::as_u64).unwrap()
}

#[tokio::test]
async fn every_frame_comes_back_right_whatever_the_daemon_answers() {
    for reply in ["echo", "ack"] {
        let daemon = Daemon::start(&["--reply", "ack"]).await;
        let flags = ["-q", "-n", "20k", "-c", "8", "-p", "16", "-s", "0..2000", "--reply", reply];
        let ended = run(&mut load(&daemon, &flags), b"").await;
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        let report: Value = serde_json::from_slice(&ended.stdout).unwrap();
        let ledger = ["sent", "ok"].map(|column| number(&report, &format!("/run/ledger/{column}")));
        assert_eq!(ledger, [20_000, 20_000]);
        assert_eq!(report["complete"], true);
        daemon.terminate();
        assert_eq!(daemon.end().await.0, Some(0));
    }
}

#[tokio::test]
async fn both_programs_count_the_same_frames() {
    let loads = ["--reply echo -p 16 -s 0..2000", "--reply ack -r 20k --frames-per-connection 500"];
    for flags in loads {
        let daemon = Daemon::start(&[]).await;
        let flags: Vec<_> =
            ["-q", "-c", "8", "-d", "2s"].into_iter().chain(flags.split(' ')).collect();
        let ended = run(&mut load(&daemon, &flags), b"").await;
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        let report: Value = serde_json::from_slice(&ended.stdout).unwrap();
        let sent = number(&report, "/run/ledger/sent");
        assert_eq!((sent > 0, number(&report, "/run/ledger/ok")), (true, sent));
        let books = daemon.books().await;
        let told = ["frames_received", "frames_answered"].map(|name| format!(" {name}={sent} "));
        assert!(told.iter().all(|told| books.contains(told)), "{sent} sent: {books}");
    }
}

#[tokio::test]
async fn a_daemon_that_drains_loses_nothing() {
    let daemon = Daemon::start(&[]).await;
    let flags = ["-c", "8", "-p", "8", "-d", "60s", "--reconnect", "fail"];
    let mut child = load(&daemon, &flags).spawn().unwrap();
    wait_for_a_line(&mut child).await;
    daemon.terminate();
    let ended = within(child.wait_with_output()).await.unwrap();
    assert_eq!(daemon.end().await.0, Some(0));
    // It ran, and was told to go away before its time.
    assert_eq!(ended.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&ended.stdout).unwrap();
    let [sent, ok] = ["sent", "ok"].map(|column| number(&report, &format!("/run/ledger/{column}")));
    assert!(sent > 0 && sent == ok, "{sent} sent, {ok} ok");
    assert_eq!(report["complete"], false);
    assert_eq!(report["error"], "the server said GOAWAY: shutting down");
}

/// The rate, and how long it is held.
const RATE: f64 = 2000.0;
const DURATION: f64 = 5.0;

/// What the system may take to stop a process and to let it go on.
const SLACK: f64 = 0.1;

/// A daemon is stopped for a second at a rate that is held. Every frame that was planned for the
/// stall waits for the rest of it, so with a stall of S seconds at least `RATE * (S - x)` frames
/// wait for longer than x, and the quantile q of all `RATE * DURATION` is at least
/// `S - DURATION * (1 - q)`. Only one frame on each connection is under way in the meantime, so
/// that the time from the write to the reply shows next to nothing of it.
#[tokio::test]
async fn a_stall_shows_in_the_response_time_where_arithmetic_puts_it() {
    let daemon = Daemon::start(&[]).await;
    let flags = ["-c", "4", "-p", "1", "-r", "2k", "-d", "5s"];
    let mut child = load(&daemon, &flags).spawn().unwrap();
    wait_for_a_line(&mut child).await;
    daemon.signal(Signal::STOP);
    let began = Instant::now();
    sleep(Duration::from_secs(1)).await;
    let stall = began.elapsed().as_secs_f64();
    daemon.signal(Signal::CONT);
    let ended = within(child.wait_with_output()).await.unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stdout));
    let report: Value = serde_json::from_slice(&ended.stdout).unwrap();
    let [sent, ok] = ["sent", "ok"].map(|column| number(&report, &format!("/run/ledger/{column}")));
    let unsent = number(&report, "/run/unsent");
    assert_eq!((sent + unsent, ok), (10_000, sent));

    for (name, quantile) in [("p90_ns", 0.9), ("p99_ns", 0.99), ("p999_ns", 0.999)] {
        let least = stall - DURATION * (1.0 - quantile) - SLACK;
        let response = seconds(&report, &format!("/run/response/{name}"));
        println!("stall {stall:.3} s, {name}: response {response:.3} s, at least {least:.3} s");
        assert!(response >= least, "{name}: {response} s is less than {least} s");
    }
    let [p99, max] = ["p99_ns", "max_ns"].map(|at| seconds(&report, &format!("/run/service/{at}")));
    println!("service p99 {p99:.6} s, max {max:.3} s");
    assert!(max >= stall - SLACK, "{max} s");
    // Four of ten thousand frames were on their way.
    assert!(p99 < stall / 4.0, "{p99} s");
    #[expect(clippy::cast_precision_loss, reason = "a few thousand frames")]
    let waited = number(&report, "/run/waited") as f64;
    assert!(waited >= RATE * (stall - SLACK) - 8.0, "{waited} frames waited");
    daemon.terminate();
    assert_eq!(daemon.end().await.0, Some(0));
}

/// Waits for the first line on stderr, which comes when frames have been sent for a while, and
/// takes all that follow.
async fn wait_for_a_line(child: &mut tokio::process::Child) {
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    within(stderr.read_line(&mut line)).await.unwrap();
    assert!(line.starts_with("volley-load: "), "{line}");
    tokio::spawn(
        async move { while stderr.read_line(&mut line).await.is_ok_and(|read| read > 0) {} },
    );
}
