//! What each thing that can go wrong is told as, on stderr and by the exit code.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::Stdio;

use volley_proto::{MaxFrame, Reason, ReplyKind};

use crate::scripted::{Peer, echo, listen, play, receipt, within};
use crate::{Ended, Running, program, run, run_with, send, send_within};

/// What is to be tried next where another connection may fare better.
const AGAIN: &str = "(volley send --retry 3 sends again what has no reply)";

/// And behind a frame that only the server knows to be too long.
const SPLIT: &str =
    "(send less at once, as --chunk 64KiB does, or give the server a larger --max-frame)";

/// `volley send hello` against this server.
async fn hello(server: impl AsyncFnOnce(Peer)) -> Ended {
    play(server, async |to| run(send(&to).arg("hello")).await).await
}

/// A server that takes one frame and then does this.
async fn after_hello(then: impl AsyncFnOnce(&mut Peer)) -> Ended {
    hello(async |mut peer| {
        peer.greet(ReplyKind::Echo).await;
        peer.payload().await;
        then(&mut peer).await;
        peer.until_closed().await;
    })
    .await
}

#[tokio::test]
async fn a_mismatch_is_told_and_the_other_replies_are_printed() {
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        peer.echo(1).await;
        peer.payload().await;
        peer.reply(b"heLlo").await;
        peer.echo(1).await;
    };
    let ended = play(server, async |to| run(send(&to).args(["a", "hello", "b"])).await).await;
    let told = "\
reply 2 is not its frame: 5 bytes sent, 5 received, different from byte 2 on
  expected  00000000  68 65 6c 6c 6f                                   |hello|
            00000005
  received  00000000  68 65 4c 6c 6f                                   |heLlo|
            00000005
volley: wrong replies: 1 of 3";
    ended.failed_after("a\nb\n", 1, told);
}

#[tokio::test]
async fn a_receipt_for_other_bytes_is_told() {
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Ack).await;
        peer.payload().await;
        peer.reply(&receipt(b"hallo", 1, 5).encode()).await;
    };
    let ended = hello(server).await;
    assert_eq!((ended.code, &*ended.stdout), (Some(1), &b""[..]));
    let told = "volley: receipt 1 is for other bytes: crc32c ";
    assert!(ended.stderr.starts_with(told), "{ended:?}");
    for part in [
        ", not 9a71bb4c\n",
        // "ACK1", the checksum, the number; both begin and end alike.
        "\n  expected  00000000  41 43 4b 31 9a 71 bb 4c 00 00 00 00 00 00 00 01  |ACK1.q.L",
        "\n            00000010  00 00 00 00 00 00 00 05 18 86 72 51 ed fa 00 00  |",
        "\n  received  00000000  41 43 4b 31 ",
        "\nvolley: wrong replies: 1 of 1\n",
    ] {
        assert!(ended.stderr.contains(part), "{part} is missing in:\n{}", ended.stderr);
    }
}

#[tokio::test]
async fn a_second_reply_to_the_last_frame_is_told() {
    let ended = hello(async |mut peer| {
        peer.greet(ReplyKind::Echo).await;
        let payload = peer.payload().await;
        peer.reply(&payload).await;
        peer.reply(&payload).await;
        peer.until_closed().await;
    })
    .await;
    let told = "the server broke the protocol: a reply of 5 bytes while none was awaited";
    ended.failed_after("hello\n", 76, told);
}

#[tokio::test]
async fn receipts_that_are_asked_for_must_be_granted() {
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        peer.until_closed().await;
    };
    let ack = async |to| run(send(&to).args(["--reply", "ack", "hello"])).await;
    let ended = play(server, ack).await;
    ended.failed(1, "the server grants echo, not the ack that was asked for");
}

#[tokio::test]
async fn a_close_before_the_reply_is_a_loss() {
    let ended = hello(async |mut peer| {
        peer.greet(ReplyKind::Echo).await;
        peer.payload().await;
    })
    .await;
    let told = "the server closed the connection: 0 frames answered, 1 without a reply";
    ended.failed(1, &format!("{told} {AGAIN}"));
}

#[tokio::test]
async fn a_reset_before_the_reply_is_a_loss() {
    let ended = hello(async |mut peer| {
        peer.greet(ReplyKind::Echo).await;
        peer.payload().await;
        peer.reset();
    })
    .await;
    let told = "the connection failed: Connection reset by peer (os error 104): \
                0 frames answered, 1 without a reply";
    ended.failed(1, &format!("{told} {AGAIN}"));
}

#[tokio::test]
async fn a_loss_leaves_the_replies_before_it_printed() {
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        peer.echo(2).await;
        peer.payload().await;
    };
    let ended = play(server, async |to| run(send(&to).args(["a", "b", "c"])).await).await;
    let told = "the server closed the connection: 2 frames answered, 1 without a reply";
    ended.failed_after("a\nb\n", 1, &format!("{told} {AGAIN}"));
}

#[tokio::test]
async fn each_reason_of_an_error_has_its_code() {
    let reasons = [
        (Reason::TooLarge, "too large", 65),
        (Reason::Busy, "busy", 75),
        (Reason::RateLimited, "rate limited", 75),
        (Reason::Idle, "idle", 75),
        (Reason::FrameTooSlow, "frame too slow", 75),
        (Reason::ReaderTooSlow, "reader too slow", 75),
        (Reason::ShuttingDown, "shutting down", 75),
        (Reason::Protocol, "protocol", 76),
        (Reason::Internal, "internal", 1),
        (Reason::Denied, "denied", 1),
        (Reason::LifetimeOver, "lifetime over", 75),
        (Reason::OutOfMemory, "out of memory", 75),
        (Reason::Other(99), "reason 99", 1),
    ];
    for (reason, name, code) in reasons {
        let ended = after_hello(async |peer| peer.error(reason, 0, "so it is").await).await;
        let told = format!("refused by the server after 0 frames: {name}: so it is");
        let hint = match reason {
            Reason::TooLarge => SPLIT,
            _ if code == 75 => AGAIN,
            _ => "",
        };
        ended.failed(code, format!("{told} {hint}").trim_end());
    }
}

#[tokio::test]
async fn a_busy_server_may_be_free_later() {
    let ended = hello(async |mut peer| {
        peer.error(Reason::Busy, 0, "all places are taken").await;
        peer.until_closed().await;
    })
    .await;
    let told = "refused by the server after 0 frames: busy: all places are taken";
    ended.failed(75, &format!("{told} {AGAIN}"));
}

#[tokio::test]
async fn an_argument_beyond_the_limit_is_bad_data_and_those_before_it_are_answered() {
    let server = async |mut peer: Peer| {
        peer.hello().await;
        peer.welcome(ReplyKind::Echo, MaxFrame::new(5).unwrap()).await;
        peer.echo_all().await;
    };
    let arguments = ["a", "fives", "sixsix", "b"];
    let ended = play(server, async |to| run(send(&to).args(arguments)).await).await;
    let told = "argument 3 is longer than the 5 bytes that the server takes";
    ended.failed_after("a\nfives\n", 65, told);
}

#[tokio::test]
async fn a_name_that_nobody_has_is_not_found() {
    // RFC 6761, 6.4: never a name of anything.
    let mut command = program();
    command.args(["send", "--timeout", "25s", "--to", "nowhere.invalid:7007", "x"]);
    // Where no resolver answers, glibc asks again for half a minute unless told not to.
    command.env("RES_OPTIONS", "timeout:1 attempts:1");
    let ended = within(run(&mut command)).await;
    assert_eq!((ended.code, &*ended.stdout), (Some(68), &b""[..]), "{ended:?}");
    let told = "volley: cannot resolve tcp://nowhere.invalid:7007: ";
    assert!(ended.stderr.starts_with(told), "{ended:?}");
    let hint = " (is the name right, and does a name server answer?)\n";
    assert!(ended.stderr.ends_with(hint), "{ended:?}");
}

#[tokio::test]
async fn a_port_without_a_server_is_unavailable() {
    let (listener, to) = listen().await;
    let address = listener.local_addr().unwrap();
    drop(listener);
    let ended = within(run(send(&to).arg("x"))).await;
    let told = format!(
        "cannot connect to tcp://{address}: Connection refused (os error 111) \
         (is volleyd running there?)"
    );
    ended.failed(69, &told);
}

#[tokio::test]
async fn wrong_usage_has_a_code_of_its_own() {
    let wrong: [&[&str]; 9] = [
        &[],
        &["sned", "x"],
        &["send", "--to", "127.0.0.1"],
        &["send", "--to", "sctp://127.0.0.1:7007"],
        &["send", "--to", "", "x"],
        &["send", "--timeout", "5", "x"],
        &["send", "--timeout", "-1s", "x"],
        &["send", "--reply", "both", "x"],
        &["send", "--quickly", "x"],
    ];
    for arguments in wrong {
        let ended = within(run(program().args(arguments))).await;
        assert_eq!((ended.code, &*ended.stdout), (Some(2), &b""[..]), "{arguments:?} {ended:?}");
        assert!(!ended.stderr.is_empty());
    }
}

/// Who did not write it would look for it in vain.
#[tokio::test]
async fn a_wrong_value_of_a_variable_is_told_with_its_name() {
    let told = "tip: it is the value of the variable VOLLEY_TO\n";
    let wrong = [OsStr::new("nowhere"), OsStr::new(""), OsStr::from_bytes(b"\xff:1")];
    for value in wrong {
        for command in ["send", "wait"] {
            let ended = within(run(program().env("VOLLEY_TO", value).arg(command))).await;
            assert_eq!((ended.code, &*ended.stdout), (Some(2), &b""[..]), "{ended:?}");
            assert!(ended.stderr.contains(told), "{value:?} {ended:?}");
        }
    }
    for written in [&["--to", "nowhere"][..], &["--to=nowhere"], &["--timeout", "5"]] {
        let mut command = program();
        command.env("VOLLEY_TO", "nowhere").arg("send").args(written);
        let ended = within(run(&mut command)).await;
        assert_eq!((ended.code, ended.stderr.contains("variable")), (Some(2), false), "{ended:?}");
    }
}

/// Every command reads it in the same way.
#[tokio::test]
async fn an_endpoint_that_cannot_be_read_is_told_with_how_to_write_it() {
    let cases = [
        ("localhost", "`localhost` has no port: write localhost:7007"),
        (":7007", "`:7007` has no host: write 127.0.0.1:7007"),
        ("127.0.0.1:0", "nobody listens on port 0: write the one that the server says"),
        ("udp://127.0.0.1:0", "nobody listens on port 0: write the one that the server says"),
        ("a:1,b:2", "`a:1,b:2` is more than a host and a port"),
        ("http://a:1", "unknown scheme `http`"),
        ("::1:7007", "write an IPv6 address in brackets"),
    ];
    for command in ["send", "ping", "wait", "script", "shell"] {
        for (to, told) in cases {
            let mut volley = program();
            match command {
                "ping" | "wait" => volley.args([command, to]),
                "script" => volley.args([command, "--to", to, "x.volley"]),
                _ => volley.args([command, "--to", to]),
            };
            let ended = within(run(&mut volley)).await;
            assert_eq!((ended.code, &*ended.stdout), (Some(2), &b""[..]), "{command} {ended:?}");
            assert!(ended.stderr.contains(told), "{command} {ended:?}");
        }
    }
}

#[tokio::test]
async fn a_server_without_a_welcome_is_given_up_within_the_timeout() {
    let server = async |mut peer: Peer| {
        peer.hello().await;
        peer.until_closed().await;
    };
    let (ended, to) =
        play(server, async |to| (run(send_within("200ms", &to).arg("x")).await, to)).await;
    let told = format!(
        "no WELCOME from {to} within 200ms (it may not know HELLO: try --no-hello, or a longer \
         --timeout)"
    );
    ended.failed(75, &told);
}

#[tokio::test]
async fn a_reply_that_never_comes_is_given_up_within_the_timeout() {
    let server = async |mut peer: Peer| {
        peer.payload().await;
        peer.reply(b"a").await;
        peer.until_client_is_done().await;
    };
    let ended = play(server, async |to| {
        run(send_within("200ms", &to).args(["--no-hello", "a", "b"])).await
    })
    .await;
    ended.failed_after("a\n", 75, "no reply to frame 2 within 200ms (try a longer --timeout)");
}

#[tokio::test]
async fn a_timeout_longer_than_all_time_is_taken() {
    let ended =
        play(echo, async |to| run(send_within("18446744073709551615s", &to).arg("x")).await).await;
    ended.printed("x\n");
}

#[tokio::test]
async fn a_server_that_does_not_know_hello_is_told_with_what_to_try() {
    let ended = hello(async |mut peer| {
        let (head, body) = peer.frame().await;
        peer.write(&head.to_be_bytes()).await;
        peer.write(&body).await;
        peer.until_closed().await;
    })
    .await;
    let told = "the server answered HELLO with an echo of it, not with WELCOME: it may not know \
                HELLO (try --no-hello)";
    ended.failed(76, told);
}

#[tokio::test]
async fn what_no_server_may_send_breaks_the_protocol() {
    let http = hello(async |mut peer| {
        peer.hello().await;
        peer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        peer.until_closed().await;
    })
    .await;
    assert_eq!((http.code, &*http.stdout), (Some(76), &b""[..]));
    let told = "volley: the server broke the protocol: this is HTTP";
    assert!(http.stderr.starts_with(told), "{http:?}");

    let welcome = after_hello(async |peer| {
        peer.welcome(ReplyKind::Echo, MaxFrame::DEFAULT).await;
    })
    .await;
    assert_eq!((welcome.code, &*welcome.stdout), (Some(76), &b""[..]));
    let told = "volley: the server broke the protocol: WELCOME may not be sent here";
    assert!(welcome.stderr.starts_with(told), "{welcome:?}");
}

/// Types one line, sees its reply, and lets the program end while stdin is still open. No second
/// frame may come to the server.
async fn after_one_line(serve: impl AsyncFnOnce(&mut Peer)) -> Ended {
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        serve(&mut peer).await;
        assert_eq!(peer.until_closed().await, b"");
    };
    play(server, async |to| {
        let mut running = Running::start(&mut send(&to));
        running.type_line("one").await;
        assert_eq!(running.line().await, "one");
        let stdin = running.stdin.take();
        let ended = running.end().await;
        drop(stdin);
        ended
    })
    .await
}

#[tokio::test]
async fn an_end_is_told_although_stdin_is_still_open() {
    let ended = after_one_line(async |peer| {
        peer.echo(1).await;
        peer.error(Reason::Idle, 1, "silent for 60 s").await;
    })
    .await;
    let told = "refused by the server after 1 frame: idle: silent for 60 s";
    ended.failed(75, &format!("{told} {AGAIN}"));
}

#[tokio::test]
async fn a_server_that_goes_away_is_left_at_once_with_all_replies() {
    let ended = after_one_line(async |peer| {
        let payload = peer.payload().await;
        peer.goaway(Reason::ShuttingDown).await;
        peer.reply(&payload).await;
    })
    .await;
    ended.failed(75, &format!("the server takes no new frames: shutting down {AGAIN}"));
}

#[tokio::test]
async fn what_the_server_says_does_not_reach_the_terminal_raw() {
    let ended =
        after_hello(async |peer| peer.error(Reason::Busy, 0, "\u{1b}[2Jgone\r\n").await).await;
    let told = "refused by the server after 0 frames: busy: \\u{1b}[2Jgone\\r\\n";
    ended.failed(75, &format!("{told} {AGAIN}"));
}

#[tokio::test]
async fn a_failure_needs_nobody_to_read_stderr() {
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        peer.payload().await;
    };
    let ended = play(server, async |to| {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        run(send(&to).stderr(Stdio::from(full)).arg("x")).await
    })
    .await;
    assert_eq!(ended.code, Some(1));
}

#[tokio::test]
async fn frames_before_a_failure_of_stdin_are_answered() {
    // More than the pipe and the window hold, so that the failure comes in the middle.
    let input = [b"short\n".repeat(1000), b"too long\n".to_vec(), b"short\n".repeat(10)].concat();
    let server = async |mut peer: Peer| {
        peer.hello().await;
        peer.welcome(ReplyKind::Echo, MaxFrame::new(5).unwrap()).await;
        peer.echo_all().await;
    };
    let ended = play(server, async |to| run_with(&mut send(&to), &input).await).await;
    let message = "line 1001 of stdin is longer than the 5 bytes that the server takes \
                   (volley send --input raw --chunk 4 splits it)";
    ended.failed_after("short\n".repeat(1000), 65, message);
}
