//! The program as a user runs it: what it prints, and how it exits.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, also in what it calls")]
#![expect(clippy::expect_used, reason = "a test that panics has failed, also in what it calls")]

mod connections;
mod faults;
mod machine;
mod passes;
mod raw;
mod refusals;
#[path = "../scripted/mod.rs"]
mod scripted;
mod signals;
mod streams;
mod tls;

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use scripted::Server;

/// No test comes near it; a hang ends here.
const LIMIT: Duration = Duration::from_secs(60);

const PROGRAM: &str = env!("CARGO_BIN_EXE_volley-load");

/// How a program ended, and what it wrote.
#[derive(Debug)]
struct Ended {
    /// `None` if a signal killed it.
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// The program with these arguments, split at spaces, and nothing on stderr while it runs.
fn load(arguments: &str) -> Command {
    through(&[], arguments)
}

/// The program, run by another one that becomes it in the end.
fn through(other: &[&str], arguments: &str) -> Command {
    let mut words = other.iter().copied().chain([PROGRAM]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words).args(arguments.split_whitespace()).arg("--quiet").stdin(Stdio::null());
    command
}

/// The program against a server.
fn load_to(server: &Server, arguments: &str) -> Command {
    load(&format!("--to {} {arguments}", server.endpoint()))
}

/// Runs it to its end.
fn run(mut command: Command) -> Ended {
    Running::start(&mut command).end()
}

/// The program while it runs. Dropped, it is killed.
#[derive(Debug)]
struct Running {
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = whole(child.stdout.take().unwrap());
        let stderr = whole(child.stderr.take().unwrap());
        Self { child, stdout, stderr }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Whether it ends within this time.
    fn ends_within(&mut self, time: Duration) -> bool {
        match self.stderr.recv_timeout(time) {
            Ok(stderr) => {
                // For `end`.
                let (tell, told) = mpsc::channel();
                tell.send(stderr).unwrap();
                self.stderr = told;
                true
            }
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => panic!("its stderr was no text"),
        }
    }

    fn end(mut self) -> Ended {
        let stderr = self.stderr.recv_timeout(LIMIT).expect("it ends, and writes text");
        let stdout = self.stdout.recv_timeout(LIMIT).expect("it writes text");
        Ended { code: self.child.wait().unwrap().code(), stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended, and been waited for, already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All of a stream, as soon as it ends.
fn whole(mut stream: impl Read + Send + 'static) -> Receiver<String> {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let mut text = String::new();
        if stream.read_to_string(&mut text).is_ok() {
            // A test that has failed listens no more.
            let _ = tell.send(text);
        }
    });
    told
}

/// Waits until so many frames have come to a server.
fn await_frames(server: &Server, frames: u64) {
    let deadline = Instant::now() + LIMIT;
    while server.count().received() < frames {
        assert!(Instant::now() < deadline, "no {frames} frames come: {:?}", server.count());
        thread::sleep(Duration::from_millis(1));
    }
}

/// The line of a report that begins with this word, without it.
#[track_caller]
fn line<'a>(ended: &'a Ended, word: &str) -> &'a str {
    let of_word = |line: &'a str| line.strip_prefix(word).filter(|rest| rest.starts_with(' '));
    let mut lines = ended.stdout.lines().filter_map(of_word);
    lines.next().unwrap_or_else(|| panic!("no {word}: {ended:?}")).trim_start()
}

/// The columns of a report's ledger that are not 0, which must add up to the frames that were sent:
/// these come first.
#[track_caller]
fn ledger(ended: &Ended) -> (u64, Vec<(String, u64)>) {
    let ledger = line(ended, "ledger").replace(',', "");
    let (sent, columns) = ledger.split_once(" sent = ").unwrap();
    let column = |column: &str| {
        let (frames, name) = column.split_once(' ').unwrap();
        (name.to_owned(), frames.parse().unwrap())
    };
    let columns: Vec<(String, u64)> = columns.split(" + ").map(column).collect();
    let sent = sent.parse().unwrap();
    assert_eq!(columns.iter().map(|(_, frames)| frames).sum::<u64>(), sent, "{ended:?}");
    assert!(!ended.stdout.contains("THE LEDGER IS OFF"), "{ended:?}");
    (sent, columns.into_iter().filter(|(_, frames)| *frames > 0).collect())
}

/// It exited with this code, printed no report, and told why.
#[track_caller]
fn refused(ended: &Ended, code: i32) -> &str {
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(code), ""), "{ended:?}");
    ended.stderr.strip_prefix("volley-load: ").unwrap_or_else(|| panic!("{ended:?}")).trim_end()
}
