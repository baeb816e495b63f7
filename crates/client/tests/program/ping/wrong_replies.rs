//! What is no good reply: each is told for what it is, and which ping it is taken for.

use rustix::process::Signal;
use tokio::sync::Notify;
use volley_proto::ReplyKind;

use super::{head, ping, pinged, reply, without_times};
use crate::scripted::{Peer, play};
use crate::{Running, program};

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
