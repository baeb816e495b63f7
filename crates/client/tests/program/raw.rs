//! `--framing raw`: payloads alone on the wire, replies by their lengths.

use tokio::process::Command;
use volley_proto::Endpoint;

use crate::scripted::{Peer, play, within};
use crate::{program, run, send};

/// Sends back what comes.
async fn echo(mut peer: Peer) {
    let (mut read, mut write) = peer.stream.split();
    tokio::io::copy(&mut read, &mut write).await.unwrap();
}

fn raw(to: &Endpoint) -> Command {
    let mut send = send(to);
    send.args(["--framing", "raw"]);
    send
}

#[tokio::test]
async fn frames_go_out_as_they_are_and_replies_are_compared() {
    let server = async |mut peer: Peer| {
        let sent = peer.bytes(10).await;
        assert_eq!(sent, b"helloworld");
        peer.write(&sent).await;
        assert_eq!(peer.until_closed().await, b"");
    };
    let ended = play(server, async |to| run(raw(&to).args(["hello", "world"])).await).await;
    ended.printed("hello\nworld\n");
}

#[tokio::test]
async fn a_wrong_byte_is_told_with_its_place() {
    let server = async |mut peer: Peer| {
        peer.bytes(10).await;
        peer.write(b"hellowOrld").await;
        peer.until_closed().await;
    };
    let ended = play(server, async |to| run(raw(&to).args(["hello", "world"])).await).await;
    assert_eq!((ended.code, &*ended.stdout), (Some(1), &b"hello\n"[..]));
    let told = "reply 2 is not its frame: 5 bytes sent, 5 received, different from byte 1 on";
    assert!(ended.stderr.contains(told), "{}", ended.stderr);
}

#[tokio::test]
async fn a_reply_that_is_short_is_a_loss() {
    let server = async |mut peer: Peer| {
        peer.bytes(10).await;
        peer.write(b"hellowor").await;
    };
    let ended = play(server, async |to| run(raw(&to).args(["hello", "world"])).await).await;
    let told = "the server closed the connection: 1 frame answered, 1 without a reply, \
                but for 3 of 5 bytes of it (volley send --retry 3 sends again what has no reply)";
    ended.failed_after("hello\n", 1, told);
}

#[tokio::test]
async fn pings_come_back_without_lengths() {
    let ping = async |to: Endpoint| {
        let mut ping = program();
        ping.args(["ping", "--framing", "raw", "-c", "3", "-i", "1ms", "-w", "25", "-s", "100"]);
        run(ping.arg(to.to_string())).await
    };
    let ended = play(echo, ping).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));

    let corrupt = async |mut peer: Peer| {
        let mut payload = peer.bytes(100).await;
        payload[99] ^= 1;
        peer.write(&payload).await;
        echo(peer).await;
    };
    let ended = play(corrupt, ping).await;
    assert_eq!(ended.code, Some(1));
    let text = String::from_utf8(ended.stdout).unwrap();
    assert!(text.contains("corrupt: 100 bytes sent, 100 received, different from byte 99 on"));
}

#[tokio::test]
async fn what_raw_bytes_cannot_have_is_wrong_usage() {
    let cases: [(&[&str], &str); 3] = [
        (&["send", "--reply", "ack", "x"], "--framing raw has no receipts: leave --reply ack out"),
        (
            &["send", "--to", "udp://127.0.0.1:1", "x"],
            "--framing raw is for streams of bytes, and udp://127.0.0.1:1 has none",
        ),
        (&["ping", "-s", "0"], "a ping without a byte is none with --framing raw"),
    ];
    for (arguments, told) in cases {
        let ended = within(run(program().args(arguments).args(["--framing", "raw"]))).await;
        ended.failed(2, told);
    }
}
