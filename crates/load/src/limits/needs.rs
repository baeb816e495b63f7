//! What a run needs of the machine, in numbers.

use std::collections::{HashMap, HashSet};

use volley_proto::{Address, Endpoint};

use crate::plan::Plan;

/// Descriptors of a sending thread: four of its runtime and its timer.
const PER_THREAD: u64 = 5;

/// Descriptors beside those: standard streams, signals, a listener, what the resolver opens, and
/// what the program was started with.
const RESERVE: u64 = 32;

/// What a run needs. [`Needs::of`] knows what the plan says, the rest is for the caller to add:
///
/// ```
/// # use volley_load::{limits::{Limits, needs::Needs}, plan::Plan};
/// # fn look(plan: &Plan) -> Result<(), Vec<volley_load::limits::shortage::Shortage>> {
/// let needs = Needs { embedded: true, outputs: 1, ..Needs::of(plan) };
/// Limits::read().check(&needs)
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Connections that are open at once, with those that are only held open.
    pub connections: u64,
    /// Those of them that go to the target that gets most, and take a port of this machine.
    pub to_one_target: u64,
    /// The local addresses that they come from, a like share of them from each; 0 leaves the choice
    /// to the system, which takes one.
    pub sources: u64,
    /// Whether all targets are of 127.0.0.0/8, so that every address of it is one to connect from.
    pub is_loopback: bool,
    /// Whether the server is in this process too.
    pub embedded: bool,
    /// Threads that send.
    pub threads: u64,
    /// Files that are written during the run.
    pub outputs: u64,
}

impl Needs {
    /// The needs of a plan whose servers are elsewhere and that writes no files.
    pub fn of(plan: &Plan) -> Self {
        let connections = u64::from(plan.connections) + u64::from(plan.idle);
        Self {
            connections,
            to_one_target: to_one_target(connections, &plan.targets),
            sources: plan.sources.iter().collect::<HashSet<_>>().len() as u64,
            is_loopback: plan.targets.iter().all(is_loopback),
            embedded: false,
            threads: plan.threads.into(),
            outputs: 0,
        }
    }

    /// File descriptors, all together.
    pub fn descriptors(&self) -> u64 {
        self.connections * self.descriptors_each() + self.further_descriptors()
    }

    /// How many connections `descriptors` are enough for.
    pub fn connections_with(&self, descriptors: u64) -> u64 {
        descriptors.saturating_sub(self.further_descriptors()) / self.descriptors_each()
    }

    /// A connection to this process has both its ends here.
    fn descriptors_each(&self) -> u64 {
        if self.embedded { 2 } else { 1 }
    }

    fn further_descriptors(&self) -> u64 {
        self.threads * PER_THREAD + self.outputs + RESERVE
    }
}

/// Connections are dealt to the targets in turn; one that is named twice gets two shares. Where
/// none is known yet, there will be one. To a Unix socket no port is needed.
fn to_one_target(connections: u64, targets: &[Endpoint]) -> u64 {
    let mut shares: HashMap<&Endpoint, u64> = HashMap::new();
    for (place, target) in (0..).zip(targets) {
        let share = match target {
            Endpoint::Unix(_) => 0,
            _ => connections.saturating_sub(place).div_ceil(targets.len() as u64),
        };
        *shares.entry(target).or_default() += share;
    }
    shares.into_values().max().unwrap_or(connections)
}

fn is_loopback(target: &Endpoint) -> bool {
    match target {
        Endpoint::Tcp(Address::Socket(address)) => address.is_ipv4() && address.ip().is_loopback(),
        Endpoint::Tcp(Address::Name { host, .. }) => host == "localhost",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Arrivals;
    use crate::run::pace::tests::plan;

    fn targets(names: &[&str]) -> Vec<Endpoint> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn a_plan_says_what_it_needs() {
        let mut plan = plan(100, Arrivals::Constant);
        plan.idle = 11;
        plan.targets = targets(&["127.0.0.1:1", "127.0.0.1:2"]);
        plan.sources = ["127.0.0.2", "127.0.0.3", "127.0.0.2"].map(|s| s.parse().unwrap()).to_vec();
        plan.threads = 3;
        let expected = Needs {
            connections: 111,
            to_one_target: 56,
            sources: 2,
            is_loopback: true,
            embedded: false,
            threads: 3,
            outputs: 0,
        };
        assert_eq!(Needs::of(&plan), expected);
        plan.targets.push("192.0.2.1:1".parse().unwrap());
        assert!(!Needs::of(&plan).is_loopback);
    }

    #[test]
    fn connections_are_dealt_to_the_targets_in_turn() {
        let cases: [(&[&str], u64, u64); 8] = [
            (&["a:1"], 10, 10),
            (&["a:1", "b:1", "c:1"], 10, 4),
            (&["a:1", "a:2"], 1, 1),
            (&["a:1", "b:1", "a:1"], 10, 7),
            (&["a:1", "b:1"], 0, 0),
            (&["unix:/a"], 10, 0),
            (&["unix:/a", "b:1", "unix:@c"], 10, 3),
            (&[], 10, 10),
        ];
        for (names, connections, most) in cases {
            assert_eq!(to_one_target(connections, &targets(names)), most, "{names:?}");
        }
    }

    #[test]
    fn any_address_of_127_is_of_this_machine() {
        for (name, expected) in [
            ("127.0.0.1:7007", true),
            ("127.1.2.3:1", true),
            ("localhost:1", true),
            ("[::1]:1", false),
            ("10.0.0.1:1", false),
            ("example.org:1", false),
        ] {
            assert_eq!(targets(&[name]).iter().all(is_loopback), expected, "{name}");
        }
    }
}
