//! How long payloads are.

/// How long payloads are.
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
            Self::Weighted(weighted) => weighted.iter().map(|&(len, _)| len).max().unwrap_or(0),
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
