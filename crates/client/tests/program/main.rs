//! The program as a user runs it, against servers that a test scripts.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, also in what it calls")]
#![expect(clippy::expect_used, reason = "a test that panics has failed, also in what it calls")]

mod bad_servers;
mod checks;
mod datagrams;
mod exits;
mod formats;
mod input;
mod limits;
mod output;
mod ping;
mod proxy_header;
mod raw;
mod retry;
mod script;
#[path = "../scripted/mod.rs"]
mod scripted;
mod shell;
mod signals;
mod stdin;
mod terminal;
mod tls;
#[path = "../scripted/tls.rs"]
mod tls_server;
mod unix;
mod wait;

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use volley_proto::Endpoint;

use scripted::within;

/// The program without arguments; it dies with the value that it is spawned as.
fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_volley"));
    command.env_remove("VOLLEY_TO").kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// `volley send`, with a timeout that nothing comes near.
fn send(to: &Endpoint) -> Command {
    send_within("25s", to)
}

fn send_within(timeout: &str, to: &Endpoint) -> Command {
    let mut command = program();
    command.args(["send", "--timeout", timeout, "--to", &to.to_string()]);
    command
}

/// What is left of a program that has ended.
#[derive(Debug)]
struct Ended {
    /// `None` if a signal killed it.
    code: Option<i32>,
    stdout: Vec<u8>,
    stderr: String,
}

impl Ended {
    /// Ended well: this on stdout and nothing on stderr.
    #[track_caller]
    fn printed(&self, stdout: impl AsRef<[u8]>) {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""));
        assert_eq!(
            self.stdout.escape_ascii().to_string(),
            stdout.as_ref().escape_ascii().to_string()
        );
    }

    /// Ended with this code, nothing on stdout and this message on stderr, which says whose it is.
    #[track_caller]
    fn failed(&self, code: i32, message: &str) {
        self.failed_after("", code, message);
    }

    /// As `failed`, after this on stdout.
    #[track_caller]
    fn failed_after(&self, stdout: impl AsRef<[u8]>, code: i32, message: &str) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(
            self.stdout.escape_ascii().to_string(),
            stdout.as_ref().escape_ascii().to_string()
        );
        assert_eq!(self.stderr, format!("volley: {message}\n"));
    }
}

/// Runs the program to its end with no input.
async fn run(command: &mut Command) -> Ended {
    // `Command::output` would put pipes in place of what a test has chosen.
    let output = command.spawn().unwrap().wait_with_output().await.unwrap();
    let stderr = patiently(String::from_utf8(output.stderr).unwrap());
    Ended { code: output.status.code(), stdout: output.stdout, stderr }
}

/// Runs the program to its end with this input.
async fn run_with(command: &mut Command, input: &[u8]) -> Ended {
    let mut running = Running::start(command);
    let mut stdin = running.stdin.take().unwrap();
    let write = async {
        // It may end without reading all.
        let _ = stdin.write_all(input).await;
        drop(stdin);
    };
    tokio::join!(write, running.end()).1
}

/// The program with its three streams in a test's hands.
struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdin, stdout }
    }

    async fn type_line(&mut self, line: &str) {
        self.write(format!("{line}\n").as_bytes()).await;
    }

    async fn write(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().unwrap().write_all(bytes).await.unwrap();
    }

    /// The next line of stdout without its newline.
    async fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).await.unwrap();
        assert_eq!(line.pop(), Some('\n'), "stdout ended");
        line
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().unwrap().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Awaits the end, and what is still on stdout.
    async fn end(mut self) -> Ended {
        let (mut stdout, mut stderr) = (Vec::new(), String::new());
        let mut errors = self.child.stderr.take().unwrap();
        let (status, out, err) = tokio::join!(
            self.child.wait(),
            self.stdout.read_to_end(&mut stdout),
            errors.read_to_string(&mut stderr)
        );
        out.unwrap();
        err.unwrap();
        Ended { code: status.unwrap().code(), stdout, stderr: patiently(stderr) }
    }
}

/// What the program says first, of a server that accepts it and does nothing else.
async fn told_in_vain(command: &mut Command, listener: &TcpListener) -> String {
    within(async {
        let mut child = command.spawn().unwrap();
        let (_accepted, _) = listener.accept().await.unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).await.unwrap();
        line
    })
    .await
}

/// What is told but for a connection that takes long, which on a busy machine any may.
fn patiently(stderr: String) -> String {
    match stderr.split_once('\n') {
        Some((first, rest)) if first.starts_with("volley: connecting to ") => rest.to_owned(),
        _ => stderr,
    }
}
