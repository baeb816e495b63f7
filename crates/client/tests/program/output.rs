//! What goes out and what is printed.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt};
use volley_proto::{MaxFrame, ReplyKind};

use crate::scripted::{Peer, echo, listen, play, receipt, within};
use crate::terminal::Terminal;
use crate::{Running, program, run, send, send_within};

#[tokio::test]
async fn prints_an_echo_as_it_is_with_a_newline_behind_it() {
    let ended = play(echo, async |to| run(send(&to).arg("hello")).await).await;
    ended.printed("hello\n");
}

#[tokio::test]
async fn sends_each_argument_as_a_frame_of_its_bytes() {
    let arguments: [&[u8]; 5] = [b"hello", b"", b"two\nlines\n", b"\xff\xfe\x80", b"\xe2\x82\xac"];
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        for argument in arguments {
            let payload = peer.payload().await;
            assert_eq!(payload, argument);
            peer.reply(&payload).await;
        }
        assert_eq!(peer.until_closed().await, b"");
    };
    let ended =
        play(server, async |to| run(send(&to).args(arguments.map(OsStr::from_bytes))).await).await;
    ended.printed(b"hello\n\ntwo\nlines\n\n\xff\xfe\x80\n\xe2\x82\xac\n");
}

#[tokio::test]
async fn an_argument_with_a_dash_is_a_frame_behind_two_of_them() {
    let ended = play(echo, async |to| run(send(&to).args(["--", "--to", "-"])).await).await;
    ended.printed("--to\n-\n");
}

#[tokio::test]
async fn prints_a_receipt_in_words() {
    let server = async |mut peer: Peer| {
        assert_eq!(peer.hello().await, 2);
        peer.welcome(ReplyKind::Ack, MaxFrame::DEFAULT).await;
        for (seq, total) in [(1, 5), (2, 5)] {
            let payload = peer.payload().await;
            peer.reply(&receipt(&payload, seq, total).encode()).await;
        }
    };
    let ended =
        play(server, async |to| run(send(&to).args(["--reply", "ack", "hello", ""])).await).await;
    ended.printed(
        "ACK seq=1 len=5 crc32c=9a71bb4c total=5 received_at=2026-01-01T00:00:00.000000000Z\n\
         ACK seq=2 len=0 crc32c=00000000 total=5 received_at=2026-01-01T00:00:00.000000000Z\n",
    );
}

#[tokio::test]
async fn a_time_at_the_end_of_all_counting_is_printed() {
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Ack).await;
        let payload = peer.payload().await;
        let mut receipt = receipt(&payload, 1, 1);
        receipt.received_at = u64::MAX;
        peer.reply(&receipt.encode()).await;
    };
    let ended = play(server, async |to| run(send(&to).arg("x")).await).await;
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    let line = String::from_utf8(ended.stdout).unwrap();
    assert!(line.ends_with(" received_at=2554-07-21T23:34:33.709551615Z\n"), "{line}");
}

#[tokio::test]
async fn takes_whichever_reply_the_server_grants() {
    let server = async |mut peer: Peer| {
        assert_eq!(peer.hello().await, 0);
        peer.welcome(ReplyKind::Ack, MaxFrame::DEFAULT).await;
        let payload = peer.payload().await;
        peer.reply(&receipt(&payload, 1, 1).encode()).await;
    };
    let ended = play(server, async |to| run(send(&to).arg("x")).await).await;
    assert!(ended.stdout.starts_with(b"ACK seq=1 len=1 "), "{ended:?}");
    assert_eq!(ended.code, Some(0));
}

#[tokio::test]
async fn asks_for_an_echo_by_name() {
    let server = async |mut peer: Peer| {
        assert_eq!(peer.hello().await, 1);
        peer.welcome(ReplyKind::Echo, MaxFrame::DEFAULT).await;
        peer.echo_all().await;
    };
    let ended = play(server, async |to| run(send(&to).args(["--reply", "echo", "x"])).await).await;
    ended.printed("x\n");
}

#[tokio::test]
async fn no_hello_sends_the_frame_and_nothing_else() {
    let server = async |mut peer: Peer| {
        assert_eq!(peer.bytes(9).await, b"\0\0\0\x05hello");
        peer.reply(b"hello").await;
        assert_eq!(peer.until_closed().await, b"");
    };
    let ended = play(server, async |to| run(send(&to).args(["--no-hello", "hello"])).await).await;
    ended.printed("hello\n");
}

#[tokio::test]
async fn no_hello_expects_receipts_when_told_so() {
    let server = async |mut peer: Peer| {
        let payload = peer.payload().await;
        peer.reply(&receipt(&payload, 1, 5).encode()).await;
    };
    let arguments = ["--no-hello", "--reply", "ack", "hello"];
    let ended = play(server, async |to| run(send(&to).args(arguments)).await).await;
    ended.printed(
        "ACK seq=1 len=5 crc32c=9a71bb4c total=5 received_at=2026-01-01T00:00:00.000000000Z\n",
    );
}

#[tokio::test]
async fn volley_to_says_where_to_send_and_to_overrides_it() {
    let ended = play(echo, async |to| {
        run(program().env("VOLLEY_TO", to.to_string()).args(["send", "by name"])).await
    })
    .await;
    ended.printed("by name\n");
    let ended = play(echo, async |to| {
        // RFC 6761, 6.4: never a name of anything.
        run(send(&to).env("VOLLEY_TO", "nowhere.invalid:1").arg("by flag")).await
    })
    .await;
    ended.printed("by flag\n");
}

#[tokio::test]
async fn says_who_it_is() {
    let server = async |mut peer: Peer| {
        let (_, body) = peer.frame().await;
        assert_eq!(&body[12..], b"volley send");
        peer.welcome(ReplyKind::Echo, MaxFrame::DEFAULT).await;
        peer.echo_all().await;
    };
    let ended = play(server, async |to| run(send(&to).arg("x")).await).await;
    ended.printed("x\n");
}

#[tokio::test]
async fn a_megabyte_goes_there_and_comes_back() {
    // Longer than the system lets one argument be, so by stdin.
    let line: Vec<u8> = (0..1 << 20).map(|i: u32| b' ' + (i % 89).to_le_bytes()[0]).collect();
    let ended = play(echo, async |to| crate::run_with(&mut send(&to), &line).await).await;
    ended.printed([&line[..], b"\n"].concat());
}

#[tokio::test]
async fn a_reader_that_leaves_early_is_no_error() {
    let ended = play(echo, async |to| {
        let mut running = Running::start(&mut send(&to));
        let mut stdin = running.stdin.take().unwrap();
        let write = async {
            // For as long as it reads, like `yes`.
            while stdin.write_all(b"a line\n").await.is_ok() {}
        };
        let read = async {
            assert_eq!(running.line().await, "a line");
            let Running { mut child, stdout, .. } = running;
            drop(stdout);
            let stderr = child.stderr.take().unwrap();
            let status = child.wait().await.unwrap();
            (status.code(), stderr)
        };
        let ((), (code, mut stderr)) = tokio::join!(write, read);
        let mut told = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut stderr, &mut told).await.unwrap();
        (code, told)
    })
    .await;
    assert_eq!(ended, (Some(0), String::new()));
}

#[tokio::test]
async fn a_reader_that_pauses_for_longer_than_the_timeout_misses_nothing() {
    let server = async |peer: Peer| peer.echo_all().await;
    play(server, async |to| {
        let mut running = Running::start(send_within("1s", &to).arg("--no-hello"));
        // Too long to wait in the buffers of the sockets.
        let line = "x".repeat(16 << 20);
        let mut stdin = running.stdin.take().unwrap();
        let write = async {
            for _ in 0..3 {
                stdin.write_all(line.as_bytes()).await.unwrap();
                stdin.write_all(b"\n").await.unwrap();
            }
            drop(stdin);
        };
        let read = async {
            running.stdout.fill_buf().await.unwrap();
            tokio::time::sleep(Duration::from_millis(1500)).await;
            for _ in 0..3 {
                assert!(running.line().await == line);
            }
            running.end().await.printed("");
        };
        tokio::join!(write, read);
    })
    .await;
}

#[tokio::test]
async fn a_full_disk_behind_stdout_is_an_io_error() {
    let ended = play(echo, async |to| {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        run(send(&to).stdout(Stdio::from(full)).arg("x")).await
    })
    .await;
    assert_eq!(ended.code, Some(74), "{ended:?}");
    let message = "volley: cannot write to stdout: No space left on device";
    assert!(ended.stderr.starts_with(message), "{ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1);
}

#[tokio::test]
async fn help_and_version_are_results() {
    for arguments in [&["--help"][..], &["--version"], &["send", "--help"]] {
        let ended = within(run(program().args(arguments))).await;
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{arguments:?}");
        assert!(!ended.stdout.is_empty());
    }
    let help = within(run(program().args(["send", "--help"]))).await.stdout;
    let help = String::from_utf8(help).unwrap();
    for part in ["tcp://127.0.0.1:7007", "VOLLEY_TO", "--no-hello", "Exit codes:"] {
        assert!(help.contains(part), "{part} is missing in:\n{help}");
    }
}

/// Where both are the same terminal, what is told stands behind the replies that came before.
#[tokio::test]
async fn a_wrong_reply_is_told_behind_the_right_ones_before_it() {
    let home = tempfile::tempdir().unwrap();
    let (listener, to) = listen().await;
    let serve = async {
        let mut peer = Peer::accept(&listener).await;
        peer.greet(ReplyKind::Echo).await;
        for _ in 0..4 {
            peer.payload().await;
        }
        // At once, so that none has been printed when the next one comes.
        peer.write(b"\0\0\0\x03one\0\0\0\x03TWO\0\0\0\x05three").await;
        drop(peer);
        let mut peer = Peer::accept(&listener).await;
        peer.greet(ReplyKind::Echo).await;
        peer.echo(1).await;
        peer.until_closed().await;
    };
    let arguments = ["send", "--retry", "1", "--timeout", "25s", "--to", &to.to_string()];
    let frames = ["one", "two", "three", "four"];
    let mut terminal = Terminal::start(&home, &[&arguments[..], &frames].concat());
    let (code, ()) = within(async { tokio::join!(terminal.end(), serve) }).await;
    let shown = terminal.shown();
    assert_eq!(code, Some(1), "{shown}");
    let order = ["one\n", "volley: reply 2 is not its frame", "three\n", "; try 1 of 1", "four"];
    let places: Vec<_> = order.iter().map(|text| shown.find(text)).collect();
    assert!(places.is_sorted() && places[0].is_some(), "{shown}");
}
