//! A process that is stopped for a while, so that what comes for it waits.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// How long the kernel may take to stop a process.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// Goes on when this is dropped.
#[derive(Debug)]
pub(crate) struct Stopped(Pid);

impl Stopped {
    /// Stops a process, and waits until it is stopped.
    ///
    /// # Errors
    ///
    /// When there is no such process, or it has ended.
    pub(crate) fn stop(process: u32) -> Result<Self> {
        let pid = i32::try_from(process).ok().and_then(Pid::from_raw);
        let pid = pid.with_context(|| format!("{process} is no process"))?;
        kill_process(pid, Signal::STOP).context("cannot stop the server")?;
        let stopped = Self(pid);
        let deadline = Instant::now() + STOP_WITHIN;
        while !is_stopped(&fs::read_to_string(format!("/proc/{process}/stat"))?)? {
            ensure!(Instant::now() < deadline, "the server is not stopped within {STOP_WITHIN:?}");
            std::thread::yield_now();
        }
        Ok(stopped)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // It fails only when the process has ended.
        let _ = kill_process(self.0, Signal::CONT);
    }
}

/// Whether `/proc/PID/stat` tells of a stopped process: the state follows the name, which stands in
/// parentheses and may hold anything (proc_pid_stat(5)).
fn is_stopped(stat: &str) -> Result<bool> {
    let (_, rest) = stat.rsplit_once(')').context("no such process")?;
    let state = rest.trim_start().chars().next().unwrap_or_default();
    ensure!(!matches!(state, 'Z' | 'X'), "the server has ended");
    Ok(state == 'T')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_behind_the_name() {
        assert!(is_stopped("7 (volleyd) T 1 7").unwrap());
        assert!(!is_stopped("7 (a (T) b) S 1 7").unwrap());
        for ended in ["7 (volleyd) Z 1 7", ""] {
            assert!(is_stopped(ended).is_err(), "{ended}");
        }
    }
}
