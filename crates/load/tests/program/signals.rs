//! Ended from outside.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::scripted::{Script, Server};
use crate::{Ended, LIMIT, PROGRAM, Running, await_frames, ledger, line, load, load_to};

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
fn who_waits_for_a_silent_server_is_told_how_long_and_how_to_end_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap().to_string();
    let mut command = Command::new(PROGRAM);
    command.args(["--to", &to, "--no-hello", "-c", "1", "-d", "1h", "--timeout", "1h"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let (tell, told) = mpsc::channel();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    thread::spawn(move || stderr.lines().try_for_each(|line| tell.send(line.unwrap())));
    let [stdout, stderr] = [(); 2].map(|()| mpsc::channel().1);
    let mut running = Running { child, stdout, stderr };
    let (mut peer, _) = listener.accept().unwrap();
    peer.read_exact(&mut [0; 1]).unwrap();
    running.signal(Signal::INT);
    let how = ", awaiting the last replies for up to 1h; Ctrl-C ends at once: ";
    while !told.recv_timeout(LIMIT).unwrap().contains(how) {}
    running.signal(Signal::INT);
    let last = told.into_iter().last().unwrap();
    assert_eq!(last, "volley-load: stopped at once, without waiting for replies");
    assert_eq!(running.child.wait().unwrap().code(), Some(130));
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
