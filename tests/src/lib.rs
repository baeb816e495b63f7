//! What the tests across the crates share: the programs, and a limit on every wait. The tests
//! themselves are in `tests/`.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, also in what it calls")]
#![expect(clippy::expect_used, reason = "a test that panics has failed, also in what it calls")]

mod admin;
mod family;
pub mod http;
mod load;
mod log;
mod openmetrics;

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

pub use admin::Admin;
pub use family::{Books, Family, all_answered, field};
pub use load::{Load, Report};
pub use log::Log;
pub use openmetrics::Metrics;

/// No test comes near it; a hang ends here.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Whether to test at full size: `VOLLEY_FULL=1`. That takes minutes, and both cores of a small
/// machine.
pub fn is_full() -> bool {
    std::env::var_os("VOLLEY_FULL").is_some_and(|value| value == "1")
}

/// Awaits `work`.
///
/// # Panics
///
/// When it takes longer than [`LIMIT`].
pub async fn within<F: Future>(work: F) -> F::Output {
    timeout(LIMIT, work).await.expect("the test hangs")
}

/// A program of this workspace, to be run: `volley`, `volleyd` or `volley-load`. It dies with the
/// value that it is spawned as.
///
/// # Panics
///
/// When it has not been built.
pub fn program(name: &str) -> Command {
    let test = std::env::current_exe().unwrap();
    // target/<profile>/deps/<test>
    let profile = test.parent().and_then(|deps| deps.parent()).unwrap();
    let path: PathBuf = profile.join(name).with_extension(std::env::consts::EXE_EXTENSION);
    assert!(path.exists(), "{} is missing: run `cargo build --workspace` first", path.display());
    let mut command = Command::new(path);
    for name in ["VOLLEY_TO", "RUST_LOG", "NOTIFY_SOCKET", "LISTEN_FDS"] {
        command.env_remove(name);
    }
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("VOLLEYD_") {
            command.env_remove(name);
        }
    }
    command.kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Whether no program of this name is on PATH; then it tells that its test is skipped. It is not run
/// for that: some take a while to start.
#[expect(clippy::print_stdout, reason = "a test that is skipped says so")]
pub fn is_missing(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    if !is_there {
        println!("skipped: {program} is not installed");
    }
    !is_there
}

/// How a program ended and what it wrote.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; `None` if a signal killed it.
    pub code: Option<i32>,
    /// Its stdout, or what had not been read of it.
    pub stdout: Vec<u8>,
    /// Its stderr.
    pub stderr: String,
}

/// Runs a program to its end with this input.
///
/// # Panics
///
/// When it can't be run or does not end.
pub async fn run(command: &mut Command, input: &[u8]) -> Ended {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let write = async {
        // It may end without reading all.
        let _ = stdin.write_all(input).await;
        drop(stdin);
    };
    let ((), output) = within(async { tokio::join!(write, child.wait_with_output()) }).await;
    let output = output.unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Ended { code: output.status.code(), stdout: output.stdout, stderr }
}

/// `volley send` to this endpoint.
///
/// # Panics
///
/// When it can't be run or does not end.
pub async fn send(to: &str, arguments: &[&str], input: &[u8]) -> Ended {
    let mut command = program("volley");
    command.args(["send", "--timeout", "30s", "--to", to]).args(arguments);
    let mut ended = run(&mut command, input).await;
    // On a busy machine any connection may take so long that it is told.
    if let Some((first, rest)) = ended.stderr.split_once('\n')
        && first.starts_with("volley: connecting to ")
    {
        ended.stderr = rest.to_owned();
    }
    ended
}

impl Ended {
    /// What it printed, if all is well and it told nothing.
    ///
    /// # Panics
    ///
    /// When that is not so.
    #[track_caller]
    pub fn printed(&self) -> &str {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{self:?}");
        std::str::from_utf8(&self.stdout).unwrap()
    }
}

/// How often a condition is looked at of which nobody tells.
const GLANCE: Duration = Duration::from_millis(10);

/// Waits until this holds.
///
/// # Panics
///
/// When it takes longer than [`LIMIT`].
pub async fn until(mut holds: impl FnMut() -> bool) {
    within(async {
        while !holds() {
            sleep(GLANCE).await;
        }
    })
    .await;
}

/// A running `volleyd`. When it is asked to stop, or dropped, its books must balance.
#[derive(Debug)]
pub struct Daemon {
    books: BooksCheck,
    child: Child,
    stdout: BufReader<ChildStdout>,
    log: JoinHandle<String>,
    /// The endpoint that it says it listens on.
    pub endpoint: String,
}

impl Daemon {
    /// Starts it on free ports, with these further arguments, and awaits its lines on stdout.
    ///
    /// # Panics
    ///
    /// When it does not say that it listens.
    pub async fn start(arguments: &[&str]) -> Self {
        Self::start_at("127.0.0.1:0", arguments).await
    }

    /// As [`start`](Self::start), with frames at this endpoint.
    ///
    /// # Panics
    ///
    /// When it does not say that it listens.
    pub async fn start_at(endpoint: &str, arguments: &[&str]) -> Self {
        let mut command = program("volleyd");
        command.args(["--listen", endpoint, "--admin", "127.0.0.1:0"]).args(arguments);
        let mut child = command.spawn().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let log = tokio::spawn(async move {
            let mut log = String::new();
            stderr.read_to_string(&mut log).await.unwrap();
            log
        });
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = async |of: &str| {
            let mut line = String::new();
            within(stdout.read_line(&mut line)).await.unwrap();
            line.strip_prefix(of).expect(&line).trim_end().to_owned()
        };
        let endpoint = line("listening ").await;
        let admin = Admin::at(&line("admin ").await);
        Self { books: BooksCheck { admin, has_ended: false }, child, stdout, log, endpoint }
    }

    /// Its admin listener.
    pub fn admin(&self) -> &Admin {
        &self.books.admin
    }

    /// Asks it to stop, as a service manager does.
    ///
    /// # Panics
    ///
    /// When it has ended already, or its books don't balance.
    pub fn terminate(&self) {
        self.admin().check_books();
        kill_process(self.process().0, Signal::TERM).unwrap();
    }

    /// Its process, to be held up.
    ///
    /// # Panics
    ///
    /// When it has ended already.
    pub fn process(&self) -> Process {
        let pid = self.child.id().expect("volleyd has ended").try_into().unwrap();
        Process(Pid::from_raw(pid).unwrap())
    }

    /// Awaits its end: the exit code, and what is still on its stdout.
    ///
    /// # Panics
    ///
    /// When it does not end.
    pub async fn end(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        within(self.stdout.read_to_string(&mut rest)).await.unwrap();
        let status = within(self.child.wait()).await.unwrap();
        self.books.has_ended = true;
        (status.code(), rest)
    }

    /// Ends it as [`Daemon::terminate`] does. Returns the last line of its log: its books.
    ///
    /// # Panics
    ///
    /// When it does not end, or not well.
    pub async fn books(self) -> String {
        self.log().await.lines().last().unwrap().to_owned()
    }

    /// Ends it as [`Daemon::terminate`] does. Returns its log.
    ///
    /// # Panics
    ///
    /// When it does not end, or not well.
    pub async fn log(mut self) -> String {
        self.terminate();
        let log = within(self.log).await.unwrap();
        assert_eq!(within(self.child.wait()).await.unwrap().code(), Some(0), "{log}");
        self.books.has_ended = true;
        log
    }
}

/// Checks the books of a daemon that still runs at the end of its test.
#[derive(Debug)]
struct BooksCheck {
    admin: Admin,
    has_ended: bool,
}

impl Drop for BooksCheck {
    fn drop(&mut self) {
        if !self.has_ended && !std::thread::panicking() {
            self.admin.check_books_if_alive();
        }
    }
}

/// A process that can be held up, and killed.
#[derive(Clone, Copy, Debug)]
pub struct Process(Pid);

impl Process {
    /// Holds it up. None of its threads runs any more when this returns.
    ///
    /// # Panics
    ///
    /// When it has ended.
    pub fn pause(self) {
        kill_process(self.0, Signal::STOP).unwrap();
        let (_, status) = waitpid(Some(self.0), WaitOptions::UNTRACED).unwrap().unwrap();
        assert!(status.stopped(), "{status:?}");
    }

    /// Kills it as it is, without a chance to say anything.
    ///
    /// # Panics
    ///
    /// When it has ended.
    pub fn kill(self) {
        kill_process(self.0, Signal::KILL).unwrap();
    }

    /// Lets it go on.
    ///
    /// # Panics
    ///
    /// When it has ended.
    pub fn resume(self) {
        kill_process(self.0, Signal::CONT).unwrap();
    }
}
