//! The local ports that the system chooses from when a connection leaves the choice to it.

use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;

/// What the range can be widened to: below are the ports for which a program needs a privilege.
const WIDEST: RangeInclusive<u16> = 1024..=65535;

/// A range of ports, less those that are set aside: `net.ipv4.ip_local_port_range` and
/// `ip_local_reserved_ports`, which hold for IPv6 too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports {
    /// The first and the last.
    pub range: RangeInclusive<u16>,
    /// Those that are never chosen; apart from each other.
    pub reserved: Vec<RangeInclusive<u16>>,
}

impl Ports {
    /// Those of this network namespace. `None` where the system doesn't tell.
    pub fn read() -> Option<Self> {
        let directory = Path::new("/proc/sys/net/ipv4");
        let range = fs::read_to_string(directory.join("ip_local_port_range")).ok()?;
        // A system that has no such file reserves none.
        let reserved = fs::read_to_string(directory.join("ip_local_reserved_ports"));
        Self::parse(&range, &reserved.unwrap_or_default())
    }

    /// The two files as the kernel writes them: `32768\t60999` and `8080,9000-9100`.
    fn parse(range: &str, reserved: &str) -> Option<Self> {
        let (first, last) = range.trim().split_once(char::is_whitespace)?;
        let range = first.parse().ok()?..=last.trim().parse().ok()?;
        let reserved = reserved.trim().split_terminator(',').map(parse_reserved);
        Some(Self { range, reserved: reserved.collect::<Option<_>>()? })
    }

    /// How many connections one local address can have with one port of one server.
    pub fn count(&self) -> u64 {
        let reserved: u64 = self.reserved.iter().map(|part| common(part, &self.range)).sum();
        (self.range.len() as u64).saturating_sub(reserved)
    }

    /// The same ports with the range as wide as it can be.
    #[must_use]
    pub fn widened(&self) -> Self {
        Self { range: WIDEST, reserved: self.reserved.clone() }
    }
}

/// `8080` or `9000-9100`.
fn parse_reserved(part: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = part.split_once('-').unwrap_or((part, part));
    Some(first.parse().ok()?..=last.parse().ok()?)
}

/// How many ports two ranges have in common.
fn common(one: &RangeInclusive<u16>, other: &RangeInclusive<u16>) -> u64 {
    let (first, last) = (*one.start().max(other.start()), *one.end().min(other.end()));
    (first..=last).len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(range: &str, reserved: &str) -> Option<u64> {
        Ports::parse(range, reserved).map(|ports| ports.count())
    }

    #[test]
    fn reads_the_files_as_the_kernel_writes_them() {
        assert_eq!(
            Ports::parse("32768\t60999\n", "8080,9000-9100\n"),
            Some(Ports { range: 32768..=60999, reserved: vec![8080..=8080, 9000..=9100] })
        );
        assert_eq!(count("32768\t60999\n", "\n"), Some(28_232));
        assert_eq!(count("1024\t65535\n", ""), Some(64_512));
    }

    #[test]
    fn only_reserved_ports_within_the_range_are_missing() {
        assert_eq!(count("40001\t40100\n", "3000,40000-40005,40050,40100-40200\n"), Some(93));
        assert_eq!(count("40001\t40100\n", "40000-40200\n"), Some(0));
    }

    #[test]
    fn a_wider_range_has_the_same_ports_set_aside() {
        let ports = Ports { range: 32768..=60999, reserved: vec![80..=80, 8080..=8081] };
        assert_eq!((ports.count(), ports.widened().count()), (28_232, 64_510));
    }

    #[test]
    fn what_cannot_be_read_is_not_known() {
        for range in ["", "\n", "32768", "a\tb", "1\t65536"] {
            assert_eq!(count(range, ""), None, "{range:?}");
        }
        assert_eq!(count("32768\t60999", "8080;9000"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_machine_has_ports() {
        assert!(Ports::read().unwrap().count() > 0);
    }
}
