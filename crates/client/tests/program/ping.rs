//! `volley ping`: what becomes of each ping, what is said of it, and what it all comes to.

use std::fs::OpenOptions;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;
use volley_proto::{Endpoint, MaxFrame, Reason, ReplyKind};

use crate::scripted::{Peer, echo, listen, play, receipt, within};
use crate::{Ended, Running, program, run, told_in_vain};

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

// Replies.

#[tokio::test]
async fn each_reply_is_a_line_and_the_summary_adds_them_up() {
    let printed = pinged(ping(3, &[]), async |peer| peer.echo(3).await).await;
    assert_eq!(printed.lines, [reply(1), reply(2), reply(3)]);
    assert_eq!(printed.summary, ["3 pings, 3 answered, 0% loss, time T s", RTT[0], RTT[1]]);
    assert_eq!(printed.code, Some(0));
}

#[tokio::test]
async fn pings_have_the_size_that_is_asked_for_and_all_differ() {
    for size in [1, 64, 5000] {
        let mut command = ping(3, &[]);
        command.args(["-s", &size.to_string(), "-q"]);
        let server = async |mut peer: Peer| {
            peer.greet(ReplyKind::Echo).await;
            let mut seen = Vec::new();
            for _ in 0..3 {
                let payload = peer.payload().await;
                assert_eq!(payload.len(), size);
                assert!(!seen.contains(&payload));
                peer.reply(&payload).await;
                seen.push(payload);
            }
            peer.until_closed().await;
        };
        let ended = play(server, async |to| run(command.arg(to.to_string())).await).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
}

/// More than sockets hold: it must be read while it is written.
#[tokio::test]
async fn a_ping_may_be_as_long_as_the_protocol_allows() {
    let server = async |mut peer: Peer| {
        peer.hello().await;
        peer.welcome(ReplyKind::Echo, MaxFrame::CEILING).await;
        let mut left = 4 + (64 << 20);
        let mut buffer = vec![0; 1 << 16];
        while left > 0 {
            let len = peer.stream.read(&mut buffer).await.unwrap();
            peer.write(&buffer[..len]).await;
            left -= len;
        }
        peer.until_closed().await;
    };
    let ended = play(server, async |to| run(ping(1, &[&to]).args(["-s", "64MiB"])).await).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[tokio::test]
async fn an_empty_ping_is_one_too() {
    let mut command = ping(2, &[]);
    command.args(["-s", "0"]);
    let server = async |peer: Peer| peer.echo_all().await;
    command.arg("--no-hello");
    let ended = play(server, async |to| run(command.arg(to.to_string())).await).await;
    let printed = Printed::from(ended);
    assert_eq!(printed.lines[1..], ["seq=1 bytes=0 time=T ms", "seq=2 bytes=0 time=T ms"]);
    assert_eq!(printed.code, Some(0));
}

#[tokio::test]
async fn receipts_are_replies_too() {
    let server = async |mut peer: Peer| {
        assert_eq!(peer.hello().await, 2);
        peer.welcome(ReplyKind::Ack, MaxFrame::DEFAULT).await;
        for seq in 1..=2 {
            let payload = peer.payload().await;
            peer.reply(&receipt(&payload, seq, 64 * seq).encode()).await;
        }
        // Of a frame that was changed on its way.
        peer.payload().await;
        peer.reply(&receipt(b"something else", 3, 192).encode()).await;
        peer.until_closed().await;
    };
    let ended = play(server, async |to| run(ping(3, &[&to]).args(["--reply", "ack"])).await).await;
    let printed = Printed::from(ended);
    assert!(printed.lines[0].ends_with(": 64 bytes, ack"), "{}", printed.lines[0]);
    assert_eq!(printed.lines[1..3], [reply(1), reply(2)]);
    let told = "seq=3 corrupt: a receipt for other bytes: crc32c ";
    assert!(printed.lines[3].starts_with(told), "{}", printed.lines[3]);
    assert_eq!(printed.code, Some(1));
}

#[tokio::test]
async fn a_server_that_grants_other_replies_is_not_pinged() {
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        assert_eq!(peer.until_closed().await, b"");
    };
    let ended = play(server, async |to| run(ping(1, &[&to]).args(["--reply", "ack"])).await).await;
    let printed = Printed::from(ended);
    let told = "seq=1 not sent: the server grants echo, not the ack that was asked for";
    assert_eq!(printed.lines[1..], [told]);
    assert_eq!(printed.code, Some(1));
}

#[tokio::test]
async fn a_target_may_be_a_name_or_an_ipv6_address() {
    let (listener, to) = listen().await;
    let name = format!("localhost:{}", listener.local_addr().unwrap().port());
    let mut command = ping(1, &[]);
    command.args(["-4", &name]);
    let ended = served(&mut command, async { greeted(&listener).await.echo_all().await }).await;
    let printed = Printed::from(ended);
    let address = to.to_string().replace("tcp://", "");
    assert_eq!(printed.lines, [format!("PING tcp://{name} ({address}): 64 bytes, echo"), reply(1)]);

    let ended = within(run(ping(1, &[&to]).arg("-6"))).await;
    ended.failed(2, &format!("cannot connect to {to}: it has no IPv6 address"));

    // A machine may be without it.
    let Ok(listener) = TcpListener::bind("[::1]:0").await else { return };
    let to = listener.local_addr().unwrap().into();
    let mut command = ping(1, &[&to]);
    let ended = served(&mut command, async { greeted(&listener).await.echo_all().await }).await;
    assert_eq!(Printed::from(ended).lines, [head(&to), reply(1)]);
}

// What is no good reply.

#[tokio::test]
async fn a_changed_echo_is_corrupt_and_no_answer() {
    let printed = pinged(ping(3, &[]), async |peer| {
        peer.echo(1).await;
        let mut payload = peer.payload().await;
        payload[20] ^= 1;
        peer.reply(&payload).await;
        let payload = peer.payload().await;
        peer.reply(&payload[..60]).await;
    })
    .await;
    assert_eq!(
        printed.lines,
        [
            &reply(1),
            "seq=2 corrupt: 64 bytes sent, 64 received, different from byte 20 on",
            "seq=3 corrupt: 64 bytes sent, 60 received, different from byte 60 on",
        ]
    );
    assert_eq!(printed.summary[..2], ["3 pings, 1 answered, 66.6667% loss, time T s", "2 corrupt"]);
    assert_eq!(printed.code, Some(1));
}

#[tokio::test]
async fn a_ping_without_a_reply_is_told_and_a_late_reply_told_apart() {
    let given_up = Notify::new();
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        let first = peer.payload().await;
        given_up.notified().await;
        peer.reply(&first).await;
        peer.until_closed().await;
    };
    let (ended, lines) = play(server, async |to| {
        let mut command = program();
        command.args(["ping", "-i", "0.1", "-W", "1", &to.to_string()]);
        let mut running = Running::start(&mut command);
        let mut lines = vec![running.line().await];
        assert_eq!(lines[0], head(&to));
        lines.push(running.line().await);
        given_up.notify_one();
        while !lines.last().unwrap().ends_with("(late)") {
            lines.push(running.line().await);
        }
        running.signal(Signal::INT);
        (running.end().await, lines)
    })
    .await;
    assert_eq!(lines[1], "seq=1 no reply within 1s");
    let late = without_times(lines.last().unwrap());
    assert_eq!(late, "seq=1 bytes=64 time=T ms (late)");
    let stdout = String::from_utf8(ended.stdout).unwrap();
    assert!(stdout.contains(" 0 answered, 100% loss, "), "{stdout}");
    assert!(stdout.contains("1 late, "), "{stdout}");
}

#[tokio::test]
async fn a_second_reply_is_a_duplicate_and_not_the_next_ones() {
    let printed = pinged(ping(2, &[]), async |peer| {
        let first = peer.payload().await;
        peer.reply(&first).await;
        peer.reply(&first).await;
        let second = peer.payload().await;
        peer.reply(&second).await;
        // Behind the last reply of all.
        peer.reply(&second).await;
    })
    .await;
    let again = |seq| format!("{} (duplicate)", reply(seq));
    assert_eq!(printed.lines, [reply(1), again(1), reply(2), again(2)]);
    assert_eq!(printed.summary[..2], ["2 pings, 2 answered, 0% loss, time T s", "2 duplicates"]);
    assert_eq!(printed.code, Some(1));
}

#[tokio::test]
async fn replies_in_another_order_are_told() {
    let printed = pinged(ping(3, &[]), async |peer| {
        let payloads = [peer.payload().await, peer.payload().await, peer.payload().await];
        for place in [1, 0, 2] {
            peer.reply(&payloads[place]).await;
        }
    })
    .await;
    let out_of_order = format!("{} (out of order)", reply(1));
    assert_eq!(printed.lines, [reply(2), out_of_order, reply(3)]);
    assert_eq!(printed.summary[..2], ["3 pings, 3 answered, 0% loss, time T s", "1 out of order"]);
    assert_eq!(printed.code, Some(1));
}

#[tokio::test]
async fn a_reply_to_no_ping_is_told() {
    let printed = pinged(ping(1, &[]), async |peer| {
        let payload = peer.payload().await;
        peer.reply(&payload).await;
        peer.reply(b"and more").await;
    })
    .await;
    assert_eq!(printed.lines, [&reply(1), "a reply of 8 bytes to no ping"]);
    assert_eq!(printed.summary[1], "1 reply to no ping");
    assert_eq!(printed.code, Some(1));
}

// Connections.

/// A ping that is answered, loses its connection in this way, and goes on over another one. The
/// line that says why.
async fn lost(lose: impl AsyncFnOnce(Peer)) -> String {
    let (listener, to) = listen().await;
    let mut command = program();
    command.args(["ping", "-i", "5ms", "-W", "25", &to.to_string()]);
    let lines = within(async {
        let mut running = Running::start(&mut command);
        let serve = async {
            let mut first = greeted(&listener).await;
            first.echo(1).await;
            first.payload().await;
            lose(first).await;
            greeted(&listener).await.echo_all().await;
        };
        let read = async {
            let mut lines = vec![running.line().await];
            while !lines.last().unwrap().starts_with("reconnected to ") {
                lines.push(running.line().await);
            }
            // It is of use.
            while !lines.last().unwrap().contains(" time=") {
                lines.push(running.line().await);
            }
            running.signal(Signal::INT);
            let ended = running.end().await;
            let stdout = String::from_utf8(ended.stdout).unwrap();
            assert!(stdout.contains(" 1 reconnect\n"), "{stdout}");
            lines
        };
        tokio::join!(serve, read).1
    })
    .await;
    assert_eq!(without_times(&lines[1]), reply(1));
    assert_eq!(lines[3], "seq=2 lost: the connection ended before its reply");
    lines[2].strip_prefix("connection lost: ").expect(&lines[2]).to_owned()
}

#[tokio::test]
async fn a_connection_that_is_lost_is_opened_again() {
    assert_eq!(lost(async |peer| drop(peer)).await, "the server closed the connection");
    let told = lost(async |peer| peer.reset()).await;
    assert_eq!(told, "the connection failed: Connection reset by peer (os error 104)");
    let told = lost(async |mut peer| {
        peer.error(Reason::Idle, 1, "silent for \u{1b}[1m60 s").await;
        peer.until_closed().await;
    })
    .await;
    let reason = "refused by the server after 1 frame: idle: silent for \\u{1b}[1m60 s";
    assert_eq!(told, reason);
}

#[tokio::test]
async fn a_half_closing_server_has_closed() {
    let told = lost(async |mut peer| {
        peer.stream.shutdown().await.unwrap();
        peer.until_closed().await;
    })
    .await;
    assert_eq!(told, "the server closed the connection");
    let told = lost(async |mut peer| {
        // In the middle of a reply.
        peer.write(&[0, 0, 0, 64, 1, 2, 3]).await;
    })
    .await;
    let within = "the server closed the connection within a reply, of which 7 of 68 bytes had come";
    assert_eq!(told, within);
}

#[tokio::test]
async fn what_no_server_may_send_ends_the_connection_and_is_named() {
    let over_long = lost(async |mut peer| {
        peer.write(&[4, 0, 0, 1]).await;
        peer.until_closed().await;
    })
    .await;
    assert!(
        over_long.starts_with("the server broke the protocol: frame of 67108865"),
        "{over_long}"
    );
    let web = lost(async |mut peer| {
        peer.write(b"HTTP/1.1 408 Request Timeout\r\n\r\n").await;
        peer.until_closed().await;
    })
    .await;
    assert!(web.starts_with("the server broke the protocol: this is HTTP"), "{web}");
    let welcome = lost(async |mut peer| {
        peer.welcome(ReplyKind::Echo, MaxFrame::DEFAULT).await;
        peer.until_closed().await;
    })
    .await;
    assert_eq!(welcome, "the server broke the protocol: WELCOME may not be sent here");
}

#[tokio::test]
async fn a_server_that_goes_away_is_left_once_it_has_answered() {
    let (listener, to) = listen().await;
    let mut command = program();
    command.args(["ping", "-i", "5ms", "-W", "25", &to.to_string()]);
    within(async {
        let mut running = Running::start(&mut command);
        let serve = async {
            let mut first = greeted(&listener).await;
            let payload = first.payload().await;
            first.goaway(Reason::ShuttingDown).await;
            first.reply(&payload).await;
            // The client closes, this side does not.
            first.until_closed().await;
            greeted(&listener).await.echo_all().await;
        };
        let read = async {
            let mut lines = vec![running.line().await];
            while !lines.last().unwrap().starts_with("reconnected to ") {
                lines.push(running.line().await);
            }
            running.signal(Signal::INT);
            running.end().await;
            // Those that were due in between were not sent, if there were any.
            lines.retain(|line| !line.contains(" not sent: the server takes no new frames"));
            let lines: Vec<_> = lines.iter().map(|line| without_times(line)).collect();
            let left = "the server takes no new frames: shutting down";
            assert_eq!(lines[..3], [head(&to), left.to_owned(), reply(1)]);
            assert_eq!(lines[3], format!("reconnected to {} after T s", address(&to)));
        };
        tokio::join!(serve, read);
    })
    .await;
}

fn address(to: &Endpoint) -> String {
    to.to_string().replace("tcp://", "")
}

#[tokio::test]
async fn a_target_that_cannot_be_reached_is_told_with_what_to_try() {
    let (listener, to) = listen().await;
    drop(listener);
    let printed = Printed::from(within(run(&mut ping(2, &[&to]))).await);
    let told = |seq| {
        format!(
            "seq={seq} not sent: cannot connect to {to}: Connection refused (os error 111) (is \
             volleyd running there?)"
        )
    };
    assert_eq!(printed.lines, [format!("PING {to}: 64 bytes"), told(1), told(2)]);
    assert_eq!(printed.summary, ["2 pings, 0 answered, 100% loss, time T s", "2 not sent"]);
    assert_eq!(printed.code, Some(1));
}

/// A server that does this at the beginning, and nothing more. What the only ping comes to.
async fn never_welcomed(timeout: &str, serve: impl AsyncFnOnce(&mut Peer)) -> String {
    let server = async |mut peer: Peer| {
        serve(&mut peer).await;
        peer.until_client_is_done().await;
    };
    let (ended, to) =
        play(server, async |to| (run(&mut ping_within(timeout, 1, &[&to])).await, to)).await;
    let printed = Printed::from(ended);
    assert_eq!(printed.code, Some(1));
    assert_eq!(printed.lines[0], format!("PING {to}: 64 bytes"));
    printed.lines[1].strip_prefix("seq=1 not sent: ").expect(&printed.lines[1]).to_owned()
}

#[tokio::test]
async fn a_silent_server_is_given_up_in_time() {
    let told = never_welcomed("0.5", async |_| {}).await;
    let advice = "try a longer --timeout, or --no-hello";
    assert_eq!(told, format!("no connection or no WELCOME within 500ms ({advice})"));
    // It has another way to say so where every ping has its own connection.
    let server = async |peer: Peer| peer.until_client_is_done().await;
    let ended =
        play(server, async |to| run(ping_within("0.5", 1, &[&to]).arg("--connect")).await).await;
    let printed = Printed::from(ended);
    assert!(printed.lines[1].contains("no WELCOME from "), "{}", printed.lines[1]);
    assert_eq!(printed.code, Some(1));
}

#[tokio::test]
async fn a_server_that_takes_long_is_told_of() {
    let (listener, to) = listen().await;
    for mode in [&[][..], &["--connect"], &["-q", "-w", "25"]] {
        let told = told_in_vain(ping(1, &[&to]).args(mode), &listener).await;
        assert_eq!(told, format!("volley: connecting to {to}, for up to 25s\n"), "{mode:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_none_of_ours_is_named() {
    let told =
        never_welcomed("25", async |peer| peer.write(b"SSH-2.0-OpenSSH_9.9\r\n").await).await;
    assert!(told.starts_with("the server broke the protocol: this is SSH"), "{told}");
    let told = never_welcomed("25", async |peer| {
        let (head, body) = peer.frame().await;
        peer.write(&head.to_be_bytes()).await;
        peer.write(&body).await;
    })
    .await;
    assert!(told.ends_with("it may not know HELLO (try --no-hello)"), "{told}");
}

#[tokio::test]
async fn a_ping_that_is_too_long_for_the_server_is_not_sent() {
    let server = async |mut peer: Peer| {
        peer.hello().await;
        peer.welcome(ReplyKind::Echo, MaxFrame::new(63).unwrap()).await;
        assert_eq!(peer.until_closed().await, b"");
    };
    let ended = play(server, async |to| run(&mut ping(1, &[&to])).await).await;
    let printed = Printed::from(ended);
    let told = "seq=1 not sent: frame of 64 bytes exceeds the limit of 63 (try a smaller --size)";
    assert_eq!(printed.lines[1..], [told]);
    assert_eq!(printed.code, Some(1));
}

#[tokio::test]
async fn with_connect_every_ping_has_a_connection_of_its_own() {
    let (listener, to) = listen().await;
    let mut command = ping(3, &[&to]);
    command.arg("--connect");
    let serve = async {
        greeted(&listener).await.echo_all().await;
        // The next one is not held up by one that gets no answer.
        let mut second = greeted(&listener).await;
        second.payload().await;
        greeted(&listener).await.echo_all().await;
        drop(second);
    };
    let printed = Printed::from(served(&mut command, serve).await);
    let reply = |seq| format!("seq={seq} bytes=64 connect=T ms time=T ms");
    let lost = "seq=2 lost: the server closed the connection";
    assert_eq!(printed.lines, [&head(&to), &reply(1), &reply(3), lost]);
    assert_eq!(
        printed.summary[..2],
        ["3 pings, 2 answered, 33.3333% loss, time T s", "1 lost with the connection"]
    );
    let connect = ["connect min/avg/max/mdev = T ms", "connect p50/p90/p99 = T ms"];
    assert_eq!(printed.summary[2..], [connect, RTT].concat());
    assert_eq!(printed.code, Some(0));
}

// Several targets.

#[tokio::test]
async fn each_target_has_its_own_pings_and_summary_and_all_must_answer() {
    let (listener, there) = listen().await;
    let (gone, nowhere) = listen().await;
    drop(gone);
    let mut command = ping(2, &[&nowhere, &there]);
    let ended = served(&mut command, async { greeted(&listener).await.echo_all().await }).await;
    assert_eq!((ended.code, &*ended.stderr), (Some(1), ""));
    let stdout = String::from_utf8(ended.stdout).unwrap();
    let lines: Vec<_> = stdout.lines().map(without_times).collect();
    for seq in 1..=2 {
        assert!(lines.contains(&format!("{there}: {}", reply(seq))), "{stdout}");
        let not_sent = format!("{nowhere}: seq={seq} not sent: cannot connect to ");
        assert!(lines.iter().any(|line| line.starts_with(&not_sent)), "{stdout}");
    }
    let summary = |to, answered, loss| {
        [
            format!("--- {to} ping statistics ---"),
            format!("2 pings, {answered} answered, {loss}% loss, time T s"),
        ]
    };
    let place = |lines: &[String], summary: [String; 2]| {
        lines.windows(2).position(|window| *window == summary).expect(&stdout)
    };
    assert!(place(&lines, summary(&nowhere, 0, 100)) < place(&lines, summary(&there, 2, 0)));
}

#[tokio::test]
async fn a_name_that_nobody_has_is_another_error_and_the_others_are_pinged() {
    let (listener, there) = listen().await;
    let mut command = ping(1, &[&there]);
    // RFC 6761, 6.4: never a name of anything.
    command.arg("nowhere.invalid:7007").env("RES_OPTIONS", "timeout:1 attempts:1");
    let ended = served(&mut command, async { greeted(&listener).await.echo_all().await }).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    let told = "volley: cannot resolve tcp://nowhere.invalid:7007: ";
    assert!(ended.stderr.starts_with(told), "{ended:?}");
    let stdout = String::from_utf8(ended.stdout).unwrap();
    assert!(stdout.contains("1 ping, 1 answered, 0% loss"), "{stdout}");
    assert_eq!(stdout.matches("ping statistics").count(), 1, "{stdout}");
}

// How it ends, and what is printed.

#[tokio::test]
async fn one_answer_is_enough_unless_all_are_wanted_by_a_deadline() {
    for (arguments, code) in [(&[][..], 0), (&["-w", "25"], 1)] {
        let mut command = ping_within("1", 2, &[]);
        command.args(arguments);
        let printed = pinged(command, async |peer| {
            peer.echo(1).await;
            peer.payload().await;
        })
        .await;
        assert_eq!(printed.lines, [&reply(1), "seq=2 no reply within 1s"]);
        let expected = ["2 pings, 1 answered, 50% loss, time T s", "1 without a reply"];
        assert_eq!(printed.summary[..2], expected);
        assert_eq!(printed.code, Some(code));
    }
}

#[tokio::test]
async fn the_deadline_ends_it_whatever_is_in_flight() {
    let mut command = program();
    command.args(["ping", "-i", "1h", "-W", "25", "-w", "2"]);
    let printed = pinged(command, async |peer| drop(peer.payload().await)).await;
    assert_eq!(printed.summary, ["1 ping, 0 answered, time T s", "1 still in flight"]);
    assert_eq!(printed.code, Some(1));
}

#[tokio::test]
async fn quiet_leaves_the_summary() {
    let mut command = ping(3, &[]);
    command.arg("-q");
    let printed = pinged(command, async |peer| peer.echo(3).await).await;
    assert_eq!(printed.lines, [""; 0]);
    assert_eq!(printed.summary[0], "3 pings, 3 answered, 0% loss, time T s");
}

#[tokio::test]
async fn json_is_an_object_per_line() {
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        peer.echo(1).await;
        peer.payload().await;
        peer.reply(b"\xff").await;
        peer.until_closed().await;
    };
    let (ended, to) = play(server, async |to| (run(ping(2, &[&to]).arg("--json")).await, to)).await;
    assert_eq!((ended.code, &*ended.stderr), (Some(1), ""));
    let objects: Vec<Value> = serde_json::Deserializer::from_slice(&ended.stdout)
        .into_iter()
        .collect::<Result<_, _>>()
        .unwrap();
    let lines = ended.stdout.iter().filter(|&&byte| byte == b'\n').count();
    let [start, reply, lost, summary] = &objects[..] else { panic!("{objects:?}") };
    assert_eq!(lines, 4);
    // docs/CLIENT.md describes every field.
    let docs = include_str!("../../../../docs/CLIENT.md");
    let figures = [&summary["rtt_ns"]];
    for (name, _) in objects.iter().chain(figures).flat_map(|object| object.as_object().unwrap()) {
        assert!(docs.contains(&format!("`{name}`")), "{name}");
    }
    for (object, event) in objects.iter().zip(["start", "reply", "lost", "summary"]) {
        assert_eq!(object["event"], event);
        assert_eq!(object["target"], to.to_string());
        let at = object["at"].as_str().unwrap();
        assert!(at.starts_with("20") && at.ends_with('Z'), "{at}");
    }
    assert_eq!((&start["address"], &start["bytes"]), (&Value::from(address(&to)), &64.into()));
    assert_eq!(start["reply"], "echo");
    assert_eq!((&reply["seq"], &reply["bytes"]), (&1.into(), &64.into()));
    assert_eq!((&reply["connect_ns"], &reply["reordered"]), (&Value::Null, &false.into()));
    assert_eq!((&lost["seq"], &lost["reason"]), (&2.into(), &"corrupt".into()));
    let counts = [("pings", 2), ("answered", 1), ("lost", 1), ("corrupt", 1), ("no_reply", 0)];
    for (name, count) in counts {
        assert_eq!(summary[name], count, "{name}");
    }
    assert_eq!((&summary["loss"], &summary["passed"]), (&0.5.into(), &false.into()));
    for figure in ["min", "avg", "max", "p50", "p90", "p99"] {
        assert_eq!(summary["rtt_ns"][figure], reply["rtt_ns"], "{figure}");
    }
    assert_eq!(summary["rtt_ns"]["mdev"], 0);
    assert_eq!(summary["connect_ns"], Value::Null);
}

#[tokio::test]
async fn a_signal_ends_it_with_what_there_is() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let server = async |mut peer: Peer| {
            peer.greet(ReplyKind::Echo).await;
            peer.echo(1).await;
            peer.until_closed().await;
        };
        let ended = play(server, async |to| {
            let mut command = program();
            let mut running = Running::start(command.args(["ping", "-i", "1h", &to.to_string()]));
            assert_eq!(running.line().await, head(&to));
            assert_eq!(without_times(&running.line().await), reply(1));
            running.signal(signal);
            running.end().await
        })
        .await;
        assert_eq!((ended.code, &*ended.stderr), (Some(code), ""), "{ended:?}");
        let stdout = String::from_utf8(ended.stdout).unwrap();
        assert!(stdout.contains("\n1 ping, 1 answered, 0% loss, time "), "{stdout}");
    }
}

#[tokio::test]
async fn sigquit_shows_how_it_stands() {
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        peer.echo(1).await;
        peer.until_closed().await;
    };
    let (line, to) = play(server, async |to| {
        let mut command = program();
        let mut running = Running::start(command.args(["ping", "-i", "1h", &to.to_string()]));
        running.line().await;
        running.line().await;
        running.signal(Signal::QUIT);
        let mut stderr = BufReader::new(running.child.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).await.unwrap();
        running.signal(Signal::INT);
        assert_eq!(running.child.wait().await.unwrap().code(), Some(130));
        (line, to)
    })
    .await;
    let told =
        format!("volley: {to}: 1 ping, 1 answered, 0% loss, time T s, rtt min/avg/max = T ms");
    assert_eq!(without_times(line.trim_end()), told);
}

#[tokio::test]
async fn a_reader_that_goes_ends_it_quietly() {
    let ended = play(echo, async |to| {
        let mut command = program();
        command.args(["ping", "-i", "5ms", &to.to_string()]);
        let mut running = Running::start(&mut command);
        running.line().await;
        running.line().await;
        let Running { child, stdin, stdout } = running;
        drop((stdin, stdout));
        let output = child.wait_with_output().await.unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    })
    .await;
    assert_eq!(ended, (Some(0), String::new()));
}

#[tokio::test]
async fn a_stdout_that_cannot_be_written_is_another_error() {
    let ended = play(echo, async |to| {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        run(ping(1000, &[&to]).stdout(Stdio::from(full))).await
    })
    .await;
    ended.failed(2, "cannot write to stdout: No space left on device (os error 28)");
}

/// What comes to wait for its printing must not make later replies seem slow, nor memory full.
#[tokio::test]
async fn nothing_is_sent_while_nobody_reads_and_a_signal_ends_that_too() {
    let (listener, to) = listen().await;
    let mut command = program();
    command.args(["ping", "-i", "1ms", "-W", "25"]).args(vec![to.to_string(); 16]);
    within(async {
        let mut running = Running::start(&mut command);
        let (seen, mut frames) = mpsc::unbounded_channel();
        let mut servers = JoinSet::new();
        for _ in 0..16 {
            let (mut peer, seen) = (greeted(&listener).await, seen.clone());
            servers.spawn(async move {
                loop {
                    peer.echo(1).await;
                    seen.send(()).unwrap();
                }
            });
        }
        // Sixteen frames a millisecond, until no more come.
        while timeout(Duration::from_millis(500), frames.recv()).await.is_ok() {}
        running.signal(Signal::INT);
        assert_eq!(running.child.wait().await.unwrap().code(), Some(130));
        servers.abort_all();
    })
    .await;
}

#[tokio::test]
async fn what_makes_no_sense_is_wrong_usage() {
    let wrong: [(&[&str], &str); 10] = [
        (&["a"], "`a` has no port: write a:7007"),
        (&["a:7007", "b"], "`b` has no port: write b:7007"),
        (&["-c", "0"], "write at least 1"),
        (&["-i", "0"], "write more than 0, for example 0.2 or 200ms"),
        (&["-i", "0.0001"], "write at least 1ms; volley-load sends faster"),
        (&["-W", "soon"], "`soon` is no duration: write for example 0.2, 200ms or 1m"),
        (&["-w", "-1"], "unexpected argument '-1' found"),
        (&["-s", "65MiB"], "above the 67108864 that the protocol allows"),
        (&["-4", "-6"], "cannot be used with"),
        (&["--qiuet"], "a similar argument exists: '--quiet'"),
    ];
    for (arguments, told) in wrong {
        let ended = within(run(program().arg("ping").args(arguments))).await;
        assert_eq!((ended.code, &*ended.stdout), (Some(2), &b""[..]), "{arguments:?} {ended:?}");
        assert!(ended.stderr.contains(told), "{ended:?}");
    }
}

#[tokio::test]
async fn help_begins_with_examples() {
    for command in ["ping", "wait"] {
        let ended = within(run(program().args([command, "--help"]))).await;
        let help = String::from_utf8(ended.stdout).unwrap();
        assert!(help.find("Examples:").unwrap() < help.find("Usage:").unwrap(), "{help}");
        assert!(help.contains("Exit codes:"), "{help}");
        assert_eq!(ended.code, Some(0));
    }
}
