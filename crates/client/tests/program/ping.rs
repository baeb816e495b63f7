//! `volley ping`: what becomes of each ping, what is said of it, and what it all comes to.

mod connections;
mod ends;
mod replies;
mod targets;
mod wrong_replies;

use tokio::net::TcpListener;
use tokio::process::Command;
use volley_proto::{Endpoint, ReplyKind};

use crate::scripted::{Peer, play, within};
use crate::{Ended, program, run};

/// `volley ping` that often, with a wait for replies that nothing comes near.
fn ping(count: u64, targets: &[&Endpoint]) -> Command {
    ping_within("25", count, targets)
}

fn ping_within(timeout: &str, count: u64, targets: &[&Endpoint]) -> Command {
    let mut command = program();
    command.args(["ping", "-i", "5ms", "-W", timeout, "-c", &count.to_string()]);
    command.args(targets.iter().map(ToString::to_string));
    command
}

/// What a ping has printed, with `T` for each time: the lines, and what the summary says behind its
/// first line.
struct Printed {
    code: Option<i32>,
    lines: Vec<String>,
    summary: Vec<String>,
}

impl From<Ended> for Printed {
    /// Of one target, that has started.
    #[track_caller]
    fn from(ended: Ended) -> Self {
        assert_eq!(ended.stderr, "", "{ended:?}");
        let stdout = String::from_utf8(ended.stdout).unwrap();
        let (lines, summary) = stdout.split_once("\n\n--- ").expect(&stdout);
        let timeless = |text: &str| text.lines().map(without_times).collect::<Vec<_>>();
        Self { code: ended.code, lines: timeless(lines), summary: timeless(summary).split_off(1) }
    }
}

fn without_times(line: &str) -> String {
    let is_time = |word: &str| word.bytes().all(|byte| b"0123456789./".contains(&byte));
    let mut words: Vec<_> = line.split(' ').map(str::to_owned).collect();
    for unit in 1..words.len() {
        let (before, is_unit) = (unit - 1, ["ms", "s", "s,"].contains(&words[unit].as_str()));
        let (name, value) = match words[before].split_once('=') {
            Some((name, value)) => (format!("{name}="), value.to_owned()),
            None => (String::new(), words[before].clone()),
        };
        if is_unit && is_time(&value) {
            words[before] = format!("{name}T");
        }
    }
    words.join(" ")
}

fn reply(seq: u64) -> String {
    format!("seq={seq} bytes=64 time=T ms")
}

fn head(to: &Endpoint) -> String {
    format!("PING {to}: 64 bytes, echo")
}

fn address(to: &Endpoint) -> String {
    to.to_string().replace("tcp://", "")
}

/// Pings a server with one connection. What was printed behind the head, which is the usual one.
async fn pinged(mut command: Command, server: impl AsyncFnOnce(&mut Peer)) -> Printed {
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        server(&mut peer).await;
        peer.until_closed().await;
    };
    play(server, async |to| {
        let mut printed = Printed::from(run(command.arg(to.to_string())).await);
        assert_eq!(printed.lines.remove(0), head(&to));
        printed
    })
    .await
}

/// The next connection, greeted.
async fn greeted(listener: &TcpListener) -> Peer {
    let mut peer = Peer::accept(listener).await;
    peer.greet(ReplyKind::Echo).await;
    peer
}

/// Serves `command`, which has its arguments.
async fn served<T>(command: &mut Command, serve: impl Future<Output = T>) -> Ended {
    within(async { tokio::join!(run(command), serve).0 }).await
}

const RTT: [&str; 2] = ["rtt min/avg/max/mdev = T ms", "rtt p50/p90/p99 = T ms"];
