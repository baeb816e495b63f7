//! CPU time of a process, as the scheduler counts it.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// What all threads of a process that are still there have run for (Linux's
/// Documentation/scheduler/sched-stats.rst: the first number is nanoseconds on a CPU).
///
/// # Errors
///
/// When the process has ended, or the kernel doesn't tell.
pub(crate) fn of(process: u32) -> Result<Duration> {
    let mut total = Duration::ZERO;
    for task in fs::read_dir(format!("/proc/{process}/task")).context("the process has ended")? {
        // One that ends in between has hardly run.
        if let Ok(line) = fs::read_to_string(task?.path().join("schedstat")) {
            total += parse(&line)?;
        }
    }
    Ok(total)
}

fn parse(line: &str) -> Result<Duration> {
    let nanoseconds = line.split_whitespace().next().and_then(|text| text.parse().ok());
    let nanoseconds = nanoseconds.with_context(|| format!("schedstat says `{}`", line.trim()));
    nanoseconds.map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_first_number() {
        assert_eq!(parse("1500 7 2\n").unwrap(), Duration::from_nanos(1500));
        for line in ["", "x 1 2", "-1 0 0"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn this_process_has_run() {
        assert!(of(std::process::id()).unwrap() > Duration::ZERO);
    }
}
