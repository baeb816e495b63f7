//! Scripts against servers that end, fail or stay silent.

use volley_proto::{Reason, ReplyKind};

use super::{after_a_frame, script, talk};
use crate::run_with;
use crate::scripted::{Peer, listen, within};

#[tokio::test]
async fn an_error_in_place_of_a_reply_is_told_with_its_code() {
    let hint = " (send less at once, or give the server a larger --max-frame)";
    for (reason, name, hint, code) in [
        (Reason::Busy, "busy", "", 75),
        (Reason::TooLarge, "too large", hint, 65),
        (Reason::Protocol, "protocol", "", 76),
    ] {
        let text = "send \"a\"\nuntil \"b\"\n";
        let ended = after_a_frame(text, async |peer| peer.error(reason, 0, "so it is").await);
        let told = format!("refused by the server after 0 frames: {name}: so it is{hint}");
        let lines = format!("      until \"b\"\n      {told}\n");
        ended.await.failed_at("2:1", code, &lines);
    }
    let text = "send \"a\"\nexpect error busy\n";
    let ended = after_a_frame(text, async |peer| peer.error(Reason::Idle, 0, "").await).await;
    ended.failed_at("2:1", 1, "      expect error busy\n      the ERROR says idle, not busy\n");
}

#[tokio::test]
async fn a_server_that_closes_too_early_is_told() {
    for statement in ["expect any", "until any"] {
        let text = format!("send \"a\"\n{statement}\n");
        let told = "the server closed the connection: 0 frames answered, 1 without a reply";
        let ended = after_a_frame(&text, async |_| {}).await;
        ended.failed_at("2:1", 1, &format!("      {statement}\n      {told}\n"));
    }
}

#[tokio::test]
async fn a_reset_is_told() {
    let ended = talk("send \"a\"\nexpect any\n", async |mut peer: Peer| {
        peer.payload().await;
        peer.reset();
    });
    let told = "the connection failed: Connection reset by peer (os error 104): 0 frames answered, \
                1 without a reply";
    ended.await.failed_at("2:1", 1, &format!("      expect any\n      {told}\n"));
}

#[tokio::test]
async fn a_reply_that_is_cut_off_breaks_the_protocol() {
    let text = "send \"a\"\nexpect any\n";
    let ended = after_a_frame(text, async |peer| peer.write(b"\0\0\0\x05ab").await).await;
    let told = "the server broke the protocol: the stream ended inside a frame: 6 of 9 bytes \
                (is it a framed server?)";
    ended.failed_at("2:1", 76, &format!("      expect any\n      {told}\n"));
}

#[tokio::test]
async fn a_server_that_is_no_framed_one_is_told() {
    let text = "send \"a\"\nexpect any\n";
    let ended = after_a_frame(text, async |peer| peer.write(b"HTTP/1.1 400 Bad\r\n").await).await;
    assert_eq!(ended.code, Some(76), "{ended:?}");
}

#[tokio::test]
async fn silence_ends_within_the_timeout() {
    let silent = async |mut peer: Peer| {
        peer.until_closed().await;
    };
    let text = "timeout 200ms\nsend \"a\"\nexpect any\n";
    let told = "no reply to frame 1 within 200ms (try a longer --timeout)";
    let ended = talk(text, silent).await;
    ended.failed_at("3:1", 75, &format!("      expect any\n      {told}\n"));
    let text = "timeout 200ms\nsend \"a\"\nuntil any\n";
    let told = "nothing came within 200ms (try a longer --timeout)";
    let ended = talk(text, silent).await;
    ended.failed_at("3:1", 75, &format!("      until any\n      {told}\n"));
}

#[tokio::test]
async fn a_server_that_takes_nothing_is_given_up() {
    let text = "timeout 200ms\nrepeat 100\nsend zeros 1MiB\nend\n";
    let ended = talk(text, async |peer: Peer| peer.until_client_is_done().await).await;
    let told = "the server does not take what is sent: not done within 200ms";
    ended.failed_at("3:1", 75, &format!("      send zeros 1MiB\n      {told}\n"));
}

#[tokio::test]
async fn replies_that_are_not_read_yet_are_in_nobodys_way() {
    // More than the buffers of both sides hold.
    let text = "repeat 30\nsend random 1MiB\nend\nrepeat 30\nexpect echo\nend\n";
    talk(text, async |peer: Peer| peer.echo_all().await).await.passed();
}

#[tokio::test]
async fn a_server_that_does_not_know_hello_is_told_with_what_to_try() {
    let ended = talk("hello\n", async |mut peer: Peer| {
        peer.hello().await;
    });
    let told = "the server answered HELLO with a close, not with WELCOME: it may not know HELLO \
                (leave `hello` out)";
    ended.await.failed_at("1:1", 76, &format!("      hello\n      {told}\n"));
    let ended = talk("hello\n", async |mut peer: Peer| {
        peer.hello().await;
        peer.reset();
    });
    let told = told.replace("a close", "a reset");
    ended.await.failed_at("1:1", 76, &format!("      hello\n      {told}\n"));
    let ended = talk("hello\n", async |mut peer: Peer| {
        let (head, body) = peer.frame().await;
        peer.write(&head.to_be_bytes()).await;
        peer.write(&body).await;
    });
    let told = "the server answered HELLO with an echo of it, not with WELCOME: it may not know \
                HELLO (leave `hello` out)";
    ended.await.failed_at("1:1", 76, &format!("      hello\n      {told}\n"));
    // What was not read makes a reset of the close.
    let ended = talk("raw \"x\"\nhello\n", async |peer: Peer| peer.reset());
    let ended = String::from_utf8(ended.await.stdout).unwrap();
    assert!(ended.contains("it may not know HELLO") || ended.contains("reset by peer"), "{ended}");
    let ended = talk("timeout 200ms\nhello\n", async |mut peer: Peer| {
        peer.until_closed().await;
    });
    let told = "no WELCOME within 200ms (it may not know HELLO: leave `hello` out, or try a longer \
                --timeout)";
    ended.await.failed_at("2:1", 75, &format!("      hello\n      {told}\n"));
    let ended = talk("hello ack\n", async |mut peer: Peer| peer.greet(ReplyKind::Echo).await).await;
    let told = "the server grants echo, not the ack that was asked for";
    ended.failed_at("1:1", 1, &format!("      hello ack\n      {told}\n"));
}

#[tokio::test]
async fn a_port_without_a_server_is_unavailable() {
    let (listener, to) = listen().await;
    drop(listener);
    let ended = within(run_with(script(&to).arg("-"), b"send \"a\"\n")).await;
    let told = format!(
        "cannot connect to {to}: Connection refused (os error 111) (is volleyd running there?)"
    );
    ended.failed_at("1:1", 69, &format!("      send \"a\"\n      {told}\n"));
}
