//! Ended from outside.

use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::io::ioctl_fionread;
use rustix::pipe::fcntl_setpipe_size;
use rustix::process::Signal;
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use volley_proto::{Endpoint, ReplyKind};

use crate::scripted::{Peer, echo, listen, play, within};
use crate::{Ended, Running, program, send};

/// Sends `a` and `b`, gets a reply to the first, then this signal.
async fn ended_by(signal: Signal) -> Ended {
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        peer.echo(1).await;
        peer.until_client_is_done().await;
    };
    play(server, async |to| {
        let mut running = Running::start(send(&to).args(["a", "b"]));
        assert_eq!(running.line().await, "a");
        running.signal(signal);
        running.end().await
    })
    .await
}

#[tokio::test]
async fn sigint_and_sigterm_end_a_wait_for_a_reply_with_how_far_it_has_come() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let ended = ended_by(signal).await;
        let told = "volley: interrupted: 1 answered, 1 without a reply\n";
        assert_eq!((ended.code, &*ended.stderr), (Some(code), told), "{ended:?}");
        assert_eq!(ended.stdout, b"", "behind the reply that was read before");
    }
}

#[tokio::test]
async fn sigint_ends_a_wait_for_a_line() {
    let ended = play(echo, async |to| {
        let mut running = Running::start(&mut send(&to));
        running.type_line("one").await;
        assert_eq!(running.line().await, "one");
        running.signal(Signal::INT);
        // A read of stdin is under way and stays so.
        let stdin = running.stdin.take();
        let ended = running.end().await;
        drop(stdin);
        ended
    })
    .await;
    assert_eq!((ended.code, &*ended.stderr), (Some(130), ""));
}

/// Every frame has an object, and a wrong reply is counted as at any other end.
#[tokio::test]
async fn sigint_leaves_no_frame_and_no_wrong_reply_untold() {
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        peer.payload().await;
        peer.reply(b"c").await;
        peer.until_client_is_done().await;
    };
    let ended = play(server, async |to| {
        let mut running = Running::start(send(&to).args(["--output", "ndjson", "a", "b"]));
        assert!(running.line().await.contains("\"verdict\":\"mismatch\""));
        running.signal(Signal::INT);
        running.end().await
    });
    let ended = ended.await;
    assert_eq!(ended.code, Some(130), "{ended:?}");
    let rest = String::from_utf8(ended.stdout).unwrap();
    assert!(rest.contains("\"verdict\":\"lost\"") && rest.contains("interrupted"), "{rest}");
    let told =
        "volley: interrupted: 1 answered, 1 without a reply\nvolley: wrong replies: 1 of 1\n";
    assert!(ended.stderr.ends_with(told), "{}", ended.stderr);
}

/// To open it already waits.
#[tokio::test]
async fn sigint_ends_a_wait_for_somebody_to_write_to_a_named_pipe() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    mkfifoat(CWD, &pipe, Mode::RWXU).unwrap();
    let (listener, to) = listen().await;
    let running = Running::start(send(&to).arg(format!("@{}", pipe.display())));
    let ended = within(async {
        let mut peer = Peer::accept(&listener).await;
        peer.greet(ReplyKind::Echo).await;
        running.signal(Signal::INT);
        running.end().await
    })
    .await;
    assert_eq!((ended.code, &*ended.stderr), (Some(130), ""));
}

#[tokio::test]
async fn sigint_ends_a_wait_for_welcome() {
    let (listener, to) = listen().await;
    let running = Running::start(send(&to).arg("x"));
    let ended = within(async {
        // Connected, so the signals have their handlers.
        let (_stream, _) = listener.accept().await.unwrap();
        running.signal(Signal::INT);
        running.end().await
    })
    .await;
    assert_eq!((ended.code, &*ended.stderr), (Some(130), ""));
}

#[tokio::test]
async fn sigint_ends_a_wait_for_somebody_to_read_stdout() {
    let code = play(echo, async |to| {
        // Sixteen times what a pipe holds.
        let line = "x".repeat(1 << 20);
        let mut running = Running::start(&mut send(&to));
        running.type_line(&line).await;
        // It writes, and nobody will read what is behind this byte.
        let mut byte = [0];
        running.stdout.get_mut().read_exact(&mut byte).await.unwrap();
        running.signal(Signal::INT);
        running.child.wait().await.unwrap().code()
    })
    .await;
    assert_eq!(code, Some(130));
}

/// Runs the program until the pipe that is its stderr takes no more, and then does this to it.
async fn stuck(command: &mut Command, end: impl FnOnce(&Running)) -> Option<i32> {
    let mut running = Running::start(command);
    let stderr = running.child.stderr.take().unwrap();
    let room = fcntl_setpipe_size(&stderr, 4096).unwrap() as u64;
    // No line of it is as long as what is left.
    while ioctl_fionread(&stderr).unwrap() < room - 512 {
        tokio::task::yield_now().await;
    }
    end(&running);
    running.child.wait().await.unwrap().code()
}

#[tokio::test]
async fn a_stderr_that_nobody_reads_keeps_no_signal_and_no_deadline_waiting() {
    let code = play(echo, async |to| {
        let mut command = send(&to);
        command.args(["-v", "--repeat", "0", "x"]);
        stuck(&mut command, |running| running.signal(Signal::INT)).await
    });
    assert_eq!(code.await, Some(130));
    let code = play(echo, async |to| {
        let mut command = send(&to);
        command.args(["-v", "--repeat", "0", "--deadline", "200ms", "x"]);
        stuck(&mut command, |_| ()).await
    });
    assert_eq!(code.await, Some(75));
    let code = play(
        async |peer: Peer| peer.echo_all().await,
        async |to: Endpoint| {
            let script = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(&script, "repeat 9G\nsend \"x\"\nexpect echo\nend\n").unwrap();
            let mut command = program();
            command.args(["script", "-v", "--to", &to.to_string()]).arg(script.path());
            stuck(&mut command, |running| running.signal(Signal::TERM)).await
        },
    );
    assert_eq!(code.await, Some(143));
}
