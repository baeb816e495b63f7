//! `--retry`: what is worth another connection, and what is sent again over it.

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpListener, UnixListener};
use volley_proto::{Reason, ReplyKind};

use crate::scripted::{Peer, listen, place, within};
use crate::{Ended, Running, run, send};

/// `volley send --retry 2` with these arguments against a server that a test runs by itself.
async fn retry(arguments: &[&str], serve: impl AsyncFnOnce(&TcpListener)) -> Ended {
    let (listener, to) = listen().await;
    let mut command = send(&to);
    command.args(["--retry", "2"]).args(arguments);
    within(async { tokio::join!(run(&mut command), serve(&listener)).0 }).await
}

/// A connection over which exactly these frames come, which are echoed.
async fn echo(listener: &TcpListener, frames: &[&str]) {
    let mut peer = Peer::accept(listener).await;
    peer.greet(ReplyKind::Echo).await;
    for frame in frames {
        let payload = peer.payload().await;
        assert_eq!(payload, frame.as_bytes());
        peer.reply(&payload).await;
    }
    assert_eq!(peer.until_closed().await, b"");
}

/// What is told, without the pauses, which are random.
fn told(ended: &Ended) -> String {
    let lines = ended.stderr.lines().map(|line| match line.split_once(" in ") {
        Some((told, _)) => format!("{told}\n"),
        None => format!("{line}\n"),
    });
    lines.collect()
}

#[tokio::test]
async fn what_has_no_reply_is_sent_again_after_a_close() {
    let ended = retry(&["a", "b", "c"], async |listener| {
        let mut peer = Peer::accept(listener).await;
        peer.greet(ReplyKind::Echo).await;
        peer.echo(1).await;
        assert_eq!(peer.payload().await, b"b");
        assert_eq!(peer.payload().await, b"c");
        drop(peer);
        echo(listener, &["b", "c"]).await;
    })
    .await;
    assert_eq!((ended.code, &*ended.stdout), (Some(0), &b"a\nb\nc\n"[..]), "{ended:?}");
    let closed = "volley: the server closed the connection: 1 frame answered, 2 without a reply";
    assert_eq!(told(&ended), format!("{closed}; try 1 of 2\n"));
}

/// Nothing is handled twice: the server has said how far it came.
#[tokio::test]
async fn after_an_error_just_what_is_behind_last_seq_is_sent_again() {
    let arguments = ["--output", "ndjson", "a", "b", "c"];
    let ended = retry(&arguments, async |listener| {
        let mut peer = Peer::accept(listener).await;
        peer.greet(ReplyKind::Echo).await;
        peer.echo(1).await;
        assert_eq!(peer.payload().await, b"b");
        assert_eq!(peer.payload().await, b"c");
        // It says that it has answered `b` too.
        peer.error(Reason::ShuttingDown, 2, "").await;
        peer.until_closed().await;
        echo(listener, &["c"]).await;
    })
    .await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let expected = "\
volley: no reply to frame 2: the server says that it has answered it
volley: refused by the server after 2 frames: shutting down; try 1 of 2
volley: 1 of 3 replies never came
";
    assert_eq!(told(&ended), expected);
    let verdicts: Vec<_> = String::from_utf8(ended.stdout)
        .unwrap()
        .lines()
        .map(|line| {
            let object: serde_json::Value = serde_json::from_str(line).unwrap();
            format!("{} {}", object["seq"], object["verdict"].as_str().unwrap())
        })
        .collect();
    assert_eq!(verdicts, ["1 ok", "2 lost", "3 ok"]);
}

#[tokio::test]
async fn after_goaway_the_rest_is_sent_over_another_connection() {
    let arguments = ["--pipeline", "1", "a", "b"];
    let ended = retry(&arguments, async |listener| {
        let mut peer = Peer::accept(listener).await;
        peer.greet(ReplyKind::Echo).await;
        let payload = peer.payload().await;
        peer.goaway(Reason::ShuttingDown).await;
        peer.reply(&payload).await;
        assert_eq!(peer.until_closed().await, b"");
        echo(listener, &["b"]).await;
    })
    .await;
    assert_eq!((ended.code, &*ended.stdout), (Some(0), &b"a\nb\n"[..]), "{ended:?}");
}

/// That is how a proxy ends a connection for which it finds no server.
#[tokio::test]
async fn an_end_before_welcome_is_worth_another_try() {
    let ended = retry(&["a"], async |listener| {
        let mut peer = Peer::accept(listener).await;
        peer.hello().await;
        drop(peer);
        Peer::accept(listener).await.reset();
        echo(listener, &["a"]).await;
    })
    .await;
    assert_eq!((ended.code, &*ended.stdout), (Some(0), &b"a\n"[..]), "{ended:?}");
}

#[tokio::test]
async fn tries_of_which_nothing_comes_are_counted() {
    let ended = retry(&["a", "b", "c"], async |listener| {
        // A reply between them makes the next loss a new one.
        for frames in [&["a"][..], &["b"], &[], &[]] {
            let mut peer = Peer::accept(listener).await;
            peer.greet(ReplyKind::Echo).await;
            peer.echo(frames.len()).await;
            peer.payload().await;
        }
    })
    .await;
    assert_eq!((ended.code, &*ended.stdout), (Some(1), &b"a\nb\n"[..]), "{ended:?}");
    // Whether a loss is a close or a reset is for the system to say.
    let told = told(&ended);
    let tries: Vec<_> =
        told.lines().map(|line| line.split_once("; ").map(|(_, tried)| tried)).collect();
    assert_eq!(tries, [Some("try 1 of 2"), Some("try 1 of 2"), Some("try 2 of 2"), None]);
}

#[tokio::test]
async fn what_no_other_connection_mends_is_not_tried_again() {
    for (reason, code) in [(Reason::TooLarge, 65), (Reason::Protocol, 76), (Reason::Denied, 1)] {
        let ended = retry(&["a"], async |listener| {
            let mut peer = Peer::accept(listener).await;
            peer.greet(ReplyKind::Echo).await;
            peer.payload().await;
            peer.error(reason, 0, "").await;
            peer.until_closed().await;
        })
        .await;
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(!ended.stderr.contains("; try"), "{ended:?}");
    }
}

#[tokio::test]
async fn a_server_that_comes_late_is_found() {
    let (_directory, path, to) = place();
    let mut running = Running::start(send(&to).args(["--retry", "100", "a"]));
    let ended = within(async {
        let mut errors = BufReader::new(running.child.stderr.take().unwrap());
        let mut first = String::new();
        errors.read_line(&mut first).await.unwrap();
        assert!(first.starts_with(&format!("volley: cannot connect to {to}: ")), "{first}");
        let listener = UnixListener::bind(path).unwrap();
        running.child.stderr = Some(errors.into_inner());
        let serve = async {
            let mut peer = Peer::accept_unix(&listener).await;
            peer.greet(ReplyKind::Echo).await;
            peer.echo_all().await;
        };
        tokio::join!(running.end(), serve).0
    })
    .await;
    assert_eq!((ended.code, &*ended.stdout), (Some(0), &b"a\n"[..]), "{ended:?}");
}
