//! The programs together over what is not plain TCP with frames: behind a PROXY header, without
//! lengths, and as datagrams. tls.rs and unix.rs have the rest.

use volley_tests::{Daemon, Load, all_answered, send};

/// One frame there and back.
async fn hello(to: &str, flags: &[&str]) {
    assert_eq!(send(to, flags, b"hello\n").await.printed(), "hello\n");
}

/// How many frames come back of a load over four connections.
async fn load(to: &str, flags: &[&str]) -> u64 {
    Load::whole(to, &[&["-c", "4"], flags].concat()).await
}

#[tokio::test]
async fn whoever_stands_behind_a_balancer_sends_its_header() {
    for version in ["v1", "v2"] {
        let daemon = Daemon::start(&["--proxy-from", "127.0.0.0/8"]).await;
        let to = daemon.endpoint.clone();
        let header = ["--proxy-header", version];
        hello(&to, &header).await;
        let closed = load(&to, &[&header[..], &["-n", "1k", "-p", "8"]].concat()).await;
        let open = ["-n", "500", "-r", "2k", "--frames-per-connection", "50", "--reply", "ack"];
        let sent = 1 + closed + load(&to, &[&header[..], &open].concat()).await;
        let log = daemon.log().await;
        let (books, connections): (Vec<_>, Vec<_>) = log
            .lines()
            .filter(|line| line.contains(" frames_received=") || line.contains(" peer="))
            .partition(|line| line.contains(" frames_received="));
        assert!(books[0].contains(&format!(" frames_answered={sent} ")), "{sent} sent: {log}");
        // One of `volley`, four of the closed loop, and one for each 50 frames of the open one.
        assert!(connections.len() >= 1 + 4 + 500 / 50, "{log}");
        assert!(connections.iter().all(|line| line.contains(" via=127.0.0.1:")), "{log}");
    }
}

/// What `volley` tells of the daemon's refusal, with what to try, and the daemon itself in its log.
async fn is_refused(daemon: Daemon, flags: &[&str], why: &str, hint: &str) {
    let ended = send(&daemon.endpoint, flags, b"hello\n").await;
    assert_eq!((ended.code, &ended.stdout[..]), (Some(76), &b""[..]), "{ended:?}");
    let told = format!("volley: refused by the server after 0 frames: protocol: {why} ({hint})\n");
    assert!(ended.stderr.ends_with(&told), "{ended:?}");
    let log = daemon.log().await;
    assert!(log.contains(&format!(" cause=\"{why}\" ")), "{log}");
}

#[tokio::test]
async fn a_header_that_is_missing_or_not_wanted_is_told_at_both_ends() {
    let hint = "go through its balancer, or give --proxy-header v2";
    let missing = "a PROXY header has to come first, and this is a frame";
    is_refused(Daemon::start(&["--proxy-from", "127.0.0.0/8"]).await, &[], missing, hint).await;
    for version in ["v1", "v2"] {
        let unwanted = format!("this looks like PROXY protocol {version}, not a framed client");
        let (flags, hint) = (["--proxy-header", version], "leave --proxy-header out");
        is_refused(Daemon::start(&[]).await, &flags, &unwanted, hint).await;
    }
}

#[tokio::test]
async fn what_has_no_lengths_comes_back_in_its_order() {
    let daemon = Daemon::start(&["--framing", "raw"]).await;
    let (to, raw) = (daemon.endpoint.clone(), ["--framing", "raw"]);
    hello(&to, &raw).await;
    let mut sent = load(&to, &[&raw[..], &["-n", "1k", "-s", "64", "-p", "8"]].concat()).await;
    sent += load(&to, &[&raw[..], &["-n", "500", "-s", "64", "-r", "2k"]].concat()).await;
    // What the daemon takes for a frame there is what a read has brought in.
    let (bytes, books) = (5 + 64 * sent, daemon.books().await);
    assert!(books.contains(&format!(" payload_bytes={bytes} ")), "{bytes} bytes sent: {books}");
}

#[tokio::test]
async fn datagrams_come_back_and_are_counted_at_both_ends() {
    for reply in ["echo", "ack"] {
        let daemon = Daemon::start_at("udp://127.0.0.1:0", &["--reply", reply]).await;
        let to = daemon.endpoint.clone();
        let expect = ["--reply", reply];
        let long = "x".repeat(32);
        let text = send(&to, &[&expect[..], &[&*long]].concat(), b"").await;
        let mut lines = text.printed().lines();
        let first = if reply == "echo" { &long } else { "ACK seq=0 len=32 crc32c=" };
        assert!(lines.next().unwrap().starts_with(first), "{text:?}");
        let closed = ["-n", "1k", "-p", "4", "-s", "32..2000"];
        let open = ["-n", "500", "-r", "2k", "-s", "64"];
        let mut sent = 1;
        for load_of in [&closed[..], &open] {
            sent += load(&to, &[&expect[..], load_of].concat()).await;
        }
        all_answered(&daemon.books().await, "datagrams", sent);
    }
}
