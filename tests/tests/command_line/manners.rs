//! What becomes of mistakes, and of a reader who goes away.

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use volley_tests::{Daemon, run, within};

use crate::{PROGRAMS, ended, program, stdout};

#[tokio::test]
async fn a_slip_of_the_finger_is_seen_through() {
    let cases: [(&[&str], &str); 10] = [
        (&["volley", "sned", "x"], "a similar subcommand exists: 'send'"),
        (&["volley", "--versoin"], "a similar argument exists: '--version'"),
        (&["volley", "send", "--repyl", "ack"], "a similar argument exists: '--reply'"),
        (&["volley", "send", "--reply", "eco"], "a similar value exists: 'echo'"),
        (&["volley", "ping", "--cuont", "3"], "a similar argument exists: '--count'"),
        (&["volley-load", "ru"], "a similar subcommand exists: 'run'"),
        (&["volley-load", "--rat", "5k"], "a similar argument exists: '--rate'"),
        (&["volley-load", "run", "--arrivals", "posson"], "a similar value exists: 'poisson'"),
        (&["volleyd", "--lisen", "x"], "a similar argument exists: '--listen'"),
        (&["volleyd", "--log-format", "jsno"], "a similar value exists: 'json'"),
    ];
    for (arguments, tip) in cases {
        let ended = ended(arguments, &[]).await;
        assert_eq!((ended.code, &*ended.stdout), (Some(2), &b""[..]), "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains(tip), "{arguments:?}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn an_unknown_flag_is_wrong_usage() {
    for name in PROGRAMS {
        let ended = ended(&[name], &["--no-such-flag"]).await;
        assert_eq!((ended.code, &*ended.stdout), (Some(2), &b""[..]), "{ended:?}");
        assert!(
            ended.stderr.starts_with("error: unexpected argument '--no-such-flag'"),
            "{ended:?}"
        );
    }
}

#[tokio::test]
async fn volley_alone_says_what_it_can_do() {
    let ended = ended(&["volley"], &[]).await;
    assert_eq!((ended.code, &*ended.stdout), (Some(2), &b""[..]), "{ended:?}");
    assert_eq!(ended.stderr, stdout(crate::ended(&["volley"], &["-h"]).await));
}

/// The reader has gone before anything is written, as the one of `| true` does.
#[tokio::test]
async fn nothing_is_said_to_a_reader_who_has_gone() {
    let daemon = Daemon::start(&[]).await;
    let to = &*daemon.endpoint;
    let cases: [&[&str]; 10] = [
        &["volley", "--help"],
        &["volley", "--version"],
        &["volley", "--generate", "man-send"],
        &["volley", "send", "--to", to, "a", "b"],
        &["volley-load", "--help"],
        &["volley-load", "--quiet", "--to", to, "--frames", "100"],
        &["volley-load", "--quiet", "--to", to, "--frames", "100", "--json", "-"],
        &["volleyd", "--help"],
        &["volleyd", "--check"],
        &["volleyd", "--print-config"],
    ];
    for case in cases {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = program(case[0]);
        let ended = run(command.args(&case[1..]).stdout(writer), b"").await;
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{case:?}");
    }
}

#[tokio::test]
async fn pings_end_when_their_reader_has_seen_enough() {
    let daemon = Daemon::start(&[]).await;
    for more in [[].as_slice(), &["--json"]] {
        let mut command = program("volley");
        command.args(["ping", "--interval", "10ms", &daemon.endpoint]).args(more);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for _ in 0..2 {
            assert!(within(lines.next_line()).await.unwrap().is_some());
        }
        drop(lines);
        let mut told = String::new();
        within(child.stderr.take().unwrap().read_to_string(&mut told)).await.unwrap();
        let code = within(child.wait()).await.unwrap().code();
        assert_eq!((code, &*told), (Some(0), ""), "{more:?}");
    }
}
