//! The programs together, as in the first minutes with them.

use tokio::net::TcpStream;
use volley_tests::{Daemon, program, run, send};

#[tokio::test]
async fn a_frame_is_echoed_and_the_daemon_stops_when_told() {
    let daemon = Daemon::start(&[]).await;
    assert!(daemon.endpoint.starts_with("tcp://127.0.0.1:"), "{}", daemon.endpoint);
    assert_eq!(send(&daemon.endpoint, &["hello"], b"").await.printed(), "hello\n");
    daemon.terminate();
    assert_eq!(daemon.end().await, (Some(0), String::new()));
}

#[tokio::test]
async fn receipts_prove_what_arrived_whoever_asks_for_them() {
    let expected = ["ACK seq=1 len=5 crc32c=9a71bb4c total=5 ", "ACK seq=2 len=0 crc32c=00000000 "];
    let asked: [(&[&str], &[&str]); 3] = [
        (&["--reply", "ack"], &["hello", ""]),
        (&[], &["--reply", "ack", "hello", ""]),
        (&["--reply", "ack"], &["--no-hello", "--reply", "ack", "hello", ""]),
    ];
    for (daemon, client) in asked {
        let daemon = Daemon::start(daemon).await;
        let ended = send(&daemon.endpoint, client, b"").await;
        let lines: Vec<_> = ended.printed().lines().collect();
        assert_eq!(lines.len(), 2);
        for (line, expected) in lines.iter().zip(expected) {
            assert!(line.starts_with(expected), "{line}");
            let (_, time) = line.split_once(" received_at=").unwrap();
            assert!(time.starts_with("20") && time.ends_with('Z'), "{line}");
        }
    }
}

#[tokio::test]
async fn each_line_of_stdin_is_a_frame() {
    let daemon = Daemon::start(&[]).await;
    let lines: String = (1..=1000).map(|i| format!("{i}\n")).collect();
    assert_eq!(send(&daemon.endpoint, &[], lines.as_bytes()).await.printed(), lines);
}

#[tokio::test]
async fn a_frame_beyond_the_daemons_limit_is_bad_data() {
    let daemon = Daemon::start(&["--max-frame", "10B"]).await;
    let ended = send(&daemon.endpoint, &["ten bytes.", "eleven byte"], b"").await;
    assert_eq!((ended.code, &ended.stdout[..]), (Some(65), &b"ten bytes.\n"[..]));
    assert_eq!(
        ended.stderr,
        "volley: argument 2 is longer than the 10 bytes that the server takes\n"
    );
    let ended = send(&daemon.endpoint, &["--no-hello", "ten bytes.", "eleven byte"], b"").await;
    assert_eq!((ended.code, &ended.stdout[..]), (Some(65), &b"ten bytes.\n"[..]));
    let told = "volley: refused by the server after 1 frame: too large: frame of 11 bytes exceeds \
                the limit of 10 (send less at once, as --chunk 64KiB does, or give the server a \
                larger --max-frame)\n";
    assert_eq!(ended.stderr, told);
}

#[tokio::test]
async fn a_daemon_without_a_place_is_worth_another_try() {
    let daemon = Daemon::start(&["--max-connections", "1"]).await;
    let address = daemon.endpoint.strip_prefix("tcp://").unwrap();
    // Accepted before whoever comes later.
    let _inside = TcpStream::connect(address).await.unwrap();
    let ended = send(&daemon.endpoint, &["hello"], b"").await;
    assert_eq!((ended.code, &ended.stdout[..]), (Some(75), &b""[..]));
    let told = "volley: refused by the server after 0 frames: busy: ";
    assert!(ended.stderr.starts_with(told), "{}", ended.stderr);
}

#[tokio::test]
async fn a_daemon_that_has_stopped_is_unavailable() {
    let daemon = Daemon::start(&[]).await;
    let mut command = program("volley");
    command.args(["send", "--to", &daemon.endpoint, "hello"]);
    daemon.terminate();
    assert_eq!(daemon.end().await.0, Some(0));
    let ended = run(&mut command, b"").await;
    assert_eq!((ended.code, &ended.stdout[..]), (Some(69), &b""[..]));
    assert!(ended.stderr.ends_with("(is volleyd running there?)\n"), "{}", ended.stderr);
}
