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

impl End {
    /// All there are.
    pub fn all() -> impl Iterator<Item = Self> {
        [
            Self::Closed,
            Self::Truncated,
            Self::Reset,
            Self::TimedOut,
            Self::Io,
            Self::Drained,
            Self::CutOff,
        ]
        .into_iter()
        .chain(Reason::ALL.into_iter().map(Self::Error))
    }

    /// In one word, for metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Truncated => "truncated",
            Self::Reset => "reset",
            Self::TimedOut => "timed_out",
            Self::Io => "io_error",
            Self::Drained => "drained",
            Self::CutOff => "cut_off",
            Self::Error(reason) => reason.label(),
        }
    }
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

/// Why a connection was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// There were as many connections as there may be.
    Connections,
    /// Its source had as many as one may have.
    Source,
    /// The process or the system had no descriptor left.
    Descriptors,
}

impl Refusal {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Connections, Self::Source, Self::Descriptors];

    /// In one word, for metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Source => "source",
            Self::Descriptors => "descriptors",
        }
    }
}

impl fmt::Display for Refusal {
    /// What the peer is told.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Connections => "the server has as many connections as it may",
            Self::Source => "you have as many connections as one source may",
            Self::Descriptors => "the server has no file descriptors left",
        })
    }
}

/// Whose fault an error of accept(2) was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum AcceptError {
    /// The connection had died before it was accepted.
    Peer,
    /// The system lacked memory.
    Memory,
    /// The process or the system had no descriptor left.
    Descriptors,
}

impl AcceptError {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Peer, Self::Memory, Self::Descriptors];

    /// In one word, for metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Memory => "memory",
            Self::Descriptors => "descriptors",
        }
    }
}

/// Why a connection came to nothing between its acceptance and its first frame: on a listener that
/// requires a PROXY header or a TLS handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum OpenFailure {
    /// It took too long.
    TimedOut,
    /// The peer closed or reset it.
    Closed,
    /// The socket failed in some other way.
    Io,
    /// Nothing had come when the shutdown came, and it was closed for it.
    Drained,
    /// Not done at the drain deadline, or when the server itself was dropped.
    CutOff,
    /// It did not come from a trusted balancer.
    ProxyUntrusted,
    /// It began with no PROXY header, or with a bad one.
    ProxyHeader,
    /// What came was not TLS.
    NotTls,
    /// The two sides have no version, cipher or protocol (ALPN) in common.
    TlsMismatch,
    /// The peer broke the rules of TLS.
    TlsBroken,
    /// The peer showed no certificate, and had to.
    CertificateMissing,
    /// The peer's certificate is expired, or not valid yet.
    CertificateExpired,
    /// The peer's certificate is of an authority that is not trusted here.
    CertificateUnknownCa,
    /// The peer's certificate is bad in some other way.
    CertificateBad,
    /// The peer ended the handshake with an alert: it does not trust our certificate, most often.
    Alert,
}

impl OpenFailure {
    /// All there are.
    pub const ALL: [Self; 15] = [
        Self::TimedOut,
        Self::Closed,
        Self::Io,
        Self::Drained,
        Self::CutOff,
        Self::ProxyUntrusted,
        Self::ProxyHeader,
        Self::NotTls,
        Self::TlsMismatch,
        Self::TlsBroken,
        Self::CertificateMissing,
        Self::CertificateExpired,
        Self::CertificateUnknownCa,
        Self::CertificateBad,
        Self::Alert,
    ];

    /// In one word, for metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::TimedOut => "timed_out",
            Self::Closed => "closed",
            Self::Io => "io_error",
            Self::Drained => "drained",
            Self::CutOff => "cut_off",
            Self::ProxyUntrusted => "proxy_untrusted",
            Self::ProxyHeader => "proxy_header",
            Self::NotTls => "not_tls",
            Self::TlsMismatch => "tls_mismatch",
            Self::TlsBroken => "tls_broken",
            Self::CertificateMissing => "certificate_missing",
            Self::CertificateExpired => "certificate_expired",
            Self::CertificateUnknownCa => "certificate_unknown_ca",
            Self::CertificateBad => "certificate_bad",
            Self::Alert => "alert",
        }
    }
}

impl fmt::Display for OpenFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::TimedOut => "timed out",
            Self::Closed => "closed",
            Self::Io => "I/O error",
            Self::Drained => "drained",
            Self::CutOff => "cut off",
            Self::ProxyUntrusted => "not from a balancer",
            Self::ProxyHeader => "bad PROXY header",
            Self::NotTls => "not TLS",
            Self::TlsMismatch => "nothing in common",
            Self::TlsBroken => "broken TLS",
            Self::CertificateMissing => "no client certificate",
            Self::CertificateExpired => "client certificate expired",
            Self::CertificateUnknownCa => "client certificate of an unknown CA",
            Self::CertificateBad => "bad client certificate",
            Self::Alert => "alert from the peer",
        })
    }
}

/// What a server has done since its start. The books balance at any instant:
///
/// - [`accepted`](Self::accepted) = [`active`](Self::active) + the sum of [`ends`](Self::ends)
/// - [`frames_received`](Self::frames_received) = [`frames_answered`](Self::frames_answered) +
///   the sum of [`dropped`](Self::dropped) + [`frames_pending`](Self::frames_pending)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Books {
    /// Connections that were served.
    pub accepted: u64,
    /// Those of them that are open.
    pub active: u64,
    /// How the others ended, and how many each way.
    pub ends: BTreeMap<End, u64>,
    /// Connections that were turned away.
    pub refused: BTreeMap<Refusal, u64>,
    /// Connections that wait for their PROXY header or their TLS handshake, and are in none of the
    /// above yet.
    pub opening: u64,
    /// Connections that came to nothing meanwhile.
    pub open_failures: BTreeMap<OpenFailure, u64>,
    /// How often one of them waited for its turn among
    /// [`Config::max_handshakes`](crate::Config::max_handshakes).
    pub handshake_waits: u64,
    /// TLS handshakes that were completed.
    pub handshakes: u64,
    /// Those of them that went on with an earlier session.
    pub resumed: u64,
    /// Errors of accept(2).
    pub accept_errors: BTreeMap<AcceptError, u64>,
    /// How often accepting waited, so as not to be faster than it may.
    pub accept_pauses: u64,
    /// How often a connection waited, so as not to be faster than it may.
    pub throttled: u64,
    /// Data frames that arrived whole.
    pub frames_received: u64,
    /// Data frames whose reply was handed to the kernel whole.
    pub frames_answered: u64,
    /// Data frames that arrived whole and whose reply could not be sent, by how their connection
    /// ended: the peer had gone, did not read, or was cut off.
    pub dropped: BTreeMap<End, u64>,
    /// Data frames whose reply waits until its peer takes more.
    pub frames_pending: u64,
    /// Payload bytes of the frames that arrived whole.
    pub payload_bytes: u64,
    /// Bytes read from connections: heads, control frames and fragments count.
    pub bytes_in: u64,
    /// Bytes handed to the kernel for them.
    pub bytes_out: u64,
}

impl Books {
    /// Connections that are over.
    pub fn closed(&self) -> u64 {
        self.ends.values().sum()
    }

    /// Connections that were turned away, for whatever reason.
    pub fn refused(&self) -> u64 {
        self.refused.values().sum()
    }

    /// Connections that came to nothing before their first frame, for whatever reason.
    pub fn open_failures(&self) -> u64 {
        self.open_failures.values().sum()
    }

    /// Frames that arrived whole and whose reply could not be sent.
    pub fn frames_dropped(&self) -> u64 {
        self.dropped.values().sum()
    }

    /// Connections that were not done at the drain deadline, or not even open.
    pub fn cut_off(&self) -> u64 {
        let open = self.ends.get(&End::CutOff).copied().unwrap_or(0);
        open + self.open_failures.get(&OpenFailure::CutOff).copied().unwrap_or(0)
    }

    /// Whether they balance, which they always do.
    pub fn balance(&self) -> bool {
        self.accepted == self.active + self.closed()
            && self.frames_received
                == self.frames_answered + self.frames_dropped() + self.frames_pending
    }

    /// How the connections ended, for a log: `closed=2, cut off=1`.
    pub fn ends_in_words(&self) -> String {
        in_words(&self.ends)
    }

    /// Why connections came to nothing before their first frame, for a log: `timed out=2,
    /// closed=1`.
    pub fn open_failures_in_words(&self) -> String {
        in_words(&self.open_failures)
    }
}

impl AddAssign<&Self> for Books {
    /// Adds the books of another listener.
    fn add_assign(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.active += other.active;
        self.opening += other.opening;
        self.handshake_waits += other.handshake_waits;
        self.handshakes += other.handshakes;
        self.resumed += other.resumed;
        self.accept_pauses += other.accept_pauses;
        self.throttled += other.throttled;
        self.frames_received += other.frames_received;
        self.frames_answered += other.frames_answered;
        self.frames_pending += other.frames_pending;
        self.payload_bytes += other.payload_bytes;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        add(&mut self.ends, &other.ends);
        add(&mut self.refused, &other.refused);
        add(&mut self.open_failures, &other.open_failures);
        add(&mut self.accept_errors, &other.accept_errors);
        add(&mut self.dropped, &other.dropped);
    }
}

fn in_words<K: fmt::Display>(counts: &BTreeMap<K, u64>) -> String {
    let counts: Vec<_> = counts.iter().map(|(key, count)| format!("{key}={count}")).collect();
    counts.join(", ")
}

fn add<K: Copy + Ord>(sums: &mut BTreeMap<K, u64>, more: &BTreeMap<K, u64>) {
    for (&key, count) in more {
        *sums.entry(key).or_default() += count;
    }
}

impl fmt::Display for Books {
    /// One line: `accepted=3 refused=0 frames_received=7 … [closed=2, cut off=1]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "accepted={} refused={} frames_received={} frames_answered={} payload_bytes={} [{}]",
            self.accepted,
            self.refused(),
            self.frames_received,
            self.frames_answered,
            self.payload_bytes,
            self.ends_in_words(),
        )
    }
}
