//! Ended from outside.

use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::process::Signal;
use tokio::io::AsyncReadExt;
use volley_proto::ReplyKind;

use crate::scripted::{Peer, listen, play, within};
use crate::{Ended, Running, send};

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
async fn sigint_and_sigterm_end_a_wait_for_a_reply_quietly() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let ended = ended_by(signal).await;
        assert_eq!((ended.code, &*ended.stderr), (Some(code), ""), "{ended:?}");
        assert_eq!(ended.stdout, b"", "behind the reply that was read before");
    }
}

#[tokio::test]
async fn sigint_ends_a_wait_for_a_line() {
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        peer.echo_all().await;
    };
    let ended = play(server, async |to| {
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
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        peer.echo_all().await;
    };
    let code = play(server, async |to| {
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
