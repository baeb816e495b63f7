//! What a load was answered, and the line with which it says so.
//!
//! ```text
//! answered 68000 datagrams in 1000000000 ns
//! ```

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Datagrams, and the time in which they came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    /// How many.
    pub(crate) datagrams: u64,
    /// From the first that was sent on.
    pub(crate) time: Duration,
}

impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "answered {} datagrams in {} ns", self.datagrams, self.time.as_nanos())
    }
}

impl FromStr for Answered {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let words: Vec<&str> = line.split(' ').collect();
        let parsed = match words[..] {
            ["answered", datagrams, "datagrams", "in", nanoseconds, "ns"] => {
                datagrams.parse().ok().zip(nanoseconds.parse().ok())
            }
            _ => None,
        };
        let (datagrams, nanoseconds) =
            parsed.ok_or_else(|| format!("`{line}` does not say what was answered"))?;
        Ok(Self { datagrams, time: Duration::from_nanos(nanoseconds) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_its_own_line() {
        let answered = Answered { datagrams: 68_000, time: Duration::from_nanos(1_000_000_007) };
        assert_eq!(answered.to_string().parse(), Ok(answered));
    }

    #[test]
    fn refuses_any_other_line() {
        for line in ["", "answered", "answered 1 datagrams in 1", "answered x datagrams in 1 ns"] {
            assert!(line.parse::<Answered>().is_err(), "{line}");
        }
    }
}
