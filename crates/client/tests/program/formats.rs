//! How replies are printed: `--output`, and `-v` for everything that passes.

use serde_json::{Value, json};
use volley_proto::{MaxFrame, ReplyKind};

use crate::scripted::{Peer, echo, play, receipt};
use crate::{Ended, run, run_with, send, send_within};

/// What is printed of these lines' echoes in this format.
async fn printed(format: &str, input: &[u8]) -> Vec<u8> {
    let ended =
        play(echo, async |to| run_with(send(&to).args(["--output", format]), input).await).await;
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    ended.stdout
}

#[tokio::test]
async fn each_format_prints_the_same_replies() {
    let input = b"hi\n\n\xff\0\n";
    let cases: [(&str, &[u8]); 5] = [
        ("text", b"hi\n\n\xff\0\n"),
        ("raw", b"hi\xff\0"),
        ("hex", b"6869\n\nff00\n"),
        ("base64", b"aGk=\n\n/wA=\n"),
        ("frames", b"\0\0\0\x02hi\0\0\0\0\0\0\0\x02\xff\0"),
    ];
    for (format, expected) in cases {
        let printed = printed(format, input).await;
        assert_eq!(printed.escape_ascii().to_string(), expected.escape_ascii().to_string());
    }
}

#[tokio::test]
async fn what_is_printed_as_frames_can_be_sent_again() {
    let frames = printed("frames", b"hi\n\nx\n").await;
    let ended =
        play(echo, async |to| run_with(send(&to).args(["--input", "frames"]), &frames).await).await;
    ended.printed("hi\n\nx\n");
}

/// The objects on stdout, their times apart: nobody can say how long it takes.
fn objects(ended: &Ended) -> (Vec<Value>, Vec<Option<u64>>) {
    let objects = str::from_utf8(&ended.stdout).unwrap().lines().map(|line| {
        let mut object: Value = serde_json::from_str(line).unwrap();
        let rtt = object.as_object_mut().unwrap().remove("rtt_ns").unwrap();
        (object, rtt.as_u64())
    });
    objects.unzip()
}

#[tokio::test]
async fn ndjson_has_an_object_per_frame_also_for_wrong_and_missing_replies() {
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        peer.echo(2).await;
        peer.payload().await;
        peer.reply(b"no").await;
        peer.payload().await;
        peer.until_client_is_done().await;
    };
    let ended = play(server, async |to| {
        run_with(send_within("300ms", &to).args(["--output", "ndjson"]), b"a\n\xff\nb\nc").await
    })
    .await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let (objects, times) = objects(&ended);
    let wrong = "reply 3 is not its frame: 1 byte sent, 2 received, different from byte 0 on";
    let expected = [
        json!({"seq": 1, "verdict": "ok", "sent_bytes": 1, "bytes": 1, "reply": "a"}),
        json!({"seq": 2, "verdict": "ok", "sent_bytes": 1, "bytes": 1, "reply_base64": "/w=="}),
        json!({"seq": 3, "verdict": "mismatch", "sent_bytes": 1, "bytes": 2, "reply": "no",
            "why": wrong}),
        json!({"seq": 4, "verdict": "lost", "sent_bytes": 1, "bytes": null,
            "why": "no reply to frame 4 within 300ms"}),
    ];
    assert_eq!(objects, expected);
    assert!(times[..3].iter().all(Option::is_some) && times[3].is_none(), "{times:?}");
}

#[tokio::test]
async fn ndjson_has_a_receipt_in_place_of_the_reply() {
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Ack).await;
        peer.payload().await;
        peer.reply(&receipt(b"hello", 1, 5).encode()).await;
    };
    let arguments = ["--output", "ndjson", "hello"];
    let ended = play(server, async |to| run(send(&to).args(arguments)).await).await;
    let (objects, _) = objects(&ended);
    let receipt = json!({"crc32c": "9a71bb4c", "seq": 1, "total": 5,
        "received_at": "2026-01-01T00:00:00.000000000Z"});
    let expected =
        json!({"seq": 1, "verdict": "ok", "sent_bytes": 5, "bytes": 32, "receipt": receipt});
    assert_eq!(objects, [expected]);
}

/// What `-v` has shown, without the times.
fn shown(ended: &Ended) -> Vec<&str> {
    let lines = ended.stderr.lines();
    lines.map(|line| line.split_once(" ms ").map_or(line, |(_, shown)| shown)).collect()
}

#[tokio::test]
async fn v_shows_the_wire_frame_by_frame_control_frames_included() {
    let server = async |mut peer: Peer| {
        peer.hello().await;
        peer.welcome(ReplyKind::Echo, MaxFrame::new(100).unwrap()).await;
        peer.echo_all().await;
    };
    let ended = play(server, async |to| {
        run(send(&to).args(["-v", "hello", "", "a line of 17 bytes"])).await
    });
    let ended = ended.await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let shown = shown(&ended);
    assert!(shown[0].starts_with("* connected from 127.0.0.1:"), "{}", ended.stderr);
    let expected = [
        "> HELLO any reply: volley send",
        "< WELCOME echo, max_frame 100",
        "> frame 1: 5 bytes",
        "                00000000  68 65 6c 6c 6f                                   |hello|",
        "> frame 2: 0 bytes",
        "> frame 3: 18 bytes",
        "                00000000  61 20 6c 69 6e 65 20 6f 66 20 31 37 20 62 79 74  |a line of 17 byt| …",
        "< frame 3: 18 bytes",
        "> end",
        "< end",
    ];
    let mut rest = shown.iter();
    for line in expected {
        assert!(rest.any(|shown| *shown == line), "{line} is missing in:\n{}", ended.stderr);
    }
}

#[tokio::test]
async fn twice_it_shows_all_bytes() {
    let line = "a line of more than 16 bytes";
    let ended = play(echo, async |to| run(send(&to).args(["-vv", line])).await).await;
    let second =
        "                00000010  68 61 6e 20 31 36 20 62 79 74 65 73              |han 16 bytes|";
    let rows = shown(&ended).iter().filter(|shown| **shown == second).count();
    assert_eq!((ended.code, rows), (Some(0), 2), "{}", ended.stderr);
}
