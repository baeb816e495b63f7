//! Connections that are lost, left, or never there.

use rustix::process::Signal;
use tokio::io::AsyncWriteExt;
use volley_proto::{MaxFrame, Reason, ReplyKind};

use super::{
    Printed, RTT, address, greeted, head, ping, ping_within, reply, served, without_times,
};
use crate::scripted::{Peer, listen, play, within};
use crate::{Running, program, run, told_in_vain};

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
