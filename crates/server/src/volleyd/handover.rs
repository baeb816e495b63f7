//! The handover: a new process takes the place of this one without refusing a connection. Both
//! hold the listening sockets, so connections that come meanwhile wait for whichever accepts.
//!
//! ```text
//!   old                                     new
//!    |-- starts it with its sockets --------->|
//!    |   and one end of a stream              | reads its configuration, listens
//!    |<-------------------------------- READY |
//!    | says to the service manager whose      |
//!    | place it is, and closes the stream --->|
//!    | drains, and leaves what has not        | says to the service manager that it is ready
//!    | been accepted                          |
//! ```
//!
//! If the new one fails, the old one has lost nothing and goes on.

mod predecessor;
mod program;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::process::Child;
use tokio::time::{Instant, timeout_at};

pub(crate) use predecessor::Predecessor;
pub(crate) use program::Program;

/// What the new process says when it can take over.
const READY: &[u8] = b"READY\n";

/// How long a new process may take until then: to read files and to look up names. Meanwhile the
/// old one serves, so there is no hurry.
pub(crate) const LONGEST_START: Duration = Duration::from_secs(30);

/// A listening socket that the new process gets.
#[derive(Debug)]
pub(crate) struct Heirloom {
    /// Under which it is passed; see [`inherit`](crate::inherit).
    pub(crate) name: String,
    pub(crate) socket: OwnedFd,
}

/// Why this process goes on serving.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandoverError {
    #[error("cannot start {}: {source}", program.display())]
    Start { program: PathBuf, source: io::Error },
    #[error("the new process {} before it was ready", ended(*status))]
    Ended { status: ExitStatus },
    #[error("the new process was not ready within {0:?}, and was killed")]
    Silent(Duration),
    #[error("the new process cannot be watched: {0}")]
    Watch(#[source] io::Error),
}

/// A new process that is going to take the place of this one. Dropped before it is ready, it is
/// killed.
#[derive(Debug)]
pub(crate) struct Successor {
    child: Child,
    stream: UnixStream,
    limit: Duration,
    deadline: Instant,
    /// What it has said so far.
    said: Vec<u8>,
    has_taken_over: bool,
}

impl Successor {
    /// The number of its process.
    pub(crate) fn pid(&self) -> u32 {
        // It has none only when it has been waited for.
        self.child.id().unwrap_or_default()
    }

    const fn new(child: Child, stream: UnixStream, limit: Duration, deadline: Instant) -> Self {
        Self { child, stream, limit, deadline, said: Vec::new(), has_taken_over: false }
    }

    /// Waits until it says that it is ready. If it does not, it has ended when this returns. Cancel
    /// safe: it can be called again.
    pub(crate) async fn ready(&mut self) -> Result<(), HandoverError> {
        let hear = async {
            // Its end closes when it exits.
            while self.stream.read_buf(&mut self.said).await.is_ok_and(|len| len > 0) {
                if self.said == READY {
                    return Ok(());
                }
            }
            let status = self.child.wait().await.map_err(HandoverError::Watch)?;
            Err(HandoverError::Ended { status })
        };
        match timeout_at(self.deadline, hear).await {
            Ok(heard) => heard,
            Err(_) => {
                self.kill().await;
                Err(HandoverError::Silent(self.limit))
            }
        }
    }

    /// Ends it.
    pub(crate) async fn kill(&mut self) {
        // It may have exited already.
        let _ = self.child.kill().await;
    }

    /// Lets it have the place: it says to the service manager that it is ready, and lives on.
    pub(crate) fn take_over(mut self) {
        self.has_taken_over = true;
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if !self.has_taken_over {
            // It may have exited already.
            let _ = self.child.start_kill();
        }
    }
}

/// How a process ended: `exited with code 78`, `was ended by signal 9`.
fn ended(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => status.to_string(),
    }
}
