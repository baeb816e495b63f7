//! How it ends, what is printed meanwhile, and to whom.

use std::fs::OpenOptions;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use volley_proto::ReplyKind;

use super::{address, greeted, head, ping, ping_within, pinged, reply, without_times};
use crate::scripted::{Peer, echo, listen, play, within};
use crate::{Running, program, run};

#[tokio::test]
async fn one_answer_is_enough_unless_all_are_wanted_by_a_deadline() {
    for (arguments, code) in [(&[][..], 0), (&["-w", "25"], 1)] {
        let mut command = ping_within("1", 2, &[]);
        command.args(arguments);
        let printed = pinged(command, async |peer| {
            peer.echo(1).await;
            peer.payload().await;
        })
        .await;
        assert_eq!(printed.lines, [&reply(1), "seq=2 no reply within 1s"]);
        let expected = ["2 pings, 1 answered, 50% loss, time T s", "1 without a reply"];
        assert_eq!(printed.summary[..2], expected);
        assert_eq!(printed.code, Some(code));
    }
}

#[tokio::test]
async fn the_deadline_ends_it_whatever_is_in_flight() {
    let mut command = program();
    command.args(["ping", "-i", "1h", "-W", "25", "-w", "2"]);
    let printed = pinged(command, async |peer| drop(peer.payload().await)).await;
    assert_eq!(printed.summary, ["1 ping, 0 answered, time T s", "1 still in flight"]);
    assert_eq!(printed.code, Some(1));
}

#[tokio::test]
async fn quiet_leaves_the_summary() {
    let mut command = ping(3, &[]);
    command.arg("-q");
    let printed = pinged(command, async |peer| peer.echo(3).await).await;
    assert_eq!(printed.lines, [""; 0]);
    assert_eq!(printed.summary[0], "3 pings, 3 answered, 0% loss, time T s");
}

#[tokio::test]
async fn json_is_an_object_per_line() {
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        peer.echo(1).await;
        peer.payload().await;
        peer.reply(b"\xff").await;
        peer.until_closed().await;
    };
    let (ended, to) = play(server, async |to| (run(ping(2, &[&to]).arg("--json")).await, to)).await;
    assert_eq!((ended.code, &*ended.stderr), (Some(1), ""));
    let objects: Vec<Value> = serde_json::Deserializer::from_slice(&ended.stdout)
        .into_iter()
        .collect::<Result<_, _>>()
        .unwrap();
    let lines = ended.stdout.iter().filter(|&&byte| byte == b'\n').count();
    let [start, reply, lost, summary] = &objects[..] else { panic!("{objects:?}") };
    assert_eq!(lines, 4);
    // docs/CLIENT.md describes every field.
    let docs = include_str!("../../../../../docs/CLIENT.md");
    let figures = [&summary["rtt_ns"]];
    for (name, _) in objects.iter().chain(figures).flat_map(|object| object.as_object().unwrap()) {
        assert!(docs.contains(&format!("`{name}`")), "{name}");
    }
    for (object, event) in objects.iter().zip(["start", "reply", "lost", "summary"]) {
        assert_eq!(object["event"], event);
        assert_eq!(object["target"], to.to_string());
        let at = object["at"].as_str().unwrap();
        assert!(at.starts_with("20") && at.ends_with('Z'), "{at}");
    }
    assert_eq!((&start["address"], &start["bytes"]), (&Value::from(address(&to)), &64.into()));
    assert_eq!(start["reply"], "echo");
    assert_eq!((&reply["seq"], &reply["bytes"]), (&1.into(), &64.into()));
    assert_eq!((&reply["connect_ns"], &reply["reordered"]), (&Value::Null, &false.into()));
    assert_eq!((&lost["seq"], &lost["reason"]), (&2.into(), &"corrupt".into()));
    let counts = [("pings", 2), ("answered", 1), ("lost", 1), ("corrupt", 1), ("no_reply", 0)];
    for (name, count) in counts {
        assert_eq!(summary[name], count, "{name}");
    }
    assert_eq!((&summary["loss"], &summary["passed"]), (&0.5.into(), &false.into()));
    for figure in ["min", "avg", "max", "p50", "p90", "p99"] {
        assert_eq!(summary["rtt_ns"][figure], reply["rtt_ns"], "{figure}");
    }
    assert_eq!(summary["rtt_ns"]["mdev"], 0);
    assert_eq!(summary["connect_ns"], Value::Null);
}

#[tokio::test]
async fn a_signal_ends_it_with_what_there_is() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let server = async |mut peer: Peer| {
            peer.greet(ReplyKind::Echo).await;
            peer.echo(1).await;
            peer.until_closed().await;
        };
        let ended = play(server, async |to| {
            let mut command = program();
            let mut running = Running::start(command.args(["ping", "-i", "1h", &to.to_string()]));
            assert_eq!(running.line().await, head(&to));
            assert_eq!(without_times(&running.line().await), reply(1));
            running.signal(signal);
            running.end().await
        })
        .await;
        assert_eq!((ended.code, &*ended.stderr), (Some(code), ""), "{ended:?}");
        let stdout = String::from_utf8(ended.stdout).unwrap();
        assert!(stdout.contains("\n1 ping, 1 answered, 0% loss, time "), "{stdout}");
    }
}

#[tokio::test]
async fn sigquit_shows_how_it_stands() {
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        peer.echo(1).await;
        peer.until_closed().await;
    };
    let (line, to) = play(server, async |to| {
        let mut command = program();
        let mut running = Running::start(command.args(["ping", "-i", "1h", &to.to_string()]));
        running.line().await;
        running.line().await;
        running.signal(Signal::QUIT);
        let mut stderr = BufReader::new(running.child.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).await.unwrap();
        running.signal(Signal::INT);
        assert_eq!(running.child.wait().await.unwrap().code(), Some(130));
        (line, to)
    })
    .await;
    let told =
        format!("volley: {to}: 1 ping, 1 answered, 0% loss, time T s, rtt min/avg/max = T ms");
    assert_eq!(without_times(line.trim_end()), told);
}

#[tokio::test]
async fn a_reader_that_goes_ends_it_quietly() {
    let ended = play(echo, async |to| {
        let mut command = program();
        command.args(["ping", "-i", "5ms", &to.to_string()]);
        let mut running = Running::start(&mut command);
        running.line().await;
        running.line().await;
        let Running { child, stdin, stdout } = running;
        drop((stdin, stdout));
        let output = child.wait_with_output().await.unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    })
    .await;
    assert_eq!(ended, (Some(0), String::new()));
}

#[tokio::test]
async fn a_stdout_that_cannot_be_written_is_another_error() {
    let ended = play(echo, async |to| {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        run(ping(1000, &[&to]).stdout(Stdio::from(full))).await
    })
    .await;
    ended.failed(2, "cannot write to stdout: No space left on device (os error 28)");
}

/// What comes to wait for its printing must not make later replies seem slow, nor memory full.
#[tokio::test]
async fn nothing_is_sent_while_nobody_reads_and_a_signal_ends_that_too() {
    let (listener, to) = listen().await;
    let mut command = program();
    command.args(["ping", "-i", "1ms", "-W", "25"]).args(vec![to.to_string(); 16]);
    within(async {
        let mut running = Running::start(&mut command);
        let (seen, mut frames) = mpsc::unbounded_channel();
        let mut servers = JoinSet::new();
        for _ in 0..16 {
            let (mut peer, seen) = (greeted(&listener).await, seen.clone());
            servers.spawn(async move {
                loop {
                    peer.echo(1).await;
                    seen.send(()).unwrap();
                }
            });
        }
        // Sixteen frames a millisecond, until no more come.
        while timeout(Duration::from_millis(500), frames.recv()).await.is_ok() {}
        running.signal(Signal::INT);
        assert_eq!(running.child.wait().await.unwrap().code(), Some(130));
        servers.abort_all();
    })
    .await;
}

#[tokio::test]
async fn what_makes_no_sense_is_wrong_usage() {
    let wrong: [(&[&str], &str); 10] = [
        (&["a"], "`a` has no port: write a:7007"),
        (&["a:7007", "b"], "`b` has no port: write b:7007"),
        (&["-c", "0"], "write at least 1"),
        (&["-i", "0"], "write more than 0, for example 0.2 or 200ms"),
        (&["-i", "0.0001"], "write at least 1ms; volley-load sends faster"),
        (&["-W", "soon"], "`soon` is no duration: write for example 0.2, 200ms or 1m"),
        (&["-w", "-1"], "unexpected argument '-1' found"),
        (&["-s", "65MiB"], "above the 67108864 that the protocol allows"),
        (&["-4", "-6"], "cannot be used with"),
        (&["--qiuet"], "a similar argument exists: '--quiet'"),
    ];
    for (arguments, told) in wrong {
        let ended = within(run(program().arg("ping").args(arguments))).await;
        assert_eq!((ended.code, &*ended.stdout), (Some(2), &b""[..]), "{arguments:?} {ended:?}");
        assert!(ended.stderr.contains(told), "{ended:?}");
    }
}

#[tokio::test]
async fn help_begins_with_examples() {
    for command in ["ping", "wait"] {
        let ended = within(run(program().args([command, "--help"]))).await;
        let help = String::from_utf8(ended.stdout).unwrap();
        assert!(help.find("Examples:").unwrap() < help.find("Usage:").unwrap(), "{help}");
        assert!(help.contains("Exit codes:"), "{help}");
        assert_eq!(ended.code, Some(0));
    }
}
