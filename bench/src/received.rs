//! What a server has received, and the lines with which it says so.
//!
//! ```text
//! receiving
//! received 6800 bytes in 1000000000 ns
//! ```
//!
//! The first comes with the first bytes, the second at the end.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// The line that says that the first bytes are there.
pub(crate) const BEGUN: &str = "receiving";

/// Bytes, and the time from the first to the last of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    /// How many.
    pub(crate) bytes: u64,
    /// Zero when all came at once.
    pub(crate) time: Duration,
}

impl fmt::Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "received {} bytes in {} ns", self.bytes, self.time.as_nanos())
    }
}

impl FromStr for Received {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let words: Vec<&str> = line.split(' ').collect();
        let parsed = match words[..] {
            ["received", bytes, "bytes", "in", nanoseconds, "ns"] => {
                bytes.parse().ok().zip(nanoseconds.parse().ok())
            }
            _ => None,
        };
        let (bytes, nanoseconds) =
            parsed.ok_or_else(|| format!("`{line}` does not say what was received"))?;
        Ok(Self { bytes, time: Duration::from_nanos(nanoseconds) })
    }
}

/// Counts while bytes come in.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    bytes: u64,
    first_and_last: Option<(Instant, Instant)>,
}

impl Meter {
    /// Counts bytes that are there `now`.
    pub(crate) fn count(&mut self, bytes: usize, now: Instant) {
        self.bytes += bytes as u64;
        let (first, _) = self.first_and_last.unwrap_or((now, now));
        self.first_and_last = Some((first, now));
    }

    /// Whether anything has been counted.
    pub(crate) fn has_begun(&self) -> bool {
        self.first_and_last.is_some()
    }

    /// What has been counted.
    pub(crate) fn received(&self) -> Received {
        let time = self.first_and_last.map_or(Duration::ZERO, |(first, last)| last - first);
        Received { bytes: self.bytes, time }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_from_the_first_bytes_to_the_last() {
        let mut meter = Meter::default();
        assert!(!meter.has_begun());
        assert_eq!(meter.received(), Received { bytes: 0, time: Duration::ZERO });
        let start = Instant::now();
        for (bytes, milliseconds) in [(10, 5), (20, 6), (30, 9)] {
            meter.count(bytes, start + Duration::from_millis(milliseconds));
        }
        assert!(meter.has_begun());
        assert_eq!(meter.received(), Received { bytes: 60, time: Duration::from_millis(4) });
    }

    #[test]
    fn reads_back_its_own_line() {
        let received = Received { bytes: 6800, time: Duration::from_nanos(1_000_000_007) };
        assert_eq!(received.to_string().parse(), Ok(received));
    }

    #[test]
    fn refuses_any_other_line() {
        for line in ["", BEGUN, "received", "received 1 bytes in 1", "received x bytes in 1 ns"] {
            assert!(line.parse::<Received>().is_err(), "{line}");
        }
    }
}
