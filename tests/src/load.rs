//! The load tester against a daemon, and what its report says.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr};

use crate::{program, within};

/// A running `volley-load`.
#[derive(Debug)]
pub struct Load {
    child: Child,
    stderr: BufReader<ChildStderr>,
}

/// The report of one that has ended.
#[derive(Debug)]
pub struct Report {
    /// Its exit code.
    pub code: Option<i32>,
    report: Value,
}

impl Load {
    /// Starts it with this target and these further arguments.
    ///
    /// # Panics
    ///
    /// When it can't be started.
    pub fn start(endpoint: &str, arguments: &[&str]) -> Self {
        let mut command = program("volley-load");
        command.args(["run", "--to", endpoint, "--json", "-"]).args(arguments);
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self { child, stderr }
    }

    /// Runs one that comes back whole. Returns how many frames it had.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub async fn whole(endpoint: &str, arguments: &[&str]) -> u64 {
        let arguments = [&["-q", "--timeout", "30s"], arguments].concat();
        let report = Self::start(endpoint, &arguments).end().await;
        assert_eq!((report.code, report.problems()), (Some(0), vec![]), "{report:?}");
        let sent = report.number("/run/ledger/sent");
        assert_eq!(report.number("/run/ledger/ok"), sent, "{report:?}");
        sent
    }

    /// Waits until it has sent frames for a while: for its first line.
    ///
    /// # Panics
    ///
    /// When it ends before.
    pub async fn is_running(&mut self) {
        let mut line = String::new();
        within(self.stderr.read_line(&mut line)).await.unwrap();
        assert!(line.starts_with("volley-load: ") && line.contains(" frames/s"), "{line}");
    }

    /// Has it end its run, as Ctrl-C does.
    ///
    /// # Panics
    ///
    /// When it has ended already.
    pub fn interrupt(&self) {
        let pid = self.child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        kill_process(pid.unwrap(), Signal::INT).unwrap();
    }

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// When it does not end, or without a report.
    pub async fn end(self) -> Report {
        let Self { child, mut stderr } = self;
        let talk = async {
            let mut line = String::new();
            while stderr.read_line(&mut line).await.is_ok_and(|len| len > 0) {}
            line
        };
        let (ended, talk) = within(async { tokio::join!(child.wait_with_output(), talk) }).await;
        let ended = ended.unwrap();
        let report = serde_json::from_slice(&ended.stdout);
        let report = report.unwrap_or_else(|error| panic!("no report: {error}: {talk}"));
        Report { code: ended.status.code(), report }
    }
}

impl Report {
    /// The number at this place.
    ///
    /// # Panics
    ///
    /// When none is there.
    pub fn number(&self, place: &str) -> u64 {
        self.value(place).as_u64().expect(place)
    }

    /// What is at this place.
    ///
    /// # Panics
    ///
    /// When nothing is there.
    pub fn value(&self, place: &str) -> &Value {
        self.report.pointer(place).expect(place)
    }

    /// What went wrong with connections, each with how often.
    ///
    /// # Panics
    ///
    /// When the report has no such list.
    pub fn problems(&self) -> Vec<(&str, u64)> {
        let problems = self.value("/problems").as_array().unwrap();
        problems
            .iter()
            .map(|problem| (problem["what"].as_str().unwrap(), problem["count"].as_u64().unwrap()))
            .collect()
    }
}
