//! How much of something there was, and the line with which a process says so.
//!
//! ```text
//! received 6800 bytes in 1000000000 ns
//! answered 68000 datagrams in 1000000000 ns
//! ```

use std::time::Duration;

/// How many, and in what time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) count: u64,
    pub(crate) time: Duration,
}

/// What has been counted, in the words of its line.
#[derive(Debug)]
pub(crate) struct Line {
    done: &'static str,
    what: &'static str,
}

/// What a server has received, from the first of the bytes to the last; no time when all came at once.
pub(crate) const RECEIVED: Line = Line { done: "received", what: "bytes" };

/// What a load was answered, from the first datagram that was sent on.
pub(crate) const ANSWERED: Line = Line { done: "answered", what: "datagrams" };

impl Line {
    /// The line, without its end.
    pub(crate) fn of(&self, Counted { count, time }: Counted) -> String {
        format!("{} {count} {} in {} ns", self.done, self.what, time.as_nanos())
    }

    /// What a line says.
    ///
    /// # Errors
    ///
    /// When it is another one.
    pub(crate) fn read(&self, line: &str) -> Result<Counted, String> {
        let words: Vec<&str> = line.split(' ').collect();
        let parsed = match words[..] {
            [done, count, what, "in", nanoseconds, "ns"]
                if (done, what) == (self.done, self.what) =>
            {
                count.parse().ok().zip(nanoseconds.parse().ok())
            }
            _ => None,
        };
        let (count, nanoseconds) =
            parsed.ok_or_else(|| format!("`{line}` does not say what was {}", self.done))?;
        Ok(Counted { count, time: Duration::from_nanos(nanoseconds) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reads_back_its_own_line() {
        let counted = Counted { count: 68_000, time: Duration::from_nanos(1_000_000_007) };
        for line in [RECEIVED, ANSWERED] {
            assert_eq!(line.read(&line.of(counted)), Ok(counted));
        }
        assert_eq!(RECEIVED.of(counted), "received 68000 bytes in 1000000007 ns");
    }

    #[test]
    fn refuses_any_other_line() {
        let answered = ANSWERED.of(Counted::default());
        for line in
            ["", "receiving", "received", "received 1 bytes in 1", "received x bytes in 1 ns"]
        {
            assert!(RECEIVED.read(line).is_err(), "{line}");
        }
        assert!(RECEIVED.read(&answered).is_err());
    }
}
