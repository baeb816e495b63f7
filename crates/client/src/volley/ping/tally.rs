//! What has become of the pings to one target, in numbers.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::args::PingArgs;
use super::event::{Event, Loss};
use super::times::{Figures, Times};

/// The counts of a target while events come.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    counts: Counts,
    address: Option<SocketAddr>,
    rtt: Times,
    connect: Times,
    handshake: Times,
    /// When pings began, and when something happened last.
    time: Option<(Instant, Instant)>,
    unreachable: bool,
}

/// Numbers of pings and of what came for them. Every ping ends in one of the first six, or is among
/// the unfinished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    pub(crate) pings: u64,
    pub(crate) answered: u64,
    pub(crate) no_reply: u64,
    pub(crate) late: u64,
    pub(crate) corrupt: u64,
    pub(crate) disconnected: u64,
    pub(crate) not_sent: u64,
    pub(crate) unfinished: u64,
    pub(crate) reordered: u64,
    pub(crate) duplicate: u64,
    pub(crate) stray: u64,
    pub(crate) reconnects: u64,
}

/// A target's pings in numbers, for whoever shows them.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) address: Option<SocketAddr>,
    #[serde(flatten)]
    pub(crate) counts: Counts,
    /// Pings that ended without the right reply in time.
    pub(crate) lost: u64,
    /// The same as a part of those that ended, from 0 to 1.
    pub(crate) loss: Option<f64>,
    pub(crate) elapsed_ns: u64,
    pub(crate) rtt_ns: Option<Figures>,
    pub(crate) connect_ns: Option<Figures>,
    pub(crate) handshake_ns: Option<Figures>,
    /// Whether the target makes for an exit code of 0.
    pub(crate) passed: bool,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            counts: Counts::default(),
            address: None,
            rtt: Times::new(),
            connect: Times::new(),
            handshake: Times::new(),
            time: None,
            unreachable: false,
        }
    }

    /// Counts what has happened.
    pub(crate) fn count(&mut self, event: &Event) {
        let (now, counts) = (Instant::now(), &mut self.counts);
        self.time = Some((self.time.map_or(now, |(start, _)| start), now));
        match event {
            Event::Start { address, .. } => {
                self.address = *address;
                self.time = Some((now, now));
            }
            Event::Unreachable { .. } => self.unreachable = true,
            Event::Ping => {
                counts.pings += 1;
                counts.unfinished += 1;
            }
            Event::Reply { rtt, connect, handshake, reordered, .. } => {
                counts.unfinished -= 1;
                counts.answered += 1;
                counts.reordered += u64::from(*reordered);
                self.rtt.record(*rtt);
                if let Some(connect) = connect {
                    self.connect.record(*connect);
                }
                if let Some(handshake) = handshake {
                    self.handshake.record(*handshake);
                }
            }
            Event::Lost { reason, .. } => {
                counts.unfinished -= 1;
                *counts.of(*reason) += 1;
            }
            Event::Late { was, .. } => {
                *counts.of(*was) -= 1;
                counts.late += 1;
            }
            Event::Duplicate { .. } => counts.duplicate += 1,
            Event::Stray { .. } => counts.stray += 1,
            Event::Connected { address, again, .. } => {
                self.address = *address;
                counts.reconnects += u64::from(*again);
            }
            Event::GoingAway { .. } | Event::Disconnected { .. } => {}
        }
    }

    /// Whether the target has been heard of.
    pub(crate) const fn has_started(&self) -> bool {
        self.time.is_some()
    }

    /// Whether it could not even be tried.
    pub(crate) const fn is_unreachable(&self) -> bool {
        self.unreachable
    }

    pub(crate) fn summary(&self, args: &PingArgs) -> Summary {
        let counts = self.counts;
        let ended = counts.pings - counts.unfinished;
        let lost = ended - counts.answered;
        let elapsed = self.time.map_or(Duration::ZERO, |(start, last)| last - start);
        Summary {
            address: self.address,
            counts,
            lost,
            #[expect(clippy::cast_precision_loss, reason = "nobody pings 2^52 times")]
            loss: (ended > 0).then(|| lost as f64 / ended as f64),
            elapsed_ns: elapsed.as_nanos().try_into().unwrap_or(u64::MAX),
            rtt_ns: self.rtt.figures(),
            connect_ns: self.connect.figures(),
            handshake_ns: self.handshake.figures(),
            passed: counts.pass(args),
        }
    }
}

impl Counts {
    const fn of(&mut self, reason: Loss) -> &mut u64 {
        match reason {
            Loss::NoReply => &mut self.no_reply,
            Loss::Corrupt => &mut self.corrupt,
            Loss::Disconnected => &mut self.disconnected,
            Loss::NotSent => &mut self.not_sent,
        }
    }

    /// As with ping(8), one answer is enough, unless a number of them was wanted by a deadline. But
    /// a server that sends what it must not has not answered.
    fn pass(&self, args: &PingArgs) -> bool {
        let wanted = match (args.count, args.deadline) {
            (Some(count), Some(_)) => count.get(),
            _ => 1,
        };
        let wrong = self.corrupt + self.reordered + self.duplicate + self.stray;
        self.answered >= wanted && wrong == 0
    }
}
