//! `volley ping` and `volley wait`, while the daemon comes and goes.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, also in what it calls")]

use std::net::TcpListener;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdout};
use volley_tests::{Daemon, Family, program, run, within};

/// `volley ping`, with the events that it tells.
struct Ping {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Ping {
    fn start(endpoint: &str) -> Self {
        let mut command = program("volley");
        command.args(["ping", "--json", "-i", "10ms", "-W", "30", endpoint]);
        let mut child = command.stderr(Stdio::inherit()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout }
    }

    /// Awaits an event of this name.
    async fn wait_for(&mut self, event: &str) {
        loop {
            let mut line = String::new();
            within(self.stdout.read_line(&mut line)).await.unwrap();
            let told: Value = serde_json::from_str(&line).unwrap();
            if told["event"] == event {
                return;
            }
        }
    }

    /// Ends it, and returns its summary.
    async fn end(mut self) -> Value {
        let pid = Pid::from_raw(self.child.id().unwrap().try_into().unwrap()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
        let mut rest = String::new();
        within(self.stdout.read_to_string(&mut rest)).await.unwrap();
        assert_eq!(within(self.child.wait()).await.unwrap().code(), Some(130));
        let summary: Value = serde_json::from_str(rest.lines().last().unwrap()).unwrap();
        assert_eq!(summary["event"], "summary");
        summary
    }
}

/// A free port of an address that no other test uses, so that it stays free.
fn reserve(address: &str) -> String {
    let listener = TcpListener::bind(address).unwrap();
    format!("tcp://{}", listener.local_addr().unwrap())
}

#[tokio::test]
async fn a_daemon_is_waited_for_until_it_has_started() {
    let endpoint = reserve("127.0.77.1:0");
    let mut command = program("volley");
    let mut waiting = command.args(["wait", "-v", "--timeout", "50s", &endpoint]).spawn().unwrap();
    let mut stderr = BufReader::new(waiting.stderr.take().unwrap());
    let mut told = String::new();
    within(stderr.read_line(&mut told)).await.unwrap();
    assert_eq!(told, format!("volley: waiting up to 50s for {endpoint}\n"));
    let daemon = Family::start(&["--listen", &endpoint]).await;
    within(stderr.read_to_string(&mut told)).await.unwrap();
    assert_eq!(within(waiting.wait()).await.unwrap().code(), Some(0), "{told}");
    assert!(told.contains(&format!("\nvolley: {endpoint} answered after ")), "{told}");
    daemon.terminate();
    daemon.end().await;
}

#[tokio::test]
async fn both_kinds_of_reply_are_pinged_over_one_connection_and_over_many() {
    let daemon = Daemon::start(&[]).await;
    for arguments in [&[][..], &["--connect"], &["--reply", "ack"], &["--connect", "-s", "1MiB"]] {
        let mut command = program("volley");
        command.args(["ping", "-c", "3", "-i", "10ms", "-W", "30", &daemon.endpoint]);
        let ended = run(command.args(arguments), b"").await;
        let stdout = String::from_utf8(ended.stdout).unwrap();
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{stdout}");
        assert!(stdout.contains("\n3 pings, 3 answered, 0% loss, time "), "{stdout}");
    }
}

#[tokio::test]
async fn no_ping_is_lost_when_new_processes_take_the_daemons_place() {
    let mut family = Family::start(&[]).await;
    let mut ping = Ping::start(&family.endpoint);
    ping.wait_for("reply").await;
    for _ in 0..2 {
        family.swap().await;
        for event in ["going_away", "connected", "reply"] {
            ping.wait_for(event).await;
        }
    }
    let summary = ping.end().await;
    family.terminate();
    family.end().await;
    assert_eq!(summary["reconnects"], 2, "{summary}");
    // Between two connections none can be sent; of those that were, every one came back.
    assert_eq!(summary["lost"], summary["not_sent"], "{summary}");
}

#[tokio::test]
async fn a_daemon_that_is_stopped_and_started_again_is_pinged_again() {
    is_pinged_again(&reserve("127.0.77.2:0")).await;
    let directory = tempfile::tempdir().unwrap();
    is_pinged_again(&format!("unix:{}", directory.path().join("volley.sock").display())).await;
}

async fn is_pinged_again(endpoint: &str) {
    let first = Family::start_at(endpoint, &[]).await;
    let mut ping = Ping::start(endpoint);
    ping.wait_for("reply").await;
    first.terminate();
    first.end().await;
    // Nobody is there to connect to.
    ping.wait_for("lost").await;
    let second = Family::start_at(endpoint, &[]).await;
    ping.wait_for("connected").await;
    ping.wait_for("reply").await;
    let summary = ping.end().await;
    second.terminate();
    second.end().await;
    assert_eq!(summary["reconnects"], 1, "{summary}");
    assert_eq!(summary["lost"], summary["not_sent"], "{summary}");
    assert_eq!(summary["passed"], true);
}
