//! The load tester against the daemon: both say the same, and time is told honestly.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, also in what it calls")]

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use volley_tests::{Daemon, program, run, within};

/// `volley-load run` to this daemon, with the report as JSON on stdout.
fn load(daemon: &Daemon, arguments: &[&str]) -> Command {
    let mut command = program("volley-load");
    command.args(["run", "--to", &daemon.endpoint, "--json", "-"]).args(arguments);
    command
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
