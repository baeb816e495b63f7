//! What a run is to do, as plain data. Nothing here starts anything.

pub mod notation;
pub mod phases;
pub mod schedule;
pub mod sizes;
pub mod sources;

use std::net::IpAddr;
use std::time::Duration;

use volley_client::{Framing, ProxyHeader, Tls};
use volley_proto::{Endpoint, ReplyKind};

use crate::plan::schedule::Schedule;
use crate::plan::sizes::Sizes;

/// Everything that is fixed before a run begins.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where the connections go, one after the other in turn; never empty.
    pub targets: Vec<Endpoint>,
    /// Connections that send frames.
    pub connections: u32,
    /// Further connections that are only held open.
    pub idle: u32,
    /// New connections per second; `None` opens them as fast as they come.
    pub connect_rate: Option<f64>,
    /// Local addresses to connect from, in turn; empty leaves it to the system.
    pub sources: Vec<IpAddr>,
    /// Frames in flight per connection, at most; not 0.
    pub pipeline: u32,
    /// How long generated payloads are.
    pub sizes: Sizes,
    /// The same payload for every frame, in place of generated ones.
    pub payload: Option<Vec<u8>>,
    /// How frames stand in the bytes of a connection; raw ones have at least one byte, no HELLO and
    /// no receipts.
    pub framing: Framing,
    /// Whether to say HELLO, and what to ask for: `None` says no HELLO.
    pub hello: bool,
    /// The reply to ask for, or to expect without HELLO.
    pub reply: Option<ReplyKind>,
    /// When frames are sent.
    pub pace: Pace,
    /// When the run is over.
    pub stop: Stop,
    /// How much of the beginning is left out of every figure.
    pub warmup: Duration,
    /// How long a reply is awaited.
    pub timeout: Duration,
    /// How to speak TLS with `tls://` targets; `None` is [`Tls::system`].
    pub tls: Option<Tls>,
    /// A PROXY header at the beginning of each connection.
    pub proxy_header: Option<ProxyHeader>,
    /// How long connections live.
    pub life: Life,
    /// Makes payloads, sizes and random arrivals the same in every run.
    pub seed: u64,
    /// Threads that send; not 0.
    pub threads: u32,
}

impl Plan {
    /// When the run's figures end, if its time is limited, in nanoseconds after its beginning.
    pub fn end(&self) -> Option<u64> {
        self.stop.duration.map(|duration| nanos(self.warmup.saturating_add(duration)))
    }

    /// Where connection number `connection` comes from, if that is not left to the system. Every
    /// target is reached from every source before a pair comes again.
    pub fn source(&self, connection: u32) -> Option<IpAddr> {
        let round = connection as usize / self.targets.len().max(1);
        self.sources.get(round % self.sources.len().max(1)).copied()
    }

    /// The longest payload of the plan in bytes.
    pub fn longest(&self) -> u32 {
        match &self.payload {
            Some(payload) => u32::try_from(payload.len()).unwrap_or(u32::MAX),
            None => self.sizes.longest(),
        }
    }

    /// The length of the shortest payload in bytes.
    pub fn shortest(&self) -> u32 {
        match &self.payload {
            Some(payload) => u32::try_from(payload.len()).unwrap_or(u32::MAX),
            None => self.sizes.shortest(),
        }
    }

    /// Draws the length of a payload in bytes.
    #[inline]
    pub fn draw_len(&self, random: &mut fastrand::Rng) -> u32 {
        if self.payload.is_some() { self.longest() } else { self.sizes.draw(random) }
    }

    /// Connections of both kinds.
    pub const fn all_connections(&self) -> u32 {
        self.connections.saturating_add(self.idle)
    }

    /// Frames that are planned from the warm-up's end until `elapsed` later; `None` in a closed
    /// loop, which plans none.
    pub fn planned(&self, elapsed: Duration) -> Option<f64> {
        match &self.pace {
            Pace::Closed => None,
            Pace::Open { schedule, .. } => {
                let until = schedule.planned_until(self.warmup.saturating_add(elapsed));
                Some(until - schedule.planned_until(self.warmup))
            }
        }
    }
}

impl Default for Plan {
    /// Five seconds of 16 connections to the default endpoint, each with one frame of 64 bytes in
    /// flight.
    fn default() -> Self {
        Self {
            targets: vec![Endpoint::DEFAULT],
            connections: 16,
            idle: 0,
            connect_rate: None,
            sources: Vec::new(),
            pipeline: 1,
            sizes: Sizes::Fixed(64),
            payload: None,
            framing: Framing::Frames,
            hello: true,
            reply: None,
            pace: Pace::Closed,
            stop: Stop { duration: Some(Duration::from_secs(5)), frames: None },
            warmup: Duration::ZERO,
            timeout: Duration::from_secs(5),
            tls: None,
            proxy_header: None,
            life: Life { frames: None, reconnect: true },
            seed: 1,
            threads: 1,
        }
    }
}

/// Nanoseconds; five centuries at most.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// When frames are sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Pace {
    /// As fast as replies come: a new frame for each reply.
    Closed,
    /// By a schedule, whatever the server does.
    Open {
        /// The planned instants.
        schedule: Schedule,
        /// How they are spread.
        arrivals: Arrivals,
    },
}

/// How the planned instants of a schedule are spread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arrivals {
    /// Evenly.
    #[default]
    Constant,
    /// At random, as independent clients would send: a Poisson process of the same rate.
    Poisson,
}

/// When a run is over: at whichever comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stop {
    /// After this long, counted from the end of the warm-up.
    pub duration: Option<Duration>,
    /// After so many frames, those of the warm-up not counted.
    pub frames: Option<u64>,
}

/// How long a connection lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// Closed and opened anew after so many frames.
    pub frames: Option<u64>,
    /// Whether a connection that failed, or whose server said GOAWAY, is opened anew. If not, its
    /// failure ends the run.
    pub reconnect: bool,
}
