//! Runs the raw echo as the `load` mode does, and holds it to its count.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, in its helpers too")]

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take before the test fails.
const LIMIT: Duration = Duration::from_secs(10);

struct Echo {
    process: Child,
    lines: Receiver<String>,
    address: String,
}

impl Echo {
    fn start(arguments: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_volley-bench"))
            .arg("raw-echo")
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let (send, lines) = channel();
        thread::spawn(move || stdout.lines().try_for_each(|line| send.send(line.unwrap())));
        let mut echo = Self { process, lines, address: String::new() };
        echo.address = echo.line().strip_prefix("listening tcp://").unwrap().to_owned();
        echo
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(LIMIT).unwrap()
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream
    }

    /// Sends SIGTERM.
    fn ask_to_end(&self) {
        kill_process(Pid::from_child(&self.process), Signal::TERM).unwrap();
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Sends bytes, and gets as many back.
fn exchange(stream: &mut TcpStream, len: usize) {
    stream.write_all(&vec![b'x'; len]).unwrap();
    stream.read_exact(&mut vec![0; len]).unwrap();
}

/// The bytes and the nanoseconds in its last line.
fn figures(line: &str) -> (u64, u64) {
    let words: Vec<&str> = line.split(' ').collect();
    let ["received", bytes, "bytes", "in", nanoseconds, "ns"] = words[..] else { panic!("{line}") };
    (bytes.parse().unwrap(), nanoseconds.parse().unwrap())
}

#[test]
fn tells_at_sigterm_what_it_received_and_for_how_long() {
    let mut echo = Echo::start(&[]);
    let (mut one, mut two) = (echo.connect(), echo.connect());
    exchange(&mut one, 100);
    assert_eq!(echo.line(), "receiving");
    exchange(&mut two, 1_000_000);
    drop(one);
    echo.ask_to_end();
    let (bytes, nanoseconds) = figures(&echo.line());
    assert_eq!(bytes, 1_000_100);
    assert!(nanoseconds > 0);
    assert!(echo.process.wait().unwrap().success());
}

#[test]
fn says_so_when_it_received_nothing() {
    let echo = Echo::start(&[]);
    drop(echo.connect());
    echo.ask_to_end();
    assert_eq!(echo.line(), "received 0 bytes in 0 ns");
}

#[test]
fn does_not_count_connections_that_come_before_the_load() {
    let echo = Echo::start(&["--uncounted", "2"]);
    for _ in 0..2 {
        // The next one gets its place among the connections.
        exchange(&mut echo.connect(), 5);
    }
    let mut counted = echo.connect();
    exchange(&mut counted, 70);
    assert_eq!(echo.line(), "receiving");
    echo.ask_to_end();
    assert_eq!(figures(&echo.line()).0, 70);
}

#[test]
fn ends_though_a_peer_does_not_read() {
    let echo = Echo::start(&[]);
    let mut deaf = echo.connect();
    deaf.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut sent = 0;
    let stuck = loop {
        match deaf.write(&[b'x'; 64 << 10]) {
            Ok(len) => sent += len as u64,
            Err(error) => break error,
        }
    };
    assert_eq!(stuck.kind(), ErrorKind::WouldBlock);
    assert_eq!(echo.line(), "receiving");
    echo.ask_to_end();
    let (bytes, _) = figures(&echo.line());
    assert!((1..=sent).contains(&bytes), "{bytes} of {sent}");
}
