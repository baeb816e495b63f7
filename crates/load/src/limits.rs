//! What the machine allows, looked at before a run starts: what is missing is told beforehand, with
//! the remedy, and not by connections that fail in the middle.

pub mod needs;
pub mod ports;
pub mod shortage;

use std::fs;

use rustix::process::{Resource, getrlimit};

use crate::limits::needs::Needs;
use crate::limits::ports::Ports;
use crate::limits::shortage::Shortage;

/// What this process may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// File descriptors; `u64::MAX` is without limit.
    pub descriptors: u64,
    /// How far root can raise the limit on descriptors (`fs.nr_open`); `None` if that is unknown.
    pub nr_open: Option<u64>,
    /// Local ports to connect from; `None` if they are unknown.
    pub ports: Option<Ports>,
}

impl Limits {
    /// Those of this process, of which the soft limit on descriptors counts: raise it before.
    pub fn read() -> Self {
        let nr_open = fs::read_to_string("/proc/sys/fs/nr_open").ok();
        Self {
            descriptors: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
            nr_open: nr_open.and_then(|text| text.trim().parse().ok()),
            ports: Ports::read(),
        }
    }

    /// Whether a run can have what it needs, as far as that is known.
    ///
    /// # Errors
    ///
    /// Everything that it would run short of.
    pub fn check(&self, needs: &Needs) -> Result<(), Vec<Shortage>> {
        let short: Vec<_> = [self.check_descriptors(needs), self.check_ports(needs)]
            .into_iter()
            .flatten()
            .collect();
        if short.is_empty() { Ok(()) } else { Err(short) }
    }

    fn check_descriptors(&self, needs: &Needs) -> Option<Shortage> {
        let needed = needs.descriptors();
        (needed > self.descriptors).then(|| Shortage::Descriptors {
            connections: needs.connections,
            embedded: needs.embedded,
            needed,
            allowed: self.descriptors,
            nr_open: self.nr_open,
            possible: needs.connections_with(self.descriptors),
        })
    }

    /// A local port can be used again from another local address, or to another address or port of
    /// a server.
    fn check_ports(&self, needs: &Needs) -> Option<Shortage> {
        let ports = self.ports.as_ref()?;
        // The port on which a server on this machine listens is none to connect from, if the range
        // has it: that is so where the system chose it, as it does for a server in this process.
        let listening = u64::from(needs.embedded);
        let each = ports.count().saturating_sub(listening);
        let sources = needs.sources.max(1);
        (needs.to_one_target > sources * each).then(|| Shortage::Ports {
            connections: needs.to_one_target,
            sources,
            each,
            widest: ports.widened().count().saturating_sub(listening),
            is_loopback: needs.is_loopback,
            embedded: needs.embedded,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNLIMITED: Limits = Limits { descriptors: u64::MAX, nr_open: None, ports: None };

    fn with_descriptors(descriptors: u64) -> Limits {
        Limits { descriptors, ..UNLIMITED }
    }

    fn with_100_ports() -> Limits {
        let ports = Ports { range: 40_001..=40_100, reserved: Vec::new() };
        Limits { ports: Some(ports), ..UNLIMITED }
    }

    /// Of a run on loopback that has 43 descriptors beside those of its connections.
    fn needs(connections: u64) -> Needs {
        Needs {
            connections,
            to_one_target: connections,
            sources: 0,
            is_loopback: true,
            embedded: false,
            threads: 2,
            outputs: 1,
        }
    }

    #[test]
    fn a_run_that_needs_every_descriptor_has_enough() {
        let limits = with_descriptors(1000);
        assert_eq!(limits.check(&needs(957)), Ok(()));
        let short = Shortage::Descriptors {
            connections: 958,
            embedded: false,
            needed: 1001,
            allowed: 1000,
            nr_open: None,
            possible: 957,
        };
        assert_eq!(limits.check(&needs(958)), Err(vec![short]));
    }

    #[test]
    fn a_server_in_this_process_takes_a_descriptor_for_each_connection() {
        let limits = with_descriptors(1000);
        let embedded = |connections| Needs { embedded: true, ..needs(connections) };
        assert_eq!(limits.check(&embedded(478)), Ok(()));
        let short = limits.check(&embedded(479)).unwrap_err();
        let [Shortage::Descriptors { needed: 1001, possible: 478, .. }] = short[..] else {
            panic!("{short:?}");
        };
    }

    #[test]
    fn with_hardly_any_descriptors_no_connection_is_possible() {
        let short = with_descriptors(20).check(&needs(1)).unwrap_err();
        assert!(matches!(short[..], [Shortage::Descriptors { possible: 0, .. }]), "{short:?}");
    }

    #[test]
    fn a_run_that_needs_every_port_has_enough() {
        let limits = with_100_ports();
        assert_eq!(limits.check(&needs(100)), Ok(()));
        let short = Shortage::Ports {
            connections: 101,
            sources: 1,
            each: 100,
            widest: 64_512,
            is_loopback: true,
            embedded: false,
        };
        assert_eq!(limits.check(&needs(101)), Err(vec![short]));
    }

    #[test]
    fn each_source_and_each_target_brings_its_ports() {
        let limits = with_100_ports();
        let run = |connections, to_one_target, sources| {
            limits.check(&Needs { to_one_target, sources, ..needs(connections) }).is_ok()
        };
        assert!(run(100, 100, 1) && !run(101, 101, 1));
        assert!(run(300, 300, 3) && !run(301, 301, 3));
        assert!(run(300, 100, 0) && !run(301, 101, 0));
        assert!(run(600, 300, 3) && !run(602, 301, 3));
    }

    #[test]
    fn a_server_in_this_process_listens_on_one_of_the_ports() {
        let embedded = |connections| Needs { embedded: true, ..needs(connections) };
        assert_eq!(with_100_ports().check(&embedded(99)), Ok(()));
        let short = with_100_ports().check(&embedded(100)).unwrap_err();
        assert!(matches!(short[..], [Shortage::Ports { each: 99, .. }]), "{short:?}");
    }

    #[test]
    fn everything_that_is_missing_is_told_at_once() {
        let limits = Limits { descriptors: 100, ..with_100_ports() };
        let short = limits.check(&needs(500)).unwrap_err();
        assert!(
            matches!(short[..], [Shortage::Descriptors { .. }, Shortage::Ports { .. }]),
            "{short:?}"
        );
    }

    #[test]
    fn what_is_not_known_is_not_missing() {
        assert_eq!(UNLIMITED.check(&needs(u32::MAX.into())), Ok(()));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_machine_has_enough_for_one_connection_and_not_for_all() {
        let limits = Limits::read();
        assert_eq!(limits.check(&needs(1)), Ok(()));
        assert!(limits.check(&needs(u32::MAX.into())).is_err());
        assert!(limits.nr_open.is_some());
    }
}
