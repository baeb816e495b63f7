//! What the process takes of the machine, under the names that Prometheus's own client libraries
//! use. Where the system does not tell, the metric is left out.

use std::fmt;

use prometheus_client::registry::Unit;
use rustix::process::{Resource, getrlimit};

use super::metrics::Families;

/// The figures that do not change.
#[derive(Debug)]
pub(super) struct Process {
    /// In seconds since the Unix epoch. Read once: the system computes it from the clock, and moves
    /// it when the clock is set, which would look like a restart.
    started_at: Option<f64>,
}

impl Process {
    pub(super) fn new() -> Self {
        Self { started_at: system::started_at() }
    }

    pub(super) fn encode(&self, families: &mut Families<'_>) -> fmt::Result {
        if let Some(started_at) = self.started_at {
            let help = "When the process started, since the Unix epoch.";
            families.gauge("process_start_time", Some(&Unit::Seconds), help, started_at)?;
        }
        if let Some(stat) = system::stat() {
            let help = "User and system time spent.";
            families.counter("process_cpu", Some(&Unit::Seconds), help, stat.cpu_seconds)?;
            let help = "Memory in use, as the system counts it.";
            families.gauge(
                "process_resident_memory",
                Some(&Unit::Bytes),
                help,
                stat.resident_bytes,
            )?;
            let help = "Address space in use.";
            families.gauge(
                "process_virtual_memory",
                Some(&Unit::Bytes),
                help,
                stat.virtual_bytes,
            )?;
            families.gauge("process_threads", None, "Threads.", stat.threads)?;
        }
        if let Some(open) = system::open_descriptors() {
            families.gauge("process_open_fds", None, "Open file descriptors.", open)?;
        }
        // Without a limit it is infinite.
        let max = getrlimit(Resource::Nofile).current.map_or(f64::INFINITY, |max| max as f64);
        families.gauge("process_max_fds", None, "How many file descriptors may be open.", max)
    }
}

/// What the system tells of the process at one instant.
struct Stat {
    cpu_seconds: f64,
    resident_bytes: u64,
    virtual_bytes: u64,
    threads: u64,
}

/// From /proc. Nothing where that is not mounted, or no descriptor is left to read it.
#[cfg(target_os = "linux")]
mod system {
    use procfs::process::Process;

    use super::Stat;

    pub(super) fn stat() -> Option<Stat> {
        let stat = Process::myself().and_then(|process| process.stat()).ok()?;
        Some(Stat {
            cpu_seconds: seconds(stat.utime + stat.stime),
            resident_bytes: stat.rss * procfs::page_size(),
            virtual_bytes: stat.vsize,
            threads: u64::try_from(stat.num_threads).ok()?,
        })
    }

    pub(super) fn open_descriptors() -> Option<u64> {
        let open = Process::myself().and_then(|process| process.fd_count()).ok()?;
        Some(open as u64)
    }

    pub(super) fn started_at() -> Option<f64> {
        let since_boot = Process::myself().and_then(|process| process.stat()).ok()?.starttime;
        Some(procfs::boot_time_secs().ok()? as f64 + seconds(since_boot))
    }

    fn seconds(ticks: u64) -> f64 {
        ticks as f64 / procfs::ticks_per_second() as f64
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::Stat;

    pub(super) fn stat() -> Option<Stat> {
        None
    }

    pub(super) fn open_descriptors() -> Option<u64> {
        None
    }

    pub(super) fn started_at() -> Option<f64> {
        None
    }
}
