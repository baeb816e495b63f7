//! How long a peer may take over each thing, and when one has taken too long.
//!
//! A connection arms no timer. It shows what it is doing in its [`Seat`](crate::seat::Seat), and
//! the [sweep](crate::sweep) looks at all seats a few times in the shortest deadline: what it
//! finds unchanged for too long is overdue. So a deadline is never early, and late by two looks at
//! most, a second.

use std::time::Duration;

use volley_proto::Reason;

/// How long a peer may take. `None` is for ever.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Deadlines {
    /// From accepting a connection to its PROXY header and its TLS handshake, where the listener
    /// has them; waiting for one of [`Config::max_handshakes`](crate::Config::max_handshakes)
    /// places included.
    pub handshake: Option<Duration>,
    /// From the connection's start to its first whole frame, HELLO or data.
    pub first_frame: Option<Duration>,
    /// From a frame's first byte to its last, and what its size takes at
    /// [`min_rate`](Self::min_rate) on top.
    pub frame: Option<Duration>,
    /// Bytes per second that a peer must send of a frame, or take of its replies, to have more
    /// time than the deadline itself; `None` grants no more, whatever the size.
    pub min_rate: Option<u64>,
    /// Between two frames.
    pub idle: Option<Duration>,
    /// While replies wait: for the next byte to be taken; and for all of a batch, with what its
    /// size takes at [`min_rate`](Self::min_rate) on top.
    pub write: Option<Duration>,
    /// Of a connection in all. It is then asked to go as for a shutdown, within
    /// [`Config::drain`](crate::Config::drain).
    pub lifetime: Option<Duration>,
    /// By which part each connection's lifetime differs from that at most, up or down, so that
    /// those that came together don't go together: 0.1 is 10 %.
    pub lifetime_jitter: f64,
}

impl Default for Deadlines {
    /// Handshake 10 s, first frame 10 s, a frame 10 s and its size at 16 KiB/s, idle 5 min, write
    /// 30 s, no lifetime.
    fn default() -> Self {
        Self {
            handshake: Some(Duration::from_secs(10)),
            first_frame: Some(Duration::from_secs(10)),
            frame: Some(Duration::from_secs(10)),
            min_rate: Some(16 * 1024),
            idle: Some(Duration::from_secs(5 * 60)),
            write: Some(Duration::from_secs(30)),
            lifetime: None,
            lifetime_jitter: 0.1,
        }
    }
}

/// The longest pause between two looks at a connection. Half of how late a deadline may be.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// The shortest one: there is no use in looking more often than Tokio's timer can tell.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);

/// How many looks the shortest deadline is worth.
const LOOKS: u32 = 16;

impl Deadlines {
    /// None at all.
    pub const fn off() -> Self {
        Self {
            handshake: None,
            first_frame: None,
            frame: None,
            min_rate: None,
            idle: None,
            write: None,
            lifetime: None,
            lifetime_jitter: 0.0,
        }
    }

    /// How long to wait between two looks at the same connection.
    pub(crate) fn pause(&self) -> Duration {
        let all = [self.first_frame, self.frame, self.idle, self.write, self.lifetime];
        let shortest = all.into_iter().flatten().min().unwrap_or(Duration::MAX);
        (shortest / LOOKS).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
    }

    /// `deadline`, and what `bytes` take at the lowest rate.
    pub(crate) fn with_size(&self, deadline: Duration, bytes: u64) -> Duration {
        match self.min_rate {
            Some(rate @ 1..) => {
                deadline.saturating_add(Duration::from_secs_f64(bytes as f64 / rate as f64))
            }
            _ => deadline,
        }
    }

    /// The lifetime of the connection with this number: another for each, the same whenever asked.
    pub(crate) fn lifetime_of(&self, id: u64) -> Option<Duration> {
        let lifetime = self.lifetime?;
        // SplitMix64's finisher (Steele et al., "Fast splittable pseudorandom number generators").
        let mut mixed = id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let from_0_to_1 = (mixed ^ (mixed >> 31)) as f64 / u64::MAX as f64;
        let factor = 1.0 + self.lifetime_jitter.clamp(0.0, 1.0) * (2.0 * from_0_to_1 - 1.0);
        Some(Duration::try_from_secs_f64(lifetime.as_secs_f64() * factor).unwrap_or(lifetime))
    }
}

/// What took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Overdue {
    /// Nothing came, or no whole frame.
    FirstFrame = 1,
    Frame,
    Idle,
    Write,
    /// The connection has been asked to go, and did not within the time for that.
    Lifetime,
}

impl Overdue {
    pub(crate) const fn from_u8(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::FirstFrame),
            2 => Some(Self::Frame),
            3 => Some(Self::Idle),
            4 => Some(Self::Write),
            5 => Some(Self::Lifetime),
            _ => None,
        }
    }
}

/// What was overdue, in words for the peer and for the log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OverdueError {
    #[error("no whole frame came within {limit:?} of connecting")]
    FirstFrame { limit: Duration, begun: bool },
    #[error("a frame of {bytes} bytes did not come within {limit:?}")]
    Frame { bytes: u64, limit: Duration },
    #[error("no frame came for {0:?}")]
    Idle(Duration),
    #[error("replies were not read within {0:?}")]
    Write(Duration),
    #[error("the connection is older than {0:?}")]
    Lifetime(Duration),
}

impl OverdueError {
    pub(crate) const fn reason(&self) -> Reason {
        match self {
            Self::FirstFrame { begun: false, .. } | Self::Idle(_) => Reason::Idle,
            Self::FirstFrame { begun: true, .. } | Self::Frame { .. } => Reason::FrameTooSlow,
            Self::Write(_) => Reason::ReaderTooSlow,
            Self::Lifetime(_) => Reason::LifetimeOver,
        }
    }
}

impl Deadlines {
    /// Puts it in words; `bytes` is the size of the frame that is arriving, or 0.
    pub(crate) fn explain(&self, overdue: Overdue, bytes: u64) -> OverdueError {
        // One that was switched off meanwhile has no length any more.
        match overdue {
            Overdue::FirstFrame => OverdueError::FirstFrame {
                limit: brief(self.with_size(self.first_frame.unwrap_or_default(), bytes)),
                begun: bytes > 0,
            },
            Overdue::Frame => {
                let limit = brief(self.with_size(self.frame.unwrap_or_default(), bytes));
                OverdueError::Frame { bytes, limit }
            }
            Overdue::Idle => OverdueError::Idle(self.idle.unwrap_or_default()),
            Overdue::Write => OverdueError::Write(self.write.unwrap_or_default()),
            Overdue::Lifetime => OverdueError::Lifetime(self.lifetime.unwrap_or_default()),
        }
    }
}

/// Nobody wants to read nanoseconds.
fn brief(limit: Duration) -> Duration {
    Duration::from_millis(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_follows_the_shortest_deadline_within_bounds() {
        let mut deadlines = Deadlines::default();
        assert_eq!(deadlines.pause(), LONGEST_PAUSE);
        deadlines.idle = Some(Duration::from_millis(160));
        assert_eq!(deadlines.pause(), Duration::from_millis(10));
        deadlines.idle = Some(Duration::from_millis(1));
        assert_eq!(deadlines.pause(), SHORTEST_PAUSE);
        assert_eq!(Deadlines::off().pause(), LONGEST_PAUSE);
    }

    #[test]
    fn a_large_frame_has_the_time_that_it_takes_at_the_lowest_rate() {
        let mut deadlines = Deadlines::default();
        let ten = Duration::from_secs(10);
        assert_eq!(deadlines.with_size(ten, 1 << 20), Duration::from_secs(74));
        deadlines.min_rate = None;
        assert_eq!(deadlines.with_size(ten, 1 << 20), ten);
        deadlines.min_rate = Some(0);
        assert_eq!(deadlines.with_size(ten, 1 << 20), ten);
    }

    #[test]
    fn lifetimes_differ_by_no_more_than_the_jitter_and_spread_over_it() {
        let mut deadlines = Deadlines::default();
        assert_eq!(deadlines.lifetime_of(1), None);
        deadlines.lifetime = Some(Duration::from_secs(100));
        let lifetimes: Vec<_> =
            (1..1000).map(|id| deadlines.lifetime_of(id).unwrap().as_secs_f64()).collect();
        assert!(lifetimes.iter().all(|seconds| (90.0..=110.0).contains(seconds)));
        for tenth in 0..10 {
            let from = 90.0 + 2.0 * f64::from(tenth);
            let within = lifetimes.iter().filter(|&&s| s >= from && s < from + 2.0).count();
            assert!((50..150).contains(&within), "{within} from {from}");
        }
        deadlines.lifetime_jitter = 0.0;
        assert_eq!(deadlines.lifetime_of(7), Some(Duration::from_secs(100)));
    }
}
