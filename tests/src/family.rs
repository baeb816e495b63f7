//! A daemon and the processes that take its place one after the other.

use std::process::ExitStatus;

use rustix::process::{Pid, Signal, getpid, kill_process, kill_process_group, set_child_subreaper};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout};

use crate::log::Log;
use crate::{program, within};

/// Daemons that share a log. Dropped, all are killed.
#[derive(Debug)]
pub struct Family {
    eldest: Child,
    /// The one that accepts.
    current: Pid,
    // A pipe without a reader is no matter to a daemon, but the others would not know it.
    _stdout: BufReader<ChildStdout>,
    log: Log,
    /// The endpoint that it says it listens on.
    pub endpoint: String,
}

/// What daemons have told of themselves when they ended, added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Books {
    /// How many daemons told it.
    pub daemons: u64,
    /// Connections that were served.
    pub accepted: u64,
    /// Those that were turned away.
    pub refused: u64,
    /// Frames that arrived.
    pub received: u64,
    /// Frames whose reply was sent.
    pub answered: u64,
}

impl Family {
    /// Starts the first on a free port, with these further arguments, and awaits its `listening`
    /// line.
    ///
    /// # Panics
    ///
    /// When it does not say that it listens.
    pub async fn start(arguments: &[&str]) -> Self {
        Self::start_at("127.0.0.1:0", arguments).await
    }

    /// As [`start`](Self::start), at this endpoint.
    ///
    /// # Panics
    ///
    /// When it does not say that it listens.
    pub async fn start_at(endpoint: &str, arguments: &[&str]) -> Self {
        // Those whose parent has gone are this process's children then, and no zombies of another.
        set_child_subreaper(Some(getpid())).unwrap();
        let mut command = program("volleyd");
        command.args(["--listen", endpoint]).args(arguments).process_group(0);
        let mut eldest = command.spawn().unwrap();
        let current = pid(eldest.id().unwrap());
        let log = Log::of(eldest.stderr.take().unwrap());
        let mut stdout = BufReader::new(eldest.stdout.take().unwrap());
        let mut line = String::new();
        within(stdout.read_line(&mut line)).await.unwrap();
        let endpoint = line.strip_prefix("listening ").expect(&line).trim_end().to_owned();
        Self { eldest, current, _stdout: stdout, log, endpoint }
    }

    /// Has a new process take over, and awaits that.
    ///
    /// # Panics
    ///
    /// When none does.
    pub async fn swap(&mut self) {
        kill_process(self.current, Signal::USR2).unwrap();
        let line = self.wait_for("handed over to a new process").await;
        let (_, successor) = line.rsplit_once("pid=").expect(&line);
        self.current = pid(successor.trim().parse().unwrap());
    }

    /// Awaits the next line of the log that contains `part`.
    ///
    /// # Panics
    ///
    /// When none comes.
    pub async fn wait_for(&mut self, part: &str) -> String {
        self.log.wait_for(part).await
    }

    /// Asks the one that accepts to stop.
    ///
    /// # Panics
    ///
    /// When it has ended already.
    pub fn terminate(&self) {
        kill_process(self.current, Signal::TERM).unwrap();
    }

    /// Awaits the end of the first one.
    ///
    /// # Panics
    ///
    /// When it does not end.
    pub async fn eldest_ends(&mut self) -> ExitStatus {
        within(self.eldest.wait()).await.unwrap()
    }

    /// Awaits the end of all. Returns their books and their log.
    ///
    /// # Panics
    ///
    /// When one does not end, or its books can't be read.
    pub async fn end(mut self) -> (Books, Vec<String>) {
        let log = self.log.end().await;
        let mut books = Books::default();
        for line in log.iter().filter(|line| line.contains(" done accepted=")) {
            books.daemons += 1;
            books.accepted += field(line, "accepted");
            books.refused += field(line, "refused");
            books.received += field(line, "frames_received");
            books.answered += field(line, "frames_answered");
        }
        (books, log)
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        // All may have ended.
        if let Some(group) = self.eldest.id() {
            let _ = kill_process_group(pid(group), Signal::KILL);
        }
        let _ = kill_process(self.current, Signal::KILL);
    }
}

/// The number behind ` name=` in a line of the log.
///
/// # Panics
///
/// When there is none.
pub fn field(line: &str, name: &str) -> u64 {
    let (_, value) = line.split_once(&format!(" {name}=")).expect(line);
    value.split_whitespace().next().unwrap().parse().unwrap()
}

/// Fails unless so many `frames` or `datagrams` were received, and answered, by the books of a
/// daemon.
///
/// # Panics
///
/// When they weren't.
#[track_caller]
pub fn all_answered(books: &str, of: &str, count: u64) {
    let done = ["received", "answered"].map(|done| field(books, &format!("{of}_{done}")));
    assert_eq!(done, [count; 2], "{books}");
}

fn pid(number: u32) -> Pid {
    Pid::from_raw(number.try_into().unwrap()).unwrap()
}
