//! The programs together over Unix sockets.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, also in what it calls")]

use std::path::PathBuf;

use tempfile::TempDir;
use volley_tests::{Daemon, Family, Load, all_answered, send};

/// A place for a socket that nobody else has.
struct Place {
    _directory: TempDir,
    path: PathBuf,
    /// With a file there.
    endpoint: String,
    /// Without one.
    name: String,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("volley.sock");
        let (endpoint, name) =
            (format!("unix:{}", path.display()), format!("unix:@{}", path.display()));
        Self { _directory: directory, path, endpoint, name }
    }
}

#[tokio::test]
async fn frames_are_echoed_and_receipts_given() {
    let place = Place::new();
    for endpoint in [&place.endpoint, &place.name] {
        let daemon = Daemon::start_at(endpoint, &[]).await;
        assert_eq!(daemon.endpoint, *endpoint);
        for (reply, expected) in [("echo", "hello\n"), ("ack", "ACK seq=1 len=5 crc32c=9a71bb4c ")]
        {
            let ended = send(endpoint, &["--reply", reply, "hello"], b"").await;
            assert!(ended.printed().starts_with(expected), "{ended:?}");
        }
        daemon.terminate();
        assert_eq!(daemon.end().await.0, Some(0));
        assert!(!place.path.exists());
    }
}

#[tokio::test]
async fn a_load_comes_back_whole_in_a_closed_and_in_an_open_loop() {
    let place = Place::new();
    for endpoint in [&place.endpoint, &place.name] {
        for flags in ["-n 20k -p 16 -s 0..2000", "-n 5k -r 20k --reply ack"] {
            let daemon = Daemon::start_at(endpoint, &[]).await;
            let flags: Vec<_> = ["-c", "8"].into_iter().chain(flags.split(' ')).collect();
            let sent = Load::whole(endpoint, &flags).await;
            all_answered(&daemon.books().await, "frames", sent);
        }
    }
}

#[tokio::test]
async fn nobody_notices_when_new_processes_take_the_daemons_place() {
    let place = Place::new();
    let mut family = Family::start_at(&place.endpoint, &[]).await;
    let mut busy = Load::start(&place.endpoint, &["-c", "20", "-p", "2", "-d", "4s"]);
    let passing = ["-c", "5", "-r", "500", "--frames-per-connection", "5", "-d", "4s"];
    let mut passing = Load::start(&place.endpoint, &passing);
    busy.is_running().await;
    passing.is_running().await;
    for _ in 0..2 {
        family.swap().await;
        family.wait_for(" done accepted=").await;
    }
    let reports = [busy.end().await, passing.end().await];
    family.terminate();
    let (books, _) = family.end().await;
    let mut sent = 0;
    for report in &reports {
        let goaway = "the server said GOAWAY: shutting down";
        assert!(report.problems().iter().all(|(what, _)| *what == goaway), "{report:?}");
        assert_eq!(report.code, Some(0), "{report:?}");
        assert_eq!(report.number("/run/ledger/ok"), report.number("/run/ledger/sent"));
        sent += report.number("/run/ledger/sent");
    }
    assert_eq!((books.daemons, books.refused), (3, 0));
    assert_eq!((books.received, books.answered), (sent, sent));
    assert!(!place.path.exists());
}
