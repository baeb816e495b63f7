//! What happens to a target, as its pings tell it. The figures, the lines and the objects are all
//! made from this.
//!
//! The names and units here are those of `--json`; docs/CLIENT.md explains them to users.

use std::fmt::Display;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer};
use tokio::sync::mpsc;
use volley_proto::ReplyKind;

/// Events that may wait to be printed. Half of it is left to what comes unasked, see
/// [`Reporter::has_room`].
const WAITING: usize = 1024;

/// Something that has happened to a target.
#[derive(Debug)]
pub(crate) struct Report {
    /// The target's place on the command line, from 0.
    pub(crate) target: usize,
    pub(crate) at: SystemTime,
    pub(crate) event: Event,
}

#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event {
    /// The first attempt at connecting is over, or has taken long; pings begin.
    Start {
        /// Where the connection leads, if there is one.
        address: Option<SocketAddr>,
        #[serde(serialize_with = "text_or_null")]
        reply: Option<ReplyKind>,
        bytes: usize,
    },
    /// It will never be pinged.
    Unreachable { why: String },
    /// A ping is due. Exactly one [`Event::Reply`] or [`Event::Lost`] follows, unless all ends.
    #[serde(skip)]
    Ping,
    /// The right reply, in time.
    Reply {
        seq: u64,
        bytes: usize,
        #[serde(rename = "rtt_ns", serialize_with = "nanos")]
        rtt: Duration,
        #[serde(rename = "connect_ns", serialize_with = "nanos_or_null")]
        connect: Option<Duration>,
        #[serde(rename = "handshake_ns", serialize_with = "nanos_or_null")]
        handshake: Option<Duration>,
        reordered: bool,
    },
    /// No right reply in time.
    Lost { seq: u64, reason: Loss, why: String },
    /// The right reply to a ping that was told as lost.
    Late {
        seq: u64,
        bytes: usize,
        #[serde(rename = "rtt_ns", serialize_with = "nanos")]
        rtt: Duration,
        /// As what it was told before.
        #[serde(skip)]
        was: Loss,
    },
    /// The right reply once more.
    Duplicate {
        seq: u64,
        bytes: usize,
        #[serde(rename = "rtt_ns", serialize_with = "nanos")]
        rtt: Duration,
    },
    /// A reply to no ping.
    Stray { bytes: usize },
    /// The server takes no new frames on this connection.
    GoingAway { why: String },
    /// The connection is over, for reasons that are not ours.
    Disconnected { why: String },
    /// There is a connection where there was none.
    Connected {
        address: Option<SocketAddr>,
        #[serde(rename = "after_ns", serialize_with = "nanos")]
        after: Duration,
        /// Whether there had been one before.
        again: bool,
    },
}

/// Why a ping has no right reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Loss {
    /// None came in time.
    NoReply,
    /// It was damaged.
    Corrupt,
    /// The connection ended before.
    Disconnected,
    /// There was no connection, or it took no frame.
    NotSent,
}

/// Where the events of one target go.
#[derive(Clone, Debug)]
pub(crate) struct Reporter {
    target: usize,
    reports: mpsc::Sender<Report>,
}

/// What comes from all reporters, which are made for that many targets.
pub(crate) fn reporters(targets: usize) -> (Vec<Reporter>, mpsc::Receiver<Report>) {
    let (reports, incoming) = mpsc::channel(WAITING * targets);
    let reporter = |target| Reporter { target, reports: reports.clone() };
    ((0..targets).map(reporter).collect(), incoming)
}

impl Reporter {
    pub(crate) async fn tell(&self, event: Event) {
        let report = Report { target: self.target, at: SystemTime::now(), event };
        // Without anybody who listens all is over.
        let _ = self.reports.send(report).await;
    }

    /// Whether what a ping leads to can be told at once. If nobody reads stdout, nothing more should
    /// be sent: telling would have to wait then, and a reply that comes meanwhile would seem slow.
    pub(crate) fn has_room(&self) -> bool {
        self.reports.capacity() > self.reports.max_capacity() / 2
    }
}

fn nanos<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(duration.as_nanos().try_into().unwrap_or(u64::MAX))
}

fn nanos_or_null<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => nanos(duration, serializer),
        None => serializer.serialize_none(),
    }
}

fn text_or_null<S: Serializer>(
    text: &Option<impl Display>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match text {
        Some(text) => serializer.collect_str(text),
        None => serializer.serialize_none(),
    }
}
