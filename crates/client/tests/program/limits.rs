//! How long everything may take, how often frames are sent and how many at once.

use tokio::io::AsyncReadExt;
use volley_proto::ReplyKind;

use crate::scripted::{Peer, echo, listen, play, within};
use crate::{Running, program, run, send, told_in_vain};

#[tokio::test]
async fn the_deadline_says_how_far_it_came() {
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        peer.echo(1).await;
        peer.until_client_is_done().await;
    };
    let arguments = ["--deadline", "300ms", "a", "b", "c"];
    let ended = play(server, async |to| run(send(&to).args(arguments)).await).await;
    let told = "not done within 300ms: 1 answered, 2 without a reply (try a longer --deadline)";
    ended.failed_after("a\n", 75, told);
}

#[tokio::test]
async fn the_deadline_also_holds_for_the_connection() {
    let (listener, to) = listen().await;
    let ended = within(async {
        let mut command = send(&to);
        command.args(["--deadline", "300ms", "a"]);
        let (ended, _accepted) = tokio::join!(run(&mut command), listener.accept());
        ended
    })
    .await;
    let told = format!("not done within 300ms: no connection to {to} (try a longer --deadline)");
    ended.failed(75, &told);
}

/// What takes longer is told of with the time that it may take.
#[tokio::test]
async fn a_connection_is_not_awaited_longer_than_the_deadline() {
    let (listener, to) = listen().await;
    let mut command = send(&to);
    let told = told_in_vain(command.args(["--deadline", "20s", "a"]), &listener).await;
    assert_eq!(told, format!("volley: connecting to {to}, for up to 20s\n"));
}

#[tokio::test]
async fn the_deadline_ends_a_wait_for_somebody_to_read_stdout() {
    let code = play(echo, async |to| {
        // Sixteen times what a pipe holds.
        let line = "x".repeat(1 << 20);
        let mut running = Running::start(send(&to).args(["--deadline", "1s"]));
        running.type_line(&line).await;
        running.stdin.take();
        let mut byte = [0];
        running.stdout.get_mut().read_exact(&mut byte).await.unwrap();
        running.child.wait().await.unwrap().code()
    })
    .await;
    assert_eq!(code, Some(75));
}

#[tokio::test]
async fn everything_is_sent_as_often_as_asked_for() {
    let arguments = ["--repeat", "3", "--interval", "1ms", "a", "b"];
    let ended = play(echo, async |to| run(send(&to).args(arguments)).await).await;
    ended.printed("a\nb\na\nb\na\nb\n");
}

#[tokio::test]
async fn without_an_end_it_sends_until_it_is_stopped() {
    play(echo, async |to| {
        let mut running = Running::start(send(&to).args(["--repeat", "0", "a"]));
        for _ in 0..1000 {
            assert_eq!(running.line().await, "a");
        }
        running.signal(rustix::process::Signal::INT);
        assert_eq!(running.end().await.code, Some(130));
    })
    .await;
}

#[tokio::test]
async fn with_one_frame_in_flight_each_reply_is_awaited_before_the_next_frame() {
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        for _ in 0..3 {
            let payload = peer.payload().await;
            let mut byte = [0];
            // Nothing has come behind it.
            let early = peer.stream.try_read(&mut byte).unwrap_err();
            assert_eq!(early.kind(), std::io::ErrorKind::WouldBlock);
            peer.reply(&payload).await;
        }
        assert_eq!(peer.until_closed().await, b"");
    };
    let arguments = ["--pipeline", "1", "a", "b", "c"];
    let ended = play(server, async |to| run(send(&to).args(arguments)).await).await;
    ended.printed("a\nb\nc\n");
}

#[tokio::test]
async fn a_half_close_comes_behind_the_last_frame_where_it_is_asked_for() {
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        let frames = [peer.payload().await, peer.payload().await];
        // The client says all it has to say before it has a single reply.
        assert_eq!(peer.until_closed().await, b"");
        for frame in &frames {
            peer.reply(frame).await;
        }
    };
    let arguments = ["--half-close", "a", "b"];
    let ended = play(server, async |to| run(send(&to).args(arguments)).await).await;
    ended.printed("a\nb\n");
}

#[tokio::test]
async fn numbers_take_units() {
    let arguments = ["--pipeline", "1.5k", "--retry", "2k", "--repeat", "0.001k", "a"];
    let ended = play(echo, async |to| run(send(&to).args(arguments)).await).await;
    ended.printed("a\n");
    let wrong = [("--pipeline", "0", "write at least 1"), ("--retry", "often", "is no number")];
    for (flag, value, told) in wrong {
        let ended = within(run(program().args(["send", flag, value, "a"]))).await;
        assert_eq!((ended.code, &*ended.stdout), (Some(2), &b""[..]), "{ended:?}");
        assert!(ended.stderr.contains(told), "{ended:?}");
    }
}
