//! Which CPU the server under test gets, and which one the load.

use std::fs;

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// One CPU for each side, so that neither takes time from the other and both always run on the
/// same one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Cpus {
    /// The CPU of the server; none when it runs unpinned.
    pub(crate) server: Option<usize>,
    /// The CPU of the load; none when it runs unpinned.
    pub(crate) load: Option<usize>,
    /// What makes the figures mean less, for the user.
    pub(crate) warning: Option<&'static str>,
}

impl Cpus {
    /// Chooses from the CPUs that this process may use, so that `taskset` narrows the choice.
    ///
    /// # Errors
    ///
    /// When the kernel doesn't tell which those are.
    pub(crate) fn choose() -> Result<Self> {
        let set = sched_getaffinity(None).context("cannot tell which CPUs may be used")?;
        let usable: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect();
        Ok(Self::from_usable(&usable, siblings))
    }

    /// The first CPU, and the first after it that shares no core with it. `siblings` tells of a
    /// CPU what all hardware threads of its core have in common, if that is known.
    fn from_usable(usable: &[usize], siblings: impl Fn(usize) -> Option<String>) -> Self {
        let &[server, next, ..] = usable else {
            let warning = "only one CPU may be used: server and load run unpinned and take time \
                           from each other, so the ratios mean less";
            return Self { server: None, load: None, warning: Some(warning) };
        };
        let core = siblings(server);
        let apart = usable[1..].iter().find(|&&cpu| core.is_none() || siblings(cpu) != core);
        let warning = "the CPUs of server and load are two threads of one core, so the ratios mean \
                       less";
        Self {
            server: Some(server),
            load: Some(*apart.unwrap_or(&next)),
            warning: apart.is_none().then_some(warning),
        }
    }
}

/// Ties this process, and what it will execute, to one CPU.
///
/// # Errors
///
/// When the kernel refuses, for example because a container may not use that CPU.
pub(crate) fn pin_to(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).with_context(|| format!("cannot run on CPU {cpu}"))
}

/// The hardware threads of a CPU's core, as the kernel lists them (Linux's
/// Documentation/ABI/stable/sysfs-devices-system-cpu): the same text for each of them.
fn siblings(cpu: usize) -> Option<String> {
    fs::read_to_string(format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cores of two threads each, numbered one after the other.
    fn pairs(cpu: usize) -> Option<String> {
        Some(format!("{}", cpu / 2))
    }

    #[test]
    fn takes_two_cpus_of_different_cores() {
        let cpus = Cpus::from_usable(&[0, 1, 2, 3], pairs);
        assert_eq!(cpus, Cpus { server: Some(0), load: Some(2), warning: None });
    }

    #[test]
    fn takes_the_first_two_when_nothing_is_known_of_cores() {
        let cpus = Cpus::from_usable(&[3, 5, 7], |_| None);
        assert_eq!(cpus, Cpus { server: Some(3), load: Some(5), warning: None });
    }

    #[test]
    fn warns_when_all_cpus_share_a_core() {
        let cpus = Cpus::from_usable(&[4, 5], pairs);
        assert_eq!((cpus.server, cpus.load), (Some(4), Some(5)));
        assert!(cpus.warning.is_some());
    }

    #[test]
    fn runs_unpinned_with_a_warning_on_one_cpu() {
        let cpus = Cpus::from_usable(&[0], pairs);
        assert_eq!((cpus.server, cpus.load), (None, None));
        assert!(cpus.warning.is_some());
    }
}
