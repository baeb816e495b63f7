//! The books of a datagram listener: what it received, and what became of it.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;

use volley_proto::NoReply;

/// Why a datagram got no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Dropped {
    /// It is shorter than its receipt.
    Short,
    /// It begins as a receipt does: another server sent it.
    Receipt,
    /// It comes from a port below 1024, where services are that would answer the reply.
    LowPort,
    /// It comes from the port of a service that is known to be used for reflection.
    Reflector,
    /// It comes from a port where servers such as this one listen: its own, or the default one.
    Server,
    /// It was sent to more than one: every one of them would answer.
    Group,
    /// Its source had as many answered as it may.
    RateLimited,
    /// Too many other sources are at their rate for one more to be kept in mind.
    Crowded,
    /// The system takes no reply of that length for the path back, not even in fragments.
    TooLarge,
    /// The system had no room for its reply.
    Blocked,
    /// Its reply could not be sent for another reason: no way to the source, or a firewall's rule.
    Unsent,
}

impl Dropped {
    /// All there are.
    pub const ALL: [Self; 11] = [
        Self::Short,
        Self::Receipt,
        Self::LowPort,
        Self::Reflector,
        Self::Server,
        Self::Group,
        Self::RateLimited,
        Self::Crowded,
        Self::TooLarge,
        Self::Blocked,
        Self::Unsent,
    ];

    /// In one word, for metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Receipt => "receipt",
            Self::LowPort => "low_port",
            Self::Reflector => "reflector",
            Self::Server => "server",
            Self::Group => "group",
            Self::RateLimited => "rate_limited",
            Self::Crowded => "crowded",
            Self::TooLarge => "too_large",
            Self::Blocked => "blocked",
            Self::Unsent => "unsent",
        }
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Short => "too short for a receipt",
            Self::Receipt => "a receipt",
            Self::LowPort => "from a port below 1024",
            Self::Reflector => "from a reflecting service",
            Self::Server => "from a server",
            Self::Group => "sent to more than one",
            Self::RateLimited => "rate limited",
            Self::Crowded => "too many sources",
            Self::TooLarge => "too large for the path",
            Self::Blocked => "no room to send",
            Self::Unsent => "not sent",
        })
    }
}

impl From<NoReply> for Dropped {
    fn from(why: NoReply) -> Self {
        match why {
            NoReply::Short { .. } => Self::Short,
            // What else there will be is about what was sent, too.
            _ => Self::Receipt,
        }
    }
}

/// What a datagram listener has done since its start. The books balance at any instant:
/// [`received`](Self::received) = [`answered`](Self::answered) + the sum of
/// [`dropped`](Self::dropped).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DatagramBooks {
    /// Datagrams that were received.
    pub received: u64,
    /// Those of them whose reply was handed to the kernel.
    pub answered: u64,
    /// The others, by why they got no reply.
    pub dropped: BTreeMap<Dropped, u64>,
    /// Payload bytes of the datagrams that were received.
    pub bytes_in: u64,
    /// Payload bytes of their replies.
    pub bytes_out: u64,
    /// Datagrams that the kernel threw away because the socket's queue was full; they are not among
    /// those that were received. 0 where the system does not tell.
    pub overflowed: u64,
    /// How often receiving failed. No datagram is lost by that.
    pub receive_errors: u64,
}

impl DatagramBooks {
    /// Datagrams that got no reply, for whatever reason.
    pub fn dropped(&self) -> u64 {
        self.dropped.values().sum()
    }

    /// Whether they balance, which they always do.
    pub fn balance(&self) -> bool {
        self.received == self.answered + self.dropped()
    }

    /// Why datagrams got no reply, for a log: `rate limited=2, a receipt=1`.
    pub fn dropped_in_words(&self) -> String {
        let dropped: Vec<_> =
            self.dropped.iter().map(|(why, count)| format!("{why}={count}")).collect();
        dropped.join(", ")
    }
}

impl AddAssign<&Self> for DatagramBooks {
    /// Adds the books of another listener.
    fn add_assign(&mut self, other: &Self) {
        self.received += other.received;
        self.answered += other.answered;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.overflowed += other.overflowed;
        self.receive_errors += other.receive_errors;
        for (&why, count) in &other.dropped {
            *self.dropped.entry(why).or_default() += count;
        }
    }
}

impl fmt::Display for DatagramBooks {
    /// One line: `received=7 answered=5 … [rate limited=2]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "received={} answered={} bytes_in={} bytes_out={} overflowed={} [{}]",
            self.received,
            self.answered,
            self.bytes_in,
            self.bytes_out,
            self.overflowed,
            self.dropped_in_words(),
        )
    }
}
