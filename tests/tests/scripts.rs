//! The scripts of examples/: they are what a newcomer tries first, and one of them goes through the
//! vectors of the protocol.

use std::path::Path;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use volley_tests::{Daemon, program, run, within};

/// `volley script` of a folder of examples/scripts.
fn script(daemon: &Daemon, folder: &str) -> Command {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/scripts");
    let mut command = program("volley");
    command.args(["script", "--timeout", "30s", "--to", &daemon.endpoint]);
    command.arg(examples.join(folder));
    command
}

#[tokio::test]
async fn every_script_for_a_daemon_passes() {
    let daemon = Daemon::start(&[]).await;
    for (folder, count) in [("plain", 4), ("volleyd", 4)] {
        let ended = run(&mut script(&daemon, folder), b"").await;
        let stdout = String::from_utf8(ended.stdout).unwrap();
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{stdout}");
        assert!(stdout.contains(&format!("\n{count} passed, 0 failed in ")), "{stdout}");
    }
}

#[tokio::test]
async fn a_script_sees_the_daemon_drain() {
    let daemon = Daemon::start(&[]).await;
    let mut playing = script(&daemon, "drain").arg("-v").spawn().unwrap();
    let mut stderr = BufReader::new(playing.stderr.take().unwrap()).lines();
    // Its frame has come back, so it waits for GOAWAY now.
    while !within(stderr.next_line()).await.unwrap().unwrap().contains("< frame 1: 6 bytes") {}
    daemon.terminate();
    let mut said = String::new();
    while let Some(line) = within(stderr.next_line()).await.unwrap() {
        said.push_str(&line);
    }
    assert!(said.contains("< GOAWAY shutting down"), "{said}");
    assert_eq!(within(playing.wait()).await.unwrap().code(), Some(0), "{said}");
    assert_eq!(daemon.end().await.0, Some(0));
}

/// The vectors prove nothing where a wrong byte passes.
#[tokio::test]
async fn the_vectors_fail_with_another_daemon() {
    let daemon = Daemon::start(&["--max-frame", "64KiB"]).await;
    let ended = run(&mut script(&daemon, "volleyd/vectors.volley"), b"").await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
}
