//! Daemons behind a real HAProxy with the configuration of deploy/haproxy, which balances over three of
//! them: the ledger tells what one that is killed takes with it, and one that drains takes nothing.
//! Skipped, and told so, where HAProxy is missing.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, also in what it calls")]

use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use volley_tests::{Daemon, Load, Log, Report, field, is_missing, program, run, send, until};

const CONFIGURATION: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/haproxy/haproxy.cfg"));

/// How the configuration listens.
const BIND: &str = "bind :7007\n";

const ANY_PORT: &str = "127.0.0.1:0";

/// Connections that are balanced, and the frames in flight on each.
const CONNECTIONS: u64 = 12;
const PIPELINE: u64 = 4;

/// How many frames the others answer until all has come to rest that one has stopped.
const SETTLED: f64 = 20_000.0;

/// HAProxy, on a port of its own. Dropped, it is killed.
struct Balancer {
    _process: Child,
    log: Log,
    _directory: TempDir,
    address: String,
}

impl Balancer {
    /// In front of three daemons; what else its `bind` says.
    fn start(daemons: &[Daemon; 3], bind: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("haproxy.cfg");
        fs::write(&path, configuration(daemons, bind)).unwrap();
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(path).kill_on_drop(true);
        // Who connects before it accepts waits in the backlog.
        command.stdin(OwnedFd::from(listener)).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let log = Log::of(process.stderr.take().unwrap());
        Self { _process: process, log, _directory: directory, address }
    }
}

/// That of the project, with these daemons in place of its own, and the socket that is stdin in place
/// of its port.
fn configuration(daemons: &[Daemon; 3], bind: &str) -> String {
    let mut text = replaced(CONFIGURATION, BIND, &format!("bind fd@0 {bind}\n"));
    // They share an address, so that the port of their admin pages is their own.
    text = replaced(&text, "check port 7008", "check");
    for (place, daemon) in (1..).zip(daemons) {
        let frames = address(&daemon.endpoint);
        let (_, admin) = daemon.admin().endpoint.rsplit_once(':').unwrap();
        let here = format!("{frames} port {admin}");
        text = replaced(&text, &format!("192.0.2.1{place}:7007"), &here);
    }
    text
}

/// With `new` in the one place of `old`.
fn replaced(text: &str, old: &str, new: &str) -> String {
    assert_eq!(text.matches(old).count(), 1, "{old:?} in {text}");
    text.replace(old, new)
}

fn address(endpoint: &str) -> &str {
    endpoint.rsplit('/').next().unwrap()
}

/// Three that take connections from a balancer only.
async fn daemons(listen: &str, arguments: &[&str]) -> [Daemon; 3] {
    let balanced = ["--proxy-from", "127.0.0.1", "--drain", "30s"];
    let arguments = [&balanced, arguments].concat();
    let start = || Daemon::start_at(listen, &arguments);
    [start().await, start().await, start().await]
}

/// A load through the balancer, once it runs.
async fn load(balancer: &Balancer) -> Load {
    let (connections, pipeline) = (CONNECTIONS.to_string(), PIPELINE.to_string());
    let flags = ["-c", &connections, "-p", &pipeline, "-d", "0", "--timeout", "1m"];
    let mut load = Load::start(&balancer.address, &flags);
    load.is_running().await;
    load
}

/// How many connections of the load a daemon has; its own probes are others.
fn connected(daemon: &Daemon) -> u64 {
    let page: Value = serde_json::from_str(&daemon.admin().get("/connections").body).unwrap();
    let all = page["connections"].as_array().unwrap();
    all.iter().filter(|one| one["client"] == "volley-load").count() as u64
}

/// Waits until they have so many connections.
async fn until_connected<const N: usize>(daemons: [&Daemon; N], count: u64) {
    until(|| daemons.iter().map(|daemon| connected(daemon)).sum::<u64>() == count).await;
}

fn received(daemons: &[&Daemon]) -> f64 {
    let received = |one: &&Daemon| one.admin().metrics().sum("volleyd_frames_received_total", &[]);
    daemons.iter().map(received).sum()
}

/// Of each reason why frames were lost, how many.
fn lost(report: &Report) -> Vec<(&str, u64)> {
    let lost = report.value("/run/ledger/lost").as_array().unwrap();
    lost.iter()
        .map(|one| (one["reason"].as_str().unwrap(), one["frames"].as_u64().unwrap()))
        .collect()
}

#[tokio::test]
async fn the_ledger_tells_what_a_killed_daemon_took_with_it_and_a_drain_takes_nothing() {
    if is_missing("haproxy") {
        return;
    }
    let daemons = daemons(ANY_PORT, &["--drain-delay", "1m"]).await;
    let mut balancer = Balancer::start(&daemons, "");
    let load = load(&balancer).await;
    let [killed, drained, last] = daemons;
    let at_killed = connected(&killed);
    assert_eq!(at_killed + connected(&drained) + connected(&last), CONNECTIONS);

    // One stands still: when each of its connections has all frames in flight that it may, it is killed.
    killed.process().pause();
    let others = [&drained, &last];
    let before = received(&others);
    until(|| received(&others) > before + SETTLED).await;
    killed.process().kill();
    until_connected([&drained, &last], CONNECTIONS).await;
    let at_drained = connected(&drained);
    assert!(at_killed > 0 && at_drained > 0, "{at_killed}, {at_drained}");

    // Another is told to stop, and goes on until no new connections come its way. All are with the last
    // one then, and go on there.
    drained.terminate();
    balancer.log.wait_for("Server volleyd/volleyd-2 is DOWN").await;
    let books = drained.books().await;
    assert_eq!(field(&books, "frames_received"), field(&books, "frames_answered"), "{books}");
    until_connected([&last], CONNECTIONS).await;
    let before = received(&[&last]);
    until(|| received(&[&last]) > before + SETTLED).await;

    load.interrupt();
    let report = load.end().await;
    let (sent, ok) = (report.number("/run/ledger/sent"), report.number("/run/ledger/ok"));
    let in_flight = at_killed * PIPELINE;
    println!("{sent} sent = {ok} ok + {:?} lost; {:?}", lost(&report), report.problems());
    assert_eq!(lost(&report), [("closed", in_flight)]);
    assert_eq!((sent - ok, report.number("/run/ledger/imbalance")), (in_flight, 0));
    let told = [
        ("the server closed the connection", at_killed),
        ("the server said GOAWAY: shutting down", at_drained),
    ];
    let mut problems = report.problems();
    // The backlog of a daemon that is killed may outlive its connections for a moment.
    problems.retain(|(what, _)| !what.starts_with("the server answered HELLO with a close"));
    assert_eq!(problems, told);
    assert_eq!(report.code, Some(1));
    let figures = last.admin().metrics();
    let figure = |name: &str| figures.sum(name, &[]);
    assert_eq!(figure("volleyd_frames_received_total"), figure("volleyd_frames_answered_total"));
}

/// The peer is the client, and not the balancer.
#[tokio::test]
async fn the_daemon_knows_the_client_behind_the_balancer() {
    if is_missing("haproxy") {
        return;
    }
    let daemons = daemons(ANY_PORT, &[]).await;
    let balancer = Balancer::start(&daemons, "");
    let ended = send(&balancer.address, &["-v", "hello"], b"").await;
    assert_eq!((ended.code, &*ended.stdout), (Some(0), &b"hello\n"[..]), "{ended:?}");
    let (_, from) = ended.stderr.split_once("connected from ").unwrap();
    let (client, _) = from.split_once(' ').unwrap();
    let mut logs = String::new();
    for daemon in daemons {
        logs += &daemon.log().await;
    }
    let over: Vec<_> =
        logs.lines().filter(|line| line.contains("client=\"volley send\"")).collect();
    let [line] = over[..] else { panic!("{logs}") };
    assert!(line.contains(&format!("peer={client}")), "{line}");
    let (_, via) = line.split_once(" via=127.0.0.1:").unwrap();
    let port = client.rsplit_once(':').unwrap().1;
    assert!(!via.starts_with(port), "{line}");
}

/// TLS that ends at the daemons, behind the header, and TLS that ends at the balancer.
#[tokio::test]
async fn tls_through_the_balancer_and_up_to_it() {
    if is_missing("haproxy") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let certificates = run(program("volleyd").arg("--dev-cert").arg(directory.path()), b"").await;
    assert_eq!(certificates.code, Some(0), "{certificates:?}");
    let file = |name: &str| directory.path().join(name).display().to_string();
    let (ca, certificate, key) = (file("ca.pem"), file("cert.pem"), file("key.pem"));

    let through = daemons("tls://127.0.0.1:0", &["--cert", &certificate, "--key", &key]).await;
    let up_to = daemons(ANY_PORT, &[]).await;
    // HAProxy wants both in one file.
    let both = file("both.pem");
    let pair = fs::read_to_string(&certificate).unwrap() + &fs::read_to_string(&key).unwrap();
    fs::write(&both, pair).unwrap();
    let ends_here = format!("ssl crt {both} alpn volley/1");
    for (daemons, bind) in [(through, ""), (up_to, ends_here.as_str())] {
        let balancer = Balancer::start(&daemons, bind);
        let to = format!("tls://{}", balancer.address);
        let flags = ["-c", "6", "-p", "16", "-n", "20k", "-s", "0..2000", "--ca", &ca];
        assert_eq!(Load::whole(&to, &flags).await, 20_000);
    }
}
