//! What the machine does not have enough of, and what to do about it.

use std::fmt;
use std::net::Ipv4Addr;

use thousands::Separable;

/// Something of which a run needs more than there is. Its text names each way out that leads out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shortage {
    /// File descriptors of this process.
    Descriptors {
        /// The connections that were asked for.
        connections: u64,
        /// Whether the server is in this process too.
        embedded: bool,
        /// Descriptors that they need.
        needed: u64,
        /// Descriptors that there are.
        allowed: u64,
        /// What the limit can be raised to at most, if that is known.
        nr_open: Option<u64>,
        /// Connections that the descriptors are enough for.
        possible: u64,
    },
    /// Local ports to connect from.
    Ports {
        /// The connections to the target that gets most of them.
        connections: u64,
        /// The local addresses that they come from; not 0.
        sources: u64,
        /// Ports that each of these has for one target.
        each: u64,
        /// Ports that each would have with the widest range.
        widest: u64,
        /// Whether every address of 127.0.0.0/8 is one to connect from.
        is_loopback: bool,
        /// Whether the server is in this process, so that there is one target only.
        embedded: bool,
    },
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Descriptors { connections, embedded, needed, allowed, nr_open, possible } => {
                let server = if embedded { " and their server in this process" } else { "" };
                write!(
                    f,
                    "{} connections{server} need {} file descriptors and this process may have \
                     {}: {}",
                    connections.separate_with_commas(),
                    needed.separate_with_commas(),
                    allowed.separate_with_commas(),
                    more_descriptors(needed, nr_open, possible)
                )
            }
            Self::Ports { connections, sources, each, widest, is_loopback, embedded } => {
                let ports = sources * each;
                let ways = [
                    // With no port at all, no number of addresses is enough.
                    (each > 0).then(|| more_sources(connections.div_ceil(each), is_loopback)),
                    (sources * widest >= connections).then(|| WIDEN.to_owned()),
                    Some(if embedded { fewer(ports) } else { TARGETS.to_owned() }),
                ];
                write!(
                    f,
                    "{} connections to one target need as many local ports and {} {} \
                     (net.ipv4.ip_local_port_range): {}",
                    connections.separate_with_commas(),
                    match sources {
                        1 => "one source address has".to_owned(),
                        _ => format!("{} source addresses have", sources.separate_with_commas()),
                    },
                    ports.separate_with_commas(),
                    ways.into_iter().flatten().collect::<Vec<_>>().join(", or ")
                )
            }
        }
    }
}

const WIDEN: &str = "widen the range (`sysctl net.ipv4.ip_local_port_range='1024 65535'`)";
const TARGETS: &str = "add targets (`--to`)";

fn more_descriptors(needed: u64, nr_open: Option<u64>, possible: u64) -> String {
    let raise = format!(
        "raise the hard limit (`ulimit -Hn {needed}` as root, `LimitNOFILE={needed}` in a systemd \
         unit, `--ulimit nofile={needed}` in a container)"
    );
    let raise = match nr_open {
        Some(most) if most < needed => format!("`sysctl fs.nr_open={needed}`, then {raise}"),
        _ => raise,
    };
    if possible == 0 { raise } else { format!("{raise}, or {}", fewer(possible)) }
}

fn fewer(connections: u64) -> String {
    format!("ask for at most {} connections", connections.separate_with_commas())
}

/// So many in all: the system's choice is none of them.
fn more_sources(count: u64, is_loopback: bool) -> String {
    let grouped = count.separate_with_commas();
    if !is_loopback {
        return format!("connect from {grouped} addresses of this machine (`--source A,B-C,…`)");
    }
    // As ranges are written: the loopback network has more addresses than anybody has descriptors.
    let first = u32::from(Ipv4Addr::new(127, 0, 0, 2));
    let count = u32::try_from(count.saturating_sub(1)).unwrap_or(u32::MAX);
    let last = Ipv4Addr::from(first.saturating_add(count));
    format!("connect from {grouped} addresses (`--source 127.0.0.2-{last}`)")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DESCRIPTORS: Shortage = Shortage::Descriptors {
        connections: 30_000,
        embedded: false,
        needed: 30_037,
        allowed: 20_000,
        nr_open: Some(1 << 20),
        possible: 19_963,
    };

    const PORTS: Shortage = Shortage::Ports {
        connections: 40_000,
        sources: 1,
        each: 28_232,
        widest: 64_512,
        is_loopback: true,
        embedded: false,
    };

    #[test]
    fn says_how_many_descriptors_are_missing_and_where_to_get_them() {
        assert_eq!(
            DESCRIPTORS.to_string(),
            "30,000 connections need 30,037 file descriptors and this process may have 20,000: \
             raise the hard limit (`ulimit -Hn 30037` as root, `LimitNOFILE=30037` in a systemd \
             unit, `--ulimit nofile=30037` in a container), or ask for at most 19,963 connections"
        );
    }

    #[test]
    fn a_server_in_this_process_needs_descriptors_too() {
        let shortage = Shortage::Descriptors {
            connections: 600_000,
            embedded: true,
            needed: 1_200_037,
            allowed: 30,
            nr_open: Some(1 << 20),
            possible: 0,
        };
        assert_eq!(
            shortage.to_string(),
            "600,000 connections and their server in this process need 1,200,037 file descriptors \
             and this process may have 30: `sysctl fs.nr_open=1200037`, then raise the hard limit \
             (`ulimit -Hn 1200037` as root, `LimitNOFILE=1200037` in a systemd unit, `--ulimit \
             nofile=1200037` in a container)"
        );
    }

    #[test]
    fn says_how_many_ports_are_missing_and_where_to_get_them() {
        assert_eq!(
            PORTS.to_string(),
            "40,000 connections to one target need as many local ports and one source address has \
             28,232 (net.ipv4.ip_local_port_range): connect from 2 addresses (`--source \
             127.0.0.2-127.0.0.3`), or widen the range (`sysctl \
             net.ipv4.ip_local_port_range='1024 65535'`), or add targets (`--to`)"
        );
    }

    #[test]
    fn names_no_way_out_that_leads_nowhere() {
        let shortage = Shortage::Ports {
            connections: 200_000,
            sources: 2,
            each: 28_231,
            widest: 64_511,
            is_loopback: true,
            embedded: true,
        };
        assert_eq!(
            shortage.to_string(),
            "200,000 connections to one target need as many local ports and 2 source addresses \
             have 56,462 (net.ipv4.ip_local_port_range): connect from 8 addresses (`--source \
             127.0.0.2-127.0.0.9`), or ask for at most 56,462 \
             connections"
        );
        let shortage = Shortage::Ports {
            connections: 200_000,
            sources: 1,
            each: 0,
            widest: 0,
            is_loopback: false,
            embedded: false,
        };
        assert!(
            shortage
                .to_string()
                .ends_with("has 0 (net.ipv4.ip_local_port_range): add targets (`--to`)")
        );
    }

    #[test]
    fn elsewhere_than_on_loopback_the_addresses_are_the_machines_own() {
        assert_eq!(
            more_sources(2, false),
            "connect from 2 addresses of this machine (`--source A,B-C,…`)"
        );
    }
}
