//! The daemon is told to stop while connections are busy and others are stuck. Every frame that it
//! takes is answered, and it exits at the deadline. At full size, 20 times with 1,000 busy
//! connections:
//!
//! ```text
//! cargo build --release && VOLLEY_FULL=1 cargo test --release -p volley-tests --test drain -- --nocapture
//! ```

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, also in what it calls")]

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::codec::Framed;
use volley_proto::{Control, Frame, FrameCodec, Text};
use volley_tests::{Family, Load, field, is_full, within};

/// How long those may go on that are not done.
const DRAIN: Duration = Duration::from_secs(2);

/// How long after it the daemon may take to exit.
const GRACE: Duration = Duration::from_secs(1);

/// Connections that will not be done. Three kinds in turn.
const STUCK: usize = 10;

/// How long a stuck peer's connection must have taken nothing until it counts as stuck.
const PATIENCE: Duration = Duration::from_millis(200);

#[tokio::test]
async fn what_was_taken_is_answered_and_the_stuck_are_cut_at_the_deadline() {
    let (runs, busy) = if is_full() { (20, "1000") } else { (1, "100") };
    let mut slowest = Duration::ZERO;
    for run in 1..=runs {
        let took = drain(busy).await;
        println!("run {run}: exit {took:.3?} after the signal, deadline {DRAIN:?}");
        slowest = slowest.max(took);
    }
    println!("{runs} runs with {busy} busy and {STUCK} stuck connections: {slowest:.3?} at most");
    // On a machine that others use as well a second is soon over.
    assert!(!is_full() || slowest <= DRAIN + GRACE, "{slowest:?}");
}

/// Returns how long the daemon took to exit.
async fn drain(busy: &str) -> Duration {
    let mut daemon = Family::start(&["--drain", "2s"]).await;
    let mut stuck = Vec::new();
    for number in 0..STUCK {
        stuck.push(stick(&daemon.endpoint, number).await);
    }
    let flags = ["-c", busy, "-p", "4", "-d", "60s", "--reconnect", "fail"];
    let mut load = Load::start(&daemon.endpoint, &flags);
    load.is_running().await;
    daemon.terminate();
    let began = Instant::now();
    let status = daemon.eldest_ends().await;
    let took = began.elapsed();
    let report = load.end().await;
    let (books, log) = daemon.end().await;

    assert_eq!(status.code(), Some(0), "{log:#?}");
    let (sent, ok) = (report.number("/run/ledger/sent"), report.number("/run/ledger/ok"));
    assert_eq!((sent > 0, ok), (true, sent));
    assert_eq!(report.value("/error"), "the server said GOAWAY: shutting down");

    // What was not answered is what those did not read who were cut off, and that is all of them.
    let ends: Vec<_> = log.iter().filter(|line| line.contains("connection over")).collect();
    let is_cut = |line: &&&String| line.contains("reason=\"cut off\"");
    let cut: Vec<_> = ends.iter().filter(is_cut).collect();
    assert_eq!(cut.len(), STUCK, "{cut:#?}");
    for peer in &stuck {
        let address = format!("peer={}", peer.get_ref().local_addr().unwrap());
        assert!(cut.iter().any(|line| line.contains(&address)), "{address}: {cut:#?}");
    }
    let unanswered: u64 = cut.iter().map(|line| field(line, "unanswered")).sum();
    assert!(unanswered > 0, "{cut:#?}");
    assert_eq!(books.received - books.answered, unanswered);
    assert_eq!(ends.len() as u64, books.accepted);
    took
}

/// A connection that will not be done by itself.
async fn stick(endpoint: &str, number: usize) -> Framed<TcpStream, FrameCodec> {
    let stream = TcpStream::connect(endpoint.strip_prefix("tcp://").unwrap());
    let mut peer = Framed::new(within(stream).await.unwrap(), FrameCodec::default());
    match number % 3 {
        // It sends and does not read.
        0 => {
            let frame = Frame::Data(Bytes::from(vec![7; 64 * 1024]));
            while let Ok(sent) = timeout(PATIENCE, peer.send(frame.clone())).await {
                sent.unwrap();
            }
        }
        // It says HELLO and does not heed GOAWAY.
        1 => {
            let hello = Control::Hello { wanted: None, name: Text::new("stuck") };
            within(peer.send(Frame::Control(hello))).await.unwrap();
            within(peer.next()).await.unwrap().unwrap();
        }
        // It sends half a frame.
        _ => within(peer.get_mut().write_all(&[0, 0, 0, 100, 1, 2, 3])).await.unwrap(),
    }
    peer
}
