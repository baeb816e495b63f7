//! What makes a reply right, and what comes of a wrong one whatever happens then.

use volley_proto::{Reason, ReplyKind};

use crate::scripted::{Peer, play, receipt};
use crate::{Ended, program, run, run_with, send};

/// `volley send` with these arguments to a server that makes `PONG` of every frame.
async fn pongs(arguments: &[&str]) -> Ended {
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        while peer.payload_or_end().await.is_some() {
            peer.reply(b"PONG").await;
        }
    };
    play(server, async |to| run(send(&to).args(arguments)).await).await
}

#[tokio::test]
async fn an_expected_text_is_the_whole_reply() {
    pongs(&["--expect", "PONG", "PING", "PING"]).await.printed("PONG\nPONG\n");
    let told = "\
reply 1 is not the one that was expected
  expected  00000000  50 4f 4e                                         |PON|
            00000003
  received  00000000  50 4f 4e 47                                      |PONG|
            00000004
volley: wrong replies: 1 of 1";
    pongs(&["--expect", "PON", "PING"]).await.failed(1, told);
}

#[tokio::test]
async fn an_expected_pattern_matches_somewhere_in_the_reply() {
    pongs(&["--expect", "/^P.N/", "PING"]).await.printed("PONG\n");
    let told = "\
reply 1 does not match /^PING/
  received  00000000  50 4f 4e 47                                      |PONG|
            00000004
volley: wrong replies: 1 of 1";
    pongs(&["--expect", "/^PING/", "PING"]).await.failed(1, told);
}

/// What a command says of a server without HELLO that answers each frame so.
async fn said_of(answer: fn(&[u8]) -> Vec<u8>, arguments: &[&str]) -> String {
    let server = async |mut peer: Peer| {
        while let Some(payload) = peer.payload_or_end().await {
            peer.reply(&answer(&payload)).await;
        }
    };
    let ended = play(server, async |to| {
        run(program().args(arguments).args(["--no-hello", "--to", &to.to_string()])).await
    })
    .await;
    assert_ne!(ended.code, Some(0), "{arguments:?} {ended:?}");
    String::from_utf8(ended.stdout).unwrap() + &ended.stderr
}

/// Without HELLO nothing but the replies tells which kind a server sends.
#[tokio::test]
async fn a_reply_of_the_other_kind_is_told_with_what_to_ask_for() {
    let receipts = |payload: &[u8]| receipt(payload, 1, payload.len() as u64).encode().to_vec();
    let echoes = |payload: &[u8]| payload.to_vec();
    let commands: [(&[&str], &str, &str); 3] = [
        (
            &["send", "hello"],
            "from byte 0 on (it is a receipt: try --reply ack)\n",
            " (if it sends echoes: --reply echo)\n",
        ),
        (
            &["wait", "--timeout", "200ms"],
            "from byte 0 on (it is a receipt: try --reply ack)\n",
            " (if it sends echoes: --reply echo)\n",
        ),
        (
            &["ping", "-c", "1", "-W", "25"],
            "seq=1 corrupt: a receipt, not an echo (try --reply ack)\n",
            "seq=1 corrupt: an echo, not a receipt (try --reply echo)\n",
        ),
    ];
    for (command, of_receipts, of_echoes) in commands {
        let said = said_of(receipts, command).await;
        assert!(said.contains(of_receipts), "{said}");
        let said = said_of(echoes, &[command, &["--reply", "ack"]].concat()).await;
        assert!(said.contains(of_echoes), "{said}");
    }
}

/// And not at each wrong reply again.
#[tokio::test]
async fn a_server_that_answers_something_else_is_told_with_how_to_take_it() {
    let pongs = |_: &[u8]| b"+PONG".to_vec();
    let said = said_of(pongs, &["send", "PING", "PING"]).await;
    let hint = "from byte 0 on (if it answers something else: --expect, or --no-check)\n";
    assert_eq!((said.matches(hint).count(), said.matches("--no-check").count()), (1, 1), "{said}");
    // What begins as the frame does is damaged.
    let damages = |payload: &[u8]| [payload, b"!"].concat();
    let said = said_of(damages, &["send", "PING"]).await;
    assert!(!said.contains("--no-check"), "{said}");
}

#[tokio::test]
async fn unchecked_any_reply_is_right() {
    pongs(&["--no-check", "PING"]).await.printed("PONG\n");
}

#[tokio::test]
async fn expectations_that_make_no_sense_are_wrong_usage() {
    let told = [
        (&["--expect", "/(/", "x"][..], "unclosed group"),
        (&["--expect", "x", "--no-check", "x"], "cannot be used with"),
    ];
    for (arguments, told) in told {
        let ended = run(program().arg("send").args(arguments)).await;
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains(told), "{ended:?}");
    }
}

#[tokio::test]
async fn of_many_wrong_replies_a_few_are_shown_and_all_counted() {
    let frames = vec!["PING"; 20];
    let ended = pongs(&frames).await;
    assert_eq!((ended.code, &*ended.stdout), (Some(1), &b""[..]));
    assert_eq!(ended.stderr.matches("is not its frame").count(), 8, "{}", ended.stderr);
    assert!(ended.stderr.ends_with("\nvolley: wrong replies: 20 of 20\n"), "{}", ended.stderr);
}

/// What is told, and the exit code, where a server answers the first frame wrongly and then does
/// this; without the wrong reply itself.
async fn wrong_then(
    arguments: &[&str],
    input: &str,
    then: impl AsyncFnOnce(&mut Peer),
) -> (Option<i32>, String) {
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        peer.payload().await;
        peer.reply(b"PONG").await;
        then(&mut peer).await;
    };
    let ended = play(server, async |to| {
        let mut command = program();
        command.args(["send", "--to", &to.to_string()]).args(arguments);
        run_with(&mut command, input.as_bytes()).await
    })
    .await;
    let (_, told) = ended.stderr.split_once("|PONG|\n            00000004\n").unwrap();
    (ended.code, told.to_owned())
}

/// By the codes of what came later, trying again might help.
#[tokio::test]
async fn a_wrong_reply_decides_whatever_comes_later() {
    let told_after =
        |why: &str| (Some(1), format!("volley: {why}\nvolley: wrong replies: 1 of 1\n"));
    let silent = async |peer: &mut Peer| peer.until_client_is_done().await;
    let told = wrong_then(&["--timeout", "300ms", "PING", "PING"], "", silent).await;
    assert_eq!(told, told_after("no reply to frame 2 within 300ms (try a longer --timeout)"));
    let arguments = ["--timeout", "25s", "--deadline", "300ms", "PING", "PING"];
    let told = wrong_then(&arguments, "", silent).await;
    let late = "not done within 300ms: 1 answered, 1 without a reply (try a longer --deadline)";
    assert_eq!(told, told_after(late));
    let busy = async |peer: &mut Peer| {
        peer.payload().await;
        peer.error(Reason::Busy, 1, "").await;
        peer.until_closed().await;
    };
    let told = wrong_then(&["--timeout", "25s", "PING", "PING"], "", busy).await;
    let hint = "(volley send --retry 3 sends again what has no reply)";
    assert_eq!(told, told_after(&format!("refused by the server after 1 frame: busy {hint}")));
    let arguments = ["--timeout", "25s", "--input", "hex"];
    let told = wrong_then(&arguments, "00\nxx\n", async |_| {}).await;
    let why = "`x` at byte 1 is no hexadecimal digit";
    assert_eq!(told, told_after(&format!("line 2 of stdin cannot be decoded: {why}")));
}
