//! Ended from outside.

use std::io::Read;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::scripted::{Script, Server};
use crate::{Ended, LIMIT, Running, await_frames, ledger, line, load, load_to};

/// Sends this signal when some frames have been sent.
fn ended_by(signal: Signal, arguments: &str) -> Ended {
    let server = Server::start(Script::default());
    let running = Running::start(&mut load_to(&server, arguments));
    await_frames(&server, 100);
    running.signal(signal);
    let ended = running.end();
    let (sent, columns) = ledger(&ended);
    assert_eq!((sent, columns), (server.finish().received(), vec![("ok".to_owned(), sent)]));
    ended
}

#[test]
fn a_signal_ends_a_run_with_its_report() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        for pace in ["", "-r 500"] {
            let ended = ended_by(signal, &format!("-d 1h {pace}"));
            assert_eq!(ended.code, Some(code), "{ended:?}");
            assert_eq!(ended.stderr, "volley-load: stopped before its end\n");
            assert!(line(&ended, "verdict").starts_with("NOT COMPLETE; passed: "), "{ended:?}");
        }
    }
}

#[test]
fn a_run_without_an_end_is_complete_when_it_is_ended() {
    let ended = ended_by(Signal::INT, "-d 0");
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    assert!(line(&ended, "verdict").starts_with("passed: every frame came back right"));
}

#[test]
fn a_second_signal_ends_the_wait_for_replies() {
    // Connections are taken by the system, and nobody reads them.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    let arguments = format!("--to {to} --no-hello -c 2 -p 3 -d 1h --timeout 1h");
    let mut running = Running::start(&mut load(&arguments));
    let mut peers = [listener.accept().unwrap().0, listener.accept().unwrap().0];
    // When frames come, signals are listened for.
    peers[0].read_exact(&mut [0; 1]).unwrap();
    // Two that are sent at once would be one.
    let deadline = Instant::now() + LIMIT;
    loop {
        running.signal(Signal::INT);
        if running.ends_within(Duration::from_millis(50)) {
            break;
        }
        assert!(Instant::now() < deadline, "it does not end");
    }
    let ended = running.end();
    assert_eq!(ended.code, Some(130), "{ended:?}");
    assert_eq!(ended.stderr, "volley-load: stopped at once, without waiting for replies\n");
    let (sent, columns) = ledger(&ended);
    assert_eq!(columns, [("lost (aborted)".to_owned(), sent)]);
}

#[test]
fn a_program_that_was_held_up_while_it_waited_accounts_for_every_frame() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    let arguments = format!("--to {to} --no-hello -c 1 -p 4 -n 4 --timeout 300ms");
    let mut running = Running::start(&mut load(&arguments));
    let (mut peer, _) = listener.accept().unwrap();
    peer.read_exact(&mut [0; 4 * (4 + 64)]).unwrap();
    // By now it sends no more. It is held up for longer than it waits for replies, and then for its
    // threads.
    assert!(!running.ends_within(Duration::from_millis(100)));
    running.signal(Signal::STOP);
    assert!(!running.ends_within(Duration::from_millis(1800)));
    running.signal(Signal::CONT);
    let ended = running.end();
    assert_eq!(ledger(&ended), (4, vec![("lost (timed out)".to_owned(), 4)]));
    assert_eq!(ended.code, Some(1), "{ended:?}");
}
