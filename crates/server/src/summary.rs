//! The books: what a server did, and how each connection ended.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;

use volley_proto::Reason;

/// How one connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum End {
    /// The peer closed between two frames; everything had been answered.
    Closed,
    /// The peer closed inside a frame; the frames before it had been answered.
    Truncated,
    /// The peer reset the connection, or closed it while replies were on their way.
    Reset,
    /// The peer was silent or did not read for so long that the kernel gave it up.
    TimedOut,
    /// The socket failed in some other way.
    Io,
    /// The server told the peer why it ends: an ERROR with this reason.
    Error(Reason),
    /// Idle when the shutdown came, and closed for it.
    Drained,
    /// Not done at the drain deadline, or when the server itself was dropped.
    CutOff,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.pad("closed"),
            Self::Truncated => f.pad("truncated"),
            Self::Reset => f.pad("reset"),
            Self::TimedOut => f.pad("timed out"),
            Self::Io => f.pad("I/O error"),
            Self::Error(reason) => write!(f, "error: {reason}"),
            Self::Drained => f.pad("drained"),
            Self::CutOff => f.pad("cut off"),
        }
    }
}

/// What a server did from its start to its end. The books balance: [`accepted`](Self::accepted)
/// is the sum of [`ends`](Self::ends), and [`frames_received`](Self::frames_received) that of
/// [`frames_answered`](Self::frames_answered) and [`frames_dropped`](Self::frames_dropped).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Connections that were served.
    pub accepted: u64,
    /// Connections that were turned away, because of the limit or for want of descriptors.
    pub refused: u64,
    /// Data frames that arrived whole.
    pub frames_received: u64,
    /// Data frames whose reply was handed to the kernel whole.
    pub frames_answered: u64,
    /// Payload bytes of the frames that arrived whole.
    pub bytes_received: u64,
    /// How the connections ended, and how many each way.
    pub ends: BTreeMap<End, u64>,
}

impl Summary {
    /// Frames that arrived whole and whose reply could not be sent: the peer had gone, did not
    /// read, or was cut off.
    pub const fn frames_dropped(&self) -> u64 {
        self.frames_received - self.frames_answered
    }

    /// Connections that were not done at the drain deadline.
    pub fn cut_off(&self) -> u64 {
        self.ends.get(&End::CutOff).copied().unwrap_or(0)
    }
}

impl AddAssign<&Self> for Summary {
    /// Adds the books of another listener.
    fn add_assign(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.frames_received += other.frames_received;
        self.frames_answered += other.frames_answered;
        self.bytes_received += other.bytes_received;
        for (&end, count) in &other.ends {
            *self.ends.entry(end).or_default() += count;
        }
    }
}

impl fmt::Display for Summary {
    /// One line: `accepted=3 refused=0 frames_received=7 … [closed=2, cut off=1]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "accepted={} refused={} frames_received={} frames_answered={} bytes_received={} [{}]",
            self.accepted,
            self.refused,
            self.frames_received,
            self.frames_answered,
            self.bytes_received,
            self.ends_in_words(),
        )
    }
}

impl Summary {
    /// How the connections ended, for a log: `closed=2, cut off=1`.
    pub fn ends_in_words(&self) -> String {
        let ends: Vec<_> = self.ends.iter().map(|(end, count)| format!("{end}={count}")).collect();
        ends.join(", ")
    }
}
