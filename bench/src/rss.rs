//! The resident memory of a process, as the kernel tells it.

use std::fs;

use anyhow::{Context, Result};

/// Bytes of `process` that are in memory now, shared pages included.
///
/// # Errors
///
/// When it has ended.
pub(crate) fn resident_bytes(process: u32) -> Result<u64> {
    read(process, "VmRSS:")
}

/// The most bytes of `process` that have been in memory at once, shared pages included.
///
/// # Errors
///
/// When it has ended.
pub(crate) fn peak_bytes(process: u32) -> Result<u64> {
    read(process, "VmHWM:")
}

fn read(process: u32, field: &str) -> Result<u64> {
    let path = format!("/proc/{process}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    parse(&status, field).with_context(|| format!("{path} has no {field} the process has ended"))
}

/// `VmRSS:      1234 kB`, where kB is 1024 bytes (proc_pid_status(5)).
fn parse(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_size_among_the_other_lines() {
        let status = "Name:\tvolleyd\nVmHWM:\t    9000 kB\nVmRSS:\t    2048 kB\nThreads:\t2\n";
        assert_eq!(parse(status, "VmRSS:"), Some(2048 * 1024));
        assert_eq!(parse(status, "VmHWM:"), Some(9000 * 1024));
    }

    #[test]
    fn a_process_that_has_ended_has_none() {
        assert_eq!(parse("Name:\tvolleyd\nState:\tZ (zombie)\n", "VmRSS:"), None);
    }

    #[test]
    fn this_process_has_some() {
        assert!(resident_bytes(std::process::id()).unwrap() > 0);
    }
}
