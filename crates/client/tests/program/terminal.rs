//! A terminal for the program: a pseudo-terminal and the screen that a person would see.

use std::num::NonZero;
use std::os::fd::AsFd;
use std::time::Duration;

use pty_process::{Command, Pty, Size};
use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{LocalModes, tcgetattr};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Child;
use tokio::time::timeout;
use vt100::Parser;

/// How long the program may say nothing: less than a test may take, so that the screen is shown.
const PATIENCE: Duration = Duration::from_secs(20);

const ROWS: NonZero<u16> = NonZero::new(24).unwrap();
const COLUMNS: NonZero<u16> = NonZero::new(100).unwrap();

/// The program on a terminal of its own, with an empty home.
pub(crate) struct Terminal {
    pub(crate) child: Child,
    pty: Pty,
    screen: Parser,
}

impl Terminal {
    /// Starts the program with these arguments; `home` is where it keeps what it remembers.
    pub(crate) fn start(home: &TempDir, arguments: &[&str]) -> Self {
        Self::start_as(home, arguments, |command| command)
    }

    /// The same, with something changed.
    pub(crate) fn start_as(
        home: &TempDir,
        arguments: &[&str],
        change: impl FnOnce(Command) -> Command,
    ) -> Self {
        let (pty, pts) = pty_process::open().unwrap();
        pty.resize(Size::new(ROWS.get(), COLUMNS.get())).unwrap();
        let command = Command::new(env!("CARGO_BIN_EXE_volley")).args(arguments);
        let command = command.env("HOME", home.path()).env("TERM", "xterm");
        let command = command.env_remove("VOLLEY_TO").env_remove("XDG_STATE_HOME");
        let child = change(command).kill_on_drop(true).spawn(pts).unwrap();
        Self { child, pty, screen: Parser::new(ROWS, COLUMNS, 0) }
    }

    /// Types a line once the prompt is there.
    pub(crate) async fn line(&mut self, line: &str) {
        self.until_at("> ").await;
        self.keys(&format!("{line}\r")).await;
    }

    /// Types these bytes.
    pub(crate) async fn keys(&mut self, keys: &str) {
        self.pty.write_all(keys.as_bytes()).await.unwrap();
    }

    /// Awaits a screen on which this text stands.
    pub(crate) async fn until_shown(&mut self, text: &str) {
        while !self.shown().contains(text) {
            assert!(self.read().await, "the program has ended:\n{}", self.shown());
        }
    }

    /// Awaits a cursor behind this text.
    pub(crate) async fn until_at(&mut self, text: &str) {
        loop {
            let screen = self.screen.screen();
            let (row, column) = screen.cursor_position();
            let line = screen.rows(0, COLUMNS.get()).nth(row.into()).unwrap();
            let is_behind = usize::from(column) == text.chars().count();
            if line.trim_end() == text.trim_end() && is_behind {
                return;
            }
            assert!(self.read().await, "the program has ended:\n{}", self.shown());
        }
    }

    /// What stands on the screen.
    pub(crate) fn shown(&self) -> String {
        self.screen.screen().contents()
    }

    /// Whether the terminal is in the state in which a shell leaves it to a program: lines are
    /// edited, and echoed, by the terminal itself.
    pub(crate) fn is_as_it_was(&self) -> bool {
        let modes = tcgetattr(self.pty.as_fd()).unwrap().local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().unwrap().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Awaits the end: the exit code.
    pub(crate) async fn end(&mut self) -> Option<i32> {
        while self.read().await {}
        self.child.wait().await.unwrap().code()
    }

    /// Ends the input at the prompt: the exit code.
    pub(crate) async fn leave(&mut self) -> Option<i32> {
        self.until_at("> ").await;
        self.keys("\x04").await;
        self.end().await
    }

    /// Reads what the program writes; false when it has ended.
    async fn read(&mut self) -> bool {
        let mut bytes = [0; 4096];
        // Linux tells of the end of a terminal as an error (EIO).
        match timeout(PATIENCE, self.pty.read(&mut bytes)).await {
            Err(_) => panic!("the program says no more:\n{}", self.shown()),
            Ok(Ok(0) | Err(_)) => false,
            Ok(Ok(n)) => {
                self.screen.process(&bytes[..n]);
                true
            }
        }
    }
}
