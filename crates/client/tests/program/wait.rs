//! `volley wait`: what counts as an answer, and what is said when none comes.

use rustix::process::Signal;
use tokio::net::TcpListener;
use tokio::process::Command;
use volley_proto::{Endpoint, MaxFrame, Reason, ReplyKind};

use crate::scripted::{Peer, listen, play, receipt, within};
use crate::{Ended, Running, program, run};

/// `volley wait` for these targets, with a timeout that nothing comes near.
fn wait(targets: &[&Endpoint]) -> Command {
    wait_within("25s", targets)
}

fn wait_within(timeout: &str, targets: &[&Endpoint]) -> Command {
    let mut command = program();
    command.args(["wait", "--timeout", timeout]);
    command.args(targets.iter().map(ToString::to_string));
    command
}

/// Takes a frame, as every server does first that is waited for.
async fn asked(listener: &TcpListener) -> (Peer, Vec<u8>) {
    let mut peer = Peer::accept(listener).await;
    peer.greet(ReplyKind::Echo).await;
    let payload = peer.payload().await;
    (peer, payload)
}

async fn answer(listener: &TcpListener) {
    let (mut peer, payload) = asked(listener).await;
    peer.reply(&payload).await;
    peer.until_closed().await;
}

/// Ended well, and silently unless it took so long that it said for whom it waits.
#[track_caller]
fn answered(mut ended: Ended, to: &Endpoint) {
    ended.stderr = ended.stderr.replace(&waiting("25s", to), "");
    ended.printed("");
}

fn waiting(timeout: &str, to: &Endpoint) -> String {
    format!("volley: waiting up to {timeout} for {to}\n")
}

/// The address of nobody.
async fn nobody() -> Endpoint {
    listen().await.1
}

#[tokio::test]
async fn a_server_that_answers_ends_the_wait_silently() {
    let (listener, to) = listen().await;
    let mut command = wait(&[&to]);
    let (ended, ()) = within(async { tokio::join!(run(&mut command), answer(&listener)) }).await;
    answered(ended, &to);
}

#[tokio::test]
async fn the_environment_says_whom_to_wait_for() {
    let (listener, to) = listen().await;
    let mut command = wait(&[]);
    command.env("VOLLEY_TO", to.to_string());
    let (ended, ()) = within(async { tokio::join!(run(&mut command), answer(&listener)) }).await;
    answered(ended, &to);
}

/// As the other commands have it.
#[tokio::test]
async fn a_target_may_stand_behind_to() {
    let [(first, a), (second, b)] = [listen().await, listen().await];
    let mut command = wait(&[&a]);
    command.args(["--to", &b.to_string()]).env("VOLLEY_TO", nobody().await.to_string());
    let serve = async { tokio::join!(answer(&first), answer(&second)) };
    let (ended, _) = within(async { tokio::join!(run(&mut command), serve) }).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let (listener, to) = listen().await;
    let mut command = program();
    command.args(["ping", "-c", "1", "-W", "25", "--to", &to.to_string()]);
    let (ended, ()) = within(async { tokio::join!(run(&mut command), answer(&listener)) }).await;
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
}

#[tokio::test]
async fn a_receipt_is_an_answer_if_it_is_the_right_one() {
    let server = async |mut peer: Peer| {
        assert_eq!(peer.hello().await, 2);
        peer.welcome(ReplyKind::Ack, MaxFrame::DEFAULT).await;
        let payload = peer.payload().await;
        peer.reply(&receipt(&payload, 1, payload.len() as u64).encode()).await;
    };
    play(server, async |to| {
        answered(run(wait(&[&to]).args(["--reply", "ack"])).await, &to);
    })
    .await;
}

#[tokio::test]
async fn a_server_without_control_frames_is_waited_for_without_hello() {
    let server = async |peer: Peer| peer.echo_all().await;
    play(server, async |to| {
        answered(run(wait(&[&to]).arg("--no-hello")).await, &to);
    })
    .await;
}

/// Everything that is no answer, one connection after the other, then one.
#[tokio::test]
async fn nothing_but_the_right_reply_ends_the_wait() {
    let (listener, to) = listen().await;
    let serve = async {
        drop(Peer::accept(&listener).await);
        Peer::accept(&listener).await.reset();
        let mut busy = Peer::accept(&listener).await;
        busy.error(Reason::Busy, 0, "all places are taken").await;
        busy.until_closed().await;
        let mut web = Peer::accept(&listener).await;
        web.write(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").await;
        web.until_closed().await;
        let (closing, _) = asked(&listener).await;
        drop(closing);
        let (resetting, _) = asked(&listener).await;
        resetting.reset();
        let (mut wrong, mut payload) = asked(&listener).await;
        payload[0] ^= 1;
        wrong.reply(&payload).await;
        wrong.until_closed().await;
        let (mut long, payload) = asked(&listener).await;
        long.reply(&[&payload[..], b"!"].concat()).await;
        long.until_closed().await;
        answer(&listener).await;
    };
    let mut command = wait(&[&to]);
    command.args(["-v", "--interval", "20ms"]);
    let (ended, ()) = within(async { tokio::join!(run(&mut command), serve) }).await;
    assert_eq!((ended.code, &*ended.stdout), (Some(0), &b""[..]), "{ended:?}");
    let told = ended.stderr.replace(&waiting("25s", &to), "");
    assert!(told.starts_with(&format!("volley: {to} answered after ")), "{ended:?}");
    assert!(told.ends_with(" s, attempt 9\n"), "{ended:?}");
}

#[tokio::test]
async fn every_target_must_answer() {
    let ((first, first_to), (second, second_to)) = (listen().await, listen().await);
    let mut command = wait(&[&first_to, &second_to]);
    let mut running = within(async {
        let running = Running::start(&mut command);
        answer(&first).await;
        running
    })
    .await;
    let (mut peer, payload) = within(asked(&second)).await;
    assert!(running.child.try_wait().unwrap().is_none(), "ended with one target missing");
    let ended = within(async {
        peer.reply(&payload).await;
        running.end().await
    })
    .await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[tokio::test]
async fn each_target_that_did_not_answer_is_told_with_what_it_did_last() {
    let (listener, there) = listen().await;
    let (first, second) = (nobody().await, nobody().await);
    let mut command = wait_within("1500ms", &[&first, &there, &second]);
    let (ended, ()) = within(async { tokio::join!(run(&mut command), answer(&listener)) }).await;
    assert_eq!((ended.code, &*ended.stdout), (Some(75), &b""[..]), "{ended:?}");
    let mut told: Vec<_> = ended.stderr.lines().filter(|line| !line.contains("waiting")).collect();
    told.sort_unstable();
    let mut expected = [&first, &second].map(|to| {
        format!(
            "volley: no answer from {to} within 1.5s: cannot connect to {to}: Connection refused \
             (os error 111) (is volleyd running there?)"
        )
    });
    expected.sort_unstable();
    assert_eq!(told, expected);
}

/// A server that does `serve` on its one connection, which outlasts the wait.
async fn never_answered(serve: impl AsyncFnOnce(&mut Peer)) -> String {
    let server = async |mut peer: Peer| {
        serve(&mut peer).await;
        peer.until_client_is_done().await;
    };
    let (ended, to) =
        play(server, async |to| (run(&mut wait_within("500ms", &[&to])).await, to)).await;
    assert_eq!((ended.code, &*ended.stdout), (Some(75), &b""[..]), "{ended:?}");
    let told = format!("volley: no answer from {to} within 500ms: ");
    ended.stderr.strip_prefix(&told).expect(&ended.stderr).replace(&to.to_string(), "TARGET")
}

#[tokio::test]
async fn a_silent_server_is_given_up_within_the_timeout() {
    let told = never_answered(async |peer| {
        peer.hello().await;
    })
    .await;
    let advice = "it may not know HELLO: try --no-hello, or a longer --timeout";
    assert_eq!(told, format!("no WELCOME from TARGET within 500ms ({advice})\n"));
    let told = never_answered(async |peer| {
        peer.greet(ReplyKind::Echo).await;
        peer.payload().await;
    })
    .await;
    assert_eq!(told, "no reply to frame 1 within 500ms (try a longer --timeout)\n");
}

#[tokio::test]
async fn a_server_that_speaks_something_else_is_named() {
    let told = never_answered(async |peer| {
        peer.write(b"SSH-2.0-OpenSSH_9.9\r\n").await;
    })
    .await;
    assert!(told.starts_with("the server broke the protocol: this is SSH"), "{told}");
}

#[tokio::test]
async fn a_server_that_knows_no_hello_is_told_with_what_to_try() {
    let told = never_answered(async |peer| {
        let (head, body) = peer.frame().await;
        peer.write(&head.to_be_bytes()).await;
        peer.write(&body).await;
    })
    .await;
    assert!(told.ends_with("it may not know HELLO (try --no-hello)\n"), "{told}");
}

#[tokio::test]
async fn a_wait_of_more_than_a_second_says_once_for_whom() {
    let to = nobody().await;
    let ended = within(run(&mut wait_within("2500ms", &[&to]))).await;
    assert_eq!(ended.code, Some(75), "{ended:?}");
    let told = ended.stderr.strip_prefix(&waiting("2.5s", &to)).expect(&ended.stderr);
    assert_eq!(told.lines().count(), 1, "{ended:?}");
}

#[tokio::test]
async fn a_wait_of_a_second_says_only_what_came_of_it() {
    let to = nobody().await;
    let ended = within(run(&mut wait_within("1s", &[&to]))).await;
    assert_eq!(ended.code, Some(75), "{ended:?}");
    let told = format!("volley: no answer from {to} within 1s: cannot connect to {to}: ");
    assert!(ended.stderr.starts_with(&told), "{ended:?}");
}

#[tokio::test]
async fn a_signal_ends_the_wait() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let (listener, to) = listen().await;
        let running = Running::start(&mut wait(&[&to]));
        let ended = within(async {
            // Connected, so the signals have their handlers.
            let _asked = asked(&listener).await;
            running.signal(signal);
            running.end().await
        })
        .await;
        assert_eq!((ended.code, &*ended.stdout), (Some(code), &b""[..]), "{ended:?}");
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_wrong_usage() {
    let wrong: [&[&str]; 6] = [
        &["wait", "127.0.0.1"],
        &["wait", "127.0.0.1:7007", "nonsense://x:1"],
        &["wait", "--timeout", "0s"],
        &["wait", "--timeout", "5"],
        &["wait", "--interval", "often"],
        &["wiat"],
    ];
    for arguments in wrong {
        let ended = within(run(program().args(arguments))).await;
        assert_eq!((ended.code, &*ended.stdout), (Some(2), &b""[..]), "{arguments:?} {ended:?}");
    }
    let ended = within(run(program().arg("wiat"))).await;
    assert!(ended.stderr.contains("a similar subcommand exists: 'wait'"), "{ended:?}");
}
