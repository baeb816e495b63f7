//! How long payloads are.

use std::fmt;
use std::str::FromStr;

use volley_cli::{Misread, format_bytes, parse_bytes, parse_count};
use volley_proto::MaxFrame;

use crate::plan::notation::NotationError;

/// How long payloads are: `64`, `64KiB`, `64..4096`, `64:90%,16384:10%` or `64:9,16384:1`.
///
/// [`fmt::Display`] gives a text that parses back to the same sizes.
///
/// # Examples
///
/// ```
/// use volley_load::plan::sizes::Sizes;
///
/// assert_eq!("64..4096".parse(), Ok(Sizes::Range(64, 4096)));
/// assert_eq!("64:90%,1KiB:10%".parse(), Ok(Sizes::Weighted(vec![(64, 90), (1024, 10)])));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sizes {
    /// All of one length in bytes.
    Fixed(u32),
    /// Evenly distributed from the first length to the second, both included.
    Range(u32, u32),
    /// Lengths with their weights, which add up to more than 0.
    Weighted(Vec<(u32, u32)>),
}

impl Sizes {
    /// The longest payload that can come, in bytes.
    pub fn longest(&self) -> u32 {
        match self {
            Self::Fixed(len) | Self::Range(_, len) => *len,
            Self::Weighted(weighted) => possible(weighted).max().unwrap_or(0),
        }
    }

    /// The shortest payload that can come, in bytes.
    pub fn shortest(&self) -> u32 {
        match self {
            Self::Fixed(len) | Self::Range(len, _) => *len,
            Self::Weighted(weighted) => possible(weighted).min().unwrap_or(0),
        }
    }

    /// The next length.
    #[inline]
    pub fn draw(&self, random: &mut fastrand::Rng) -> u32 {
        match self {
            Self::Fixed(len) => *len,
            Self::Range(from, to) => random.u32(*from..=*to),
            Self::Weighted(weighted) => {
                let mut left = random.u32(0..weighted.iter().map(|&(_, weight)| weight).sum());
                for &(len, weight) in weighted {
                    if left < weight {
                        return len;
                    }
                    left -= weight;
                }
                // The weights add up to more than what was drawn.
                0
            }
        }
    }
}

impl FromStr for Sizes {
    type Err = NotationError;

    fn from_str(text: &str) -> Result<Self, NotationError> {
        let sizes = if text.contains([':', ',', '%']) { weighted(text) } else { range(text) };
        sizes.map_err(|misread| NotationError::new(text, misread))
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |len: &u32| format_bytes((*len).into());
        match self {
            Self::Fixed(len) => f.write_str(&shown(len)),
            Self::Range(from, to) => write!(f, "{}..{}", shown(from), shown(to)),
            Self::Weighted(weighted) => {
                let sum: u64 = weighted.iter().map(|&(_, weight)| u64::from(weight)).sum();
                let percent = if sum == HUNDRED { "%" } else { "" };
                for (at, (len, weight)) in weighted.iter().enumerate() {
                    let comma = if at == 0 { "" } else { "," };
                    write!(f, "{comma}{}:{weight}{percent}", shown(len))?;
                }
                Ok(())
            }
        }
    }
}

/// What weights in percent add up to.
const HUNDRED: u64 = 100;

/// How to write weights.
const WEIGHTS: &str = "write for example 64:90%,16384:10% or 64:9,16384:1";

/// The lengths that can come.
fn possible(weighted: &[(u32, u32)]) -> impl Iterator<Item = u32> {
    weighted.iter().filter(|&&(_, weight)| weight > 0).map(|&(len, _)| len)
}

/// `64` or `64..4096`.
fn range(text: &str) -> Result<Sizes, Misread<'_>> {
    let Some((from, to)) = text.split_once("..") else {
        return length(text).map(Sizes::Fixed);
    };
    let (from, to) = (length(from)?, length(to)?);
    if from > to {
        let [from, to] = [from, to].map(|len| format_bytes(len.into()));
        return Err(Misread::new(text, format!("the range is reversed: write {to}..{from}")));
    }
    Ok(Sizes::Range(from, to))
}

/// `64:90%,16384:10%` or `64:9,16384:1`.
fn weighted(text: &str) -> Result<Sizes, Misread<'_>> {
    let in_percent = text.contains('%');
    let mut weighted = Vec::new();
    let mut sum = 0;
    for part in text.split(',').map(str::trim) {
        let Some((len, weight)) = part.split_once(':') else {
            let why = match part {
                "" => format!("a size and its weight are missing here: {WEIGHTS}"),
                _ => format!("`{part}` has no weight: {WEIGHTS}"),
            };
            return Err(Misread::new(part, why));
        };
        let len = length(len)?;
        let weight = weight.trim();
        let number = weight.strip_suffix('%');
        if number.is_some() != in_percent {
            let why = "either all weights are in percent or none is";
            return Err(Misread::new(weight, format!("`{weight}` has no %: {why}")));
        }
        let number = parse_count(number.unwrap_or(weight)).ok();
        let Some(weight) = number.and_then(|number| u32::try_from(number).ok()) else {
            return Err(Misread::new(weight, format!("`{weight}` is no whole weight: {WEIGHTS}")));
        };
        sum += u64::from(weight);
        weighted.push((len, weight));
    }
    if in_percent && sum != HUNDRED {
        return Err(Misread::new(text, format!("the weights add up to {sum}%, not to 100%")));
    }
    if !(1..=u32::MAX.into()).contains(&sum) {
        let why = format!("the weights add up to {sum}: must be from 1 to {}", u32::MAX);
        return Err(Misread::new(text, why));
    }
    Ok(Sizes::Weighted(weighted))
}

/// The length of a payload that a data frame can have.
fn length(text: &str) -> Result<u32, Misread<'_>> {
    let text = text.trim();
    let bytes = parse_bytes(text).map_err(|why| Misread::new(text, why))?;
    match MaxFrame::new(bytes) {
        Ok(len) => Ok(len.get()),
        Err(_) => {
            let most = format_bytes(MaxFrame::CEILING.get().into());
            let why = format!("`{text}` is longer than {most}, the most that a frame can carry");
            Err(Misread::new(text, why))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(text: &str) -> (String, String) {
        let error = text.parse::<Sizes>().unwrap_err();
        (error.text[error.span].to_owned(), error.why)
    }

    #[test]
    fn reads_lengths_ranges_and_weights() {
        let cases = [
            ("0", Sizes::Fixed(0)),
            ("64", Sizes::Fixed(64)),
            ("64KiB", Sizes::Fixed(65_536)),
            ("64MiB", Sizes::Fixed(64 << 20)),
            ("64..4096", Sizes::Range(64, 4096)),
            ("0 .. 1.5k", Sizes::Range(0, 1500)),
            ("64..64", Sizes::Range(64, 64)),
            ("64:90%,16384:10%", Sizes::Weighted(vec![(64, 90), (16_384, 10)])),
            ("64:9, 16KiB:1", Sizes::Weighted(vec![(64, 9), (16_384, 1)])),
            ("64:1k,0:0", Sizes::Weighted(vec![(64, 1000), (0, 0)])),
            ("64:100%", Sizes::Weighted(vec![(64, 100)])),
        ];
        for (text, sizes) in cases {
            assert_eq!(text.parse(), Ok(sizes), "{text}");
        }
    }

    #[test]
    fn writes_what_it_reads() {
        for text in ["0", "1000", "64KiB", "64..4KiB", "64:90%,16KiB:10%", "64:9,16KiB:1"] {
            assert_eq!(text.parse::<Sizes>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn points_at_what_is_wrong() {
        let cases = [
            ("", "", "`` is no size"),
            ("x", "x", "`x` is no size"),
            ("1..x", "x", "`x` is no size"),
            ("4096..64", "4096..64", "the range is reversed: write 64..4KiB"),
            ("65MiB", "65MiB", "`65MiB` is longer than 64MiB"),
            ("1..64:1", "1..64", "`1..64` is no size"),
            ("1:1,99999999999:1", "99999999999", "`99999999999` is longer than 64MiB"),
            ("64,128", "64", "`64` has no weight"),
            ("64:1,", "", "a size and its weight are missing here"),
            ("64:90%,128:10", "10", "`10` has no %"),
            ("64:90,128:10%", "90", "`90` has no %"),
            ("64:99.9%,128:0.1%", "99.9%", "`99.9%` is no whole weight"),
            ("64:-1", "-1", "`-1` is no whole weight"),
            ("64:90%, 128:5%", "64:90%, 128:5%", "the weights add up to 95%, not to 100%"),
            ("64:0,128:0", "64:0,128:0", "the weights add up to 0: must be from 1"),
            ("1:3G,2:3G", "1:3G,2:3G", "the weights add up to 6000000000"),
        ];
        for (text, place, why) in cases {
            let refused = refused(text);
            assert_eq!(refused.0, place, "{text}");
            assert!(refused.1.starts_with(why), "{text}: {}", refused.1);
        }
    }

    #[test]
    fn draws_lengths_by_their_weights() {
        let sizes: Sizes = "1:0,2:3,3:1".parse().unwrap();
        let mut random = fastrand::Rng::with_seed(7);
        let mut drawn = [0; 4];
        for _ in 0..4000 {
            drawn[sizes.draw(&mut random) as usize] += 1;
        }
        assert!(drawn[1] == 0 && (2800..3200).contains(&drawn[2]), "{drawn:?}");
    }

    #[test]
    fn a_length_that_never_comes_is_not_the_longest() {
        assert_eq!("64:100%,4096:0%".parse::<Sizes>().unwrap().longest(), 64);
        assert_eq!("64:99%,4096:1%".parse::<Sizes>().unwrap().longest(), 4096);
    }

    fn sizes() -> impl Strategy<Value = Sizes> {
        let len = || 0..=MaxFrame::CEILING.get();
        let weighted = proptest::collection::vec((len(), 1..=100u32), 1..5);
        prop_oneof![
            len().prop_map(Sizes::Fixed),
            (len(), len()).prop_map(|(a, b)| Sizes::Range(a.min(b), a.max(b))),
            weighted.prop_map(Sizes::Weighted),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_the_same(sizes in sizes()) {
            prop_assert_eq!(sizes.to_string().parse(), Ok(sizes));
        }

        #[test]
        fn every_text_is_read_or_refused(text in "\\PC*|[0-9kMi:.,% ]{0,20}") {
            if let Err(error) = text.parse::<Sizes>() {
                prop_assert!(error.to_string().contains('^'));
            }
        }
    }
}
