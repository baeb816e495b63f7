//! Lines of stdin as frames.

use std::fmt::Write as _;
use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use volley_proto::{MaxFrame, ReplyKind};

use crate::scripted::{Peer, echo, play};
use crate::{Running, run, run_with, send};

/// The frames that this input makes.
async fn frames(input: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        while let Some(payload) = peer.payload_or_end().await {
            peer.reply(&payload).await;
            frames.push(payload);
        }
    };
    let ended = play(server, async |to| run_with(&mut send(&to), input).await).await;
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    let printed: Vec<u8> = frames.iter().flat_map(|frame| [frame, &b"\n"[..]].concat()).collect();
    assert_eq!(ended.stdout, printed);
    frames
}

#[tokio::test]
async fn each_line_is_a_frame_without_its_newline() {
    assert_eq!(frames(b"one\ntwo\n").await, [b"one", b"two"]);
}

#[tokio::test]
async fn the_last_line_needs_no_newline() {
    assert_eq!(frames(b"one\ntwo").await, [b"one", b"two"]);
    assert_eq!(frames(b"x").await, [b"x"]);
}

#[tokio::test]
async fn an_empty_line_is_an_empty_frame() {
    assert_eq!(frames(b"\n").await, [b""]);
    assert_eq!(frames(b"\n\nx\n\n").await, [&b""[..], b"", b"x", b""]);
}

#[tokio::test]
async fn every_byte_but_the_newline_is_kept() {
    let expected = [&b"crlf\r"[..], b"\r", b"nul\0s\0", b"\xff\xfe no utf-8", b" blanks\t "];
    assert_eq!(frames(b"crlf\r\n\r\nnul\0s\0\n\xff\xfe no utf-8\n blanks\t \n").await, expected);
}

#[tokio::test]
async fn an_empty_stdin_sends_nothing_and_ends_well() {
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        assert_eq!(peer.until_closed().await, b"");
    };
    play(server, async |to| run(&mut send(&to)).await).await.printed("");
    play(server, async |to| run_with(&mut send(&to), b"").await).await.printed("");
}

/// The standard library opens /dev/null in place of a missing stdin before main.
#[tokio::test]
async fn a_closed_stdin_is_an_empty_one() {
    let ended = play(echo, async |to| {
        let volley = send(&to);
        let mut shell = tokio::process::Command::new("sh");
        shell.args(["-c", "exec \"$0\" \"$@\" <&-"]).kill_on_drop(true);
        shell.arg(volley.as_std().get_program()).args(volley.as_std().get_args());
        run(&mut shell).await
    })
    .await;
    ended.printed("");
}

#[tokio::test]
async fn stdin_is_not_touched_when_there_are_arguments() {
    let ended = play(echo, async |to| {
        let running = Running::start(send(&to).arg("argument"));
        // It ends although its stdin stays open.
        let Running { child, stdin, stdout } = running;
        let ended = Running { child, stdin: None, stdout }.end().await;
        drop(stdin);
        ended
    })
    .await;
    ended.printed("argument\n");
}

#[tokio::test]
async fn a_hundred_thousand_lines_come_back_in_order() {
    let mut input = String::new();
    (0..100_000).for_each(|i| writeln!(input, "line {i}").unwrap());
    let ended = play(echo, async |to| run_with(&mut send(&to), input.as_bytes()).await).await;
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    assert!(ended.stdout == input.as_bytes(), "{} bytes", ended.stdout.len());
}

#[tokio::test]
async fn a_line_is_answered_while_stdin_is_still_open() {
    play(echo, async |to| {
        let mut running = Running::start(&mut send(&to));
        for line in ["one", "", "three"] {
            running.type_line(line).await;
            assert_eq!(running.line().await, line);
        }
        running.stdin = None;
        running.end().await.printed("");
    })
    .await;
}

#[tokio::test]
async fn a_line_that_comes_in_pieces_is_one_frame() {
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        assert_eq!(peer.payload().await, b"slowly typed");
        peer.reply(b"slowly typed").await;
        peer.until_closed().await;
    };
    play(server, async |to| {
        let mut running = Running::start(&mut send(&to));
        let stdin = running.stdin.as_mut().unwrap();
        for piece in ["slow", "ly ", "typed", "\n"] {
            stdin.write_all(piece.as_bytes()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(running.line().await, "slowly typed");
        running.stdin = None;
        running.end().await.printed("");
    })
    .await;
}

#[tokio::test]
async fn no_more_than_the_window_is_in_flight() {
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        let mut waiting = Vec::new();
        for _ in 0..64 {
            waiting.push(peer.payload().await);
        }
        let another = tokio::time::timeout(Duration::from_millis(200), peer.payload()).await;
        assert!(another.is_err(), "a 65th frame is in flight");
        // Each reply makes room for one more.
        for payload in &waiting {
            peer.reply(payload).await;
            waiting_for_the_next(&mut peer).await;
        }
        let rest = peer.until_closed().await;
        assert_eq!(rest, b"");
    };
    async fn waiting_for_the_next(peer: &mut Peer) {
        let payload = peer.payload().await;
        peer.reply(&payload).await;
    }
    let input = "x\n".repeat(128);
    let ended = play(server, async |to| run_with(&mut send(&to), input.as_bytes()).await).await;
    ended.printed(input);
}

/// 80 MB pass through; what is kept is the window and a few buffers.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn memory_is_bounded_however_much_passes_through() {
    const LINES: usize = 20_000;
    play(echo, async |to| {
        let mut running = Running::start(&mut send(&to));
        let line = "x".repeat(4095);
        let mut stdin = running.stdin.take().unwrap();
        let write = async {
            for _ in 0..LINES {
                stdin.write_all(line.as_bytes()).await.unwrap();
                stdin.write_all(b"\n").await.unwrap();
            }
        };
        let read = async {
            for _ in 0..LINES {
                assert_eq!(running.line().await, line);
            }
        };
        tokio::join!(write, read);
        let status = format!("/proc/{}/status", running.child.id().unwrap());
        let status = std::fs::read_to_string(status).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak_kib: u64 = peak.trim().strip_suffix(" kB").unwrap().parse().unwrap();
        assert!(peak_kib < 40 << 10, "{peak_kib} KiB");
        drop(stdin);
        running.end().await.printed("");
    })
    .await;
}

#[tokio::test]
async fn a_line_of_just_the_limit_is_sent_and_a_longer_one_is_named() {
    let server = async |mut peer: Peer| {
        peer.hello().await;
        peer.welcome(ReplyKind::Echo, MaxFrame::new(5).unwrap()).await;
        peer.echo_all().await;
    };
    for last in [&b"sixsix"[..], b"sixsix\n", b"much longer than that\nx\n"] {
        let input = [b"fives\n\n", last].concat();
        let ended = play(server, async |to| run_with(&mut send(&to), &input).await).await;
        let message = "line 3 of stdin is longer than the 5 bytes that the server takes \
                       (volley send --input raw --chunk 4 splits it)";
        ended.failed_after("fives\n\n", 65, message);
    }
}

#[tokio::test]
async fn a_stdin_that_cannot_be_read_is_an_io_error() {
    let ended =
        play(echo, async |to| run(send(&to).stdin(Stdio::from(File::open("/").unwrap()))).await)
            .await;
    ended.failed(74, "cannot read stdin: Is a directory (os error 21)");
}
