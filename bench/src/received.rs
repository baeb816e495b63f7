//! What a server has received. It says [`BEGUN`] with the first bytes, and at the end how many there
//! were.

use std::time::{Duration, Instant};

use crate::counted::Counted;

/// The line that says that the first bytes are there.
pub(crate) const BEGUN: &str = "receiving";

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
    pub(crate) fn received(&self) -> Counted {
        let time = self.first_and_last.map_or(Duration::ZERO, |(first, last)| last - first);
        Counted { count: self.bytes, time }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_from_the_first_bytes_to_the_last() {
        let mut meter = Meter::default();
        assert!(!meter.has_begun());
        assert_eq!(meter.received(), Counted::default());
        let start = Instant::now();
        for (bytes, milliseconds) in [(10, 5), (20, 6), (30, 9)] {
            meter.count(bytes, start + Duration::from_millis(milliseconds));
        }
        assert!(meter.has_begun());
        assert_eq!(meter.received(), Counted { count: 60, time: Duration::from_millis(4) });
    }
}
