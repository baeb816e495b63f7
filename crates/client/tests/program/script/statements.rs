//! What each statement of a script does, and how it fails.

use volley_proto::{Reason, ReplyKind};

use super::{after_a_frame, script, talk};
use crate::run_with;
use crate::scripted::{Peer, echo, listen, receipt, within};

#[tokio::test]
async fn bytes_go_out_as_they_are_written_and_frames_behind_their_length() {
    let text = "raw hex 00 \"x\"\nsend \"hi\" hex ff\nsend \"\"\nhalf-close\nexpect close\n";
    let server = async |mut peer: Peer| {
        assert_eq!(peer.until_closed().await, b"\0x\0\0\0\x03hi\xff\0\0\0\0");
    };
    talk(text, server).await.passed();
}

#[tokio::test]
async fn until_passes_over_what_does_not_matter() {
    let text = "send \"go\"\nuntil /^done/\nexpect \"last\"\n";
    let ended = after_a_frame(text, async |peer| {
        peer.goaway(Reason::ShuttingDown).await;
        for reply in ["10 %", "99 %", "done", "last"] {
            peer.reply(reply.as_bytes()).await;
        }
    });
    ended.await.passed();
}

#[tokio::test]
async fn control_frames_can_be_expected() {
    let text = "hello ack \"me\"\nsend \"a\"\nexpect receipt\nexpect goaway\nexpect error idle\n\
                expect close\n";
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Ack).await;
        peer.payload().await;
        peer.reply(&receipt(b"a", 1, 1).encode()).await;
        peer.goaway(Reason::Idle).await;
        peer.error(Reason::Idle, 1, "").await;
    };
    talk(text, server).await.passed();
}

#[tokio::test]
async fn each_connection_counts_its_own_frames() {
    let (listener, to) = listen().await;
    let serve = async {
        for payload in [&b"ab"[..], b"c"] {
            let mut peer = Peer::accept(&listener).await;
            assert_eq!(peer.payload().await, payload);
            peer.reply(&receipt(payload, 1, payload.len() as u64).encode()).await;
            peer.until_closed().await;
        }
    };
    let text = "send \"ab\"\nexpect receipt\nclose\nsend \"c\"\nexpect receipt\n";
    let mut script = script(&to);
    let play = run_with(script.arg("-"), text.as_bytes());
    within(async { tokio::join!(serve, play).1 }).await.passed();
}

#[tokio::test]
async fn a_wrong_reply_is_shown_beside_the_right_one() {
    let text = "  send \"hello\"\n  expect echo\n";
    let ended = after_a_frame(text, async |peer| peer.reply(b"heLlo").await).await;
    let lines = "      expect echo
      reply 1 is not its frame: 5 bytes sent, 5 received, different from byte 2 on
        expected  00000000  68 65 6c 6c 6f                                   |hello|
                  00000005
        received  00000000  68 65 4c 6c 6f                                   |heLlo|
                  00000005
";
    ended.failed_at("2:3", 1, lines);
}

#[tokio::test]
async fn each_pattern_says_why_it_does_not_match() {
    let cases = [
        ("\"b\"", "reply 1 is not the one that was expected"),
        ("prefix \"b\"", "reply 1 does not begin as expected"),
        ("/^b/", "reply 1 does not match /^b/"),
        ("receipt", "reply 1 is no receipt: a receipt has 32 bytes, not 1"),
        ("welcome", "reply 1 came, not WELCOME"),
        ("goaway", "reply 1 came, not GOAWAY"),
        ("error", "reply 1 came, not ERROR"),
        ("close", "reply 1 came, not the server's close"),
        ("nothing 25s", "reply 1 came, where nothing was expected"),
    ];
    for (pattern, why) in cases {
        let text = format!("send \"a\"\nexpect {pattern}\n");
        let ended = after_a_frame(&text, async |peer| peer.reply(b"a").await).await;
        let stdout = String::from_utf8(ended.stdout).unwrap();
        assert_eq!(ended.code, Some(1), "{stdout}");
        assert!(stdout.contains(&format!("expect {pattern}\n      {why}\n")), "{why}\n{stdout}");
        assert!(stdout.contains("received  00000000  61"), "{stdout}");
    }
}

/// It waits for what nobody has been asked for.
#[tokio::test]
async fn what_nobody_was_asked_for_is_told_so() {
    let echo = async |peer: Peer| peer.echo_all().await;
    let text = "timeout 200ms\nsend \"a\"\nexpect echo\nexpect echo\n";
    let told = "nothing came within 200ms (no frame is without a reply: is a `send` missing?)";
    let ended = talk(text, echo).await;
    ended.failed_at("4:1", 75, &format!("      expect echo\n      {told}\n"));
    // What has been sent is no frame, and nobody knows what is due.
    let text = "timeout 200ms\nraw hex 000000\nexpect error\n";
    let told = "nothing came within 200ms (try a longer --timeout)";
    let silent = async |mut peer: Peer| {
        peer.until_closed().await;
    };
    let ended = talk(text, silent).await;
    ended.failed_at("3:1", 75, &format!("      expect error\n      {told}\n"));
}

#[tokio::test]
async fn bytes_that_do_not_all_come_are_shown() {
    let text = "timeout 200ms\nsend \"a\"\nexpect raw \"abcd\"\n";
    let ended = after_a_frame(text, async |peer| {
        peer.write(b"ab").await;
        peer.until_closed().await;
    });
    let lines = "      expect raw \"abcd\"
      2 of 4 bytes came within 200ms (try a longer --timeout)
        expected  00000000  61 62 63 64                                      |abcd|
                  00000004
        received  00000000  61 62                                            |ab|
                  00000002
";
    ended.await.failed_at("3:1", 75, lines);
}

/// However they are taken, and whatever stands among them.
#[tokio::test]
async fn replies_that_are_taken_as_bytes_have_answered_their_frames() {
    let hello = "raw hex 8000000c 01 01 0001 0000000000000000 00000001 \"a\"";
    let welcome = "hex 8000000c 02 01 0001 0000000000100000";
    for pieces in [
        "expect raw WELCOME hex 00000001 \"a\"",
        "expect raw WELCOME\nexpect raw hex 00000001\nexpect raw \"a\"",
        "expect welcome\nexpect raw hex 0000\nexpect raw hex 0001 \"a\"",
        "expect raw WELCOME\nexpect echo",
    ] {
        let text = format!("{hello}\n{pieces}\nsend \"b\"\nexpect echo\n");
        talk(&text.replace("WELCOME", welcome), echo).await.passed();
    }
}

#[tokio::test]
async fn part_of_a_frame_is_more_than_nothing() {
    let text = "send \"a\"\nexpect nothing 200ms\n";
    let ended = after_a_frame(text, async |peer| {
        peer.write(b"\0\0\0\x02x").await;
        peer.until_closed().await;
    });
    let lines = "      expect nothing 200ms
      part of a frame came, where nothing was expected
        received  00000000  00 00 00 02 78                                   |....x|
                  00000005
";
    ended.await.failed_at("2:1", 1, lines);
}

#[tokio::test]
async fn nothing_can_be_sent_behind_a_half_close() {
    for statement in ["send \"b\"", "raw \"b\"", "hello"] {
        let text = format!("send \"a\"\nhalf-close\nexpect echo\n{statement}\n");
        let ended = talk(&text, async |peer: Peer| peer.echo_all().await).await;
        let told = "nothing can be sent behind a half-close: `connect` opens another connection";
        ended.failed_at("4:1", 65, &format!("      {statement}\n      {told}\n"));
    }
}

#[tokio::test]
async fn until_tells_what_came_in_place_of_what_it_waits_for() {
    let text = "timeout 200ms\nsend \"a\"\nuntil \"c\"\n";
    let ended = after_a_frame(text, async |peer| {
        peer.reply(b"a").await;
        peer.reply(b"b").await;
        peer.until_closed().await;
    });
    let lines = "      until \"c\"
      nothing that matches came within 200ms, but 2 other frames; the last: reply 2 is not the one that was expected
        expected  00000000  63                                               |c|
                  00000001
        received  00000000  62                                               |b|
                  00000001
";
    ended.await.failed_at("3:1", 75, lines);
}
