//! What a worker measures: one interval at a time, merged by adding.

use std::ops::AddAssign;
use std::time::Duration;

use crate::measure::ledger::Ledger;
use crate::measure::recorder::Latencies;

/// What was measured of a set of frames: those of the run, or those of its warm-up.
///
/// A frame is entered in the interval in which it was sent and settled in the one in which its
/// reply came, so only a whole run's ledger balances.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// What became of the frames.
    pub ledger: Ledger,
    /// Planned to reply. Empty in a closed loop, where it would be the same as `service`.
    pub response: Latencies,
    /// Written to reply.
    pub service: Latencies,
    /// Planned to written. Empty in a closed loop.
    pub send_delay: Latencies,
    /// Connecting, and WELCOME where there is one; a TLS handshake is left out.
    pub connect: Latencies,
    /// TLS handshakes.
    pub handshake: Latencies,
    /// Payload bytes sent.
    pub bytes_sent: u64,
    /// Payload bytes received in replies to these frames.
    pub bytes_received: u64,
    /// Frames that were due and had to wait for a place in the pipeline.
    pub waited: u64,
    /// Frames that were planned and never sent, because the run was over before there was room.
    pub unsent: u64,
    /// Connections that were opened again, whatever ended the one before.
    pub reconnects: u64,
    /// TLS handshakes that went on with the session of an earlier one.
    pub resumed: u64,
    /// Connections whose server asked for no more frames.
    pub goaways: u64,
    /// Replies that no frame of this run was waiting for.
    pub strays: u64,
}

impl Measured {
    fn like(&self) -> Self {
        Self {
            response: self.response.like(),
            service: self.service.like(),
            send_delay: self.send_delay.like(),
            connect: self.connect.like(),
            handshake: self.handshake.like(),
            ..Self::default()
        }
    }
}

impl AddAssign<&Self> for Measured {
    fn add_assign(&mut self, other: &Self) {
        self.ledger += &other.ledger;
        self.response.add(&other.response);
        self.service.add(&other.service);
        self.send_delay.add(&other.send_delay);
        self.connect.add(&other.connect);
        self.handshake.add(&other.handshake);
        self.bytes_sent += other.bytes_sent;
        self.bytes_received += other.bytes_received;
        self.waited += other.waited;
        self.unsent += other.unsent;
        self.reconnects += other.reconnects;
        self.resumed += other.resumed;
        self.goaways += other.goaways;
        self.strays += other.strays;
    }
}

/// The measurements of one worker in one stretch of time, or of many workers and stretches merged.
#[derive(Clone, Debug, Default)]
pub struct Interval {
    /// Frames planned in the warm-up, which is left out of every figure.
    pub warmup: Measured,
    /// All others.
    pub run: Measured,
    /// Processor time of the sending threads.
    pub cpu: Duration,
    /// When the last of the run's frames was sent, in nanoseconds after its beginning.
    pub last_sent: u64,
    /// When the last reply to one came, likewise.
    pub last_reply: u64,
}

impl Interval {
    /// An empty one whose histograms are as large, so that they need not grow again.
    pub fn like(&self) -> Self {
        Self { warmup: self.warmup.like(), run: self.run.like(), ..Self::default() }
    }

    /// Where a frame is measured. It belongs to the warm-up if it was planned before the warm-up's
    /// end, whenever its reply comes; so the ledger of each balances.
    #[inline]
    pub const fn of(&mut self, is_warmup: bool) -> &mut Measured {
        if is_warmup { &mut self.warmup } else { &mut self.run }
    }

    /// Frames that were sent and of which it is not known yet what became of them.
    pub fn in_flight(&self) -> u64 {
        let both = self.warmup.ledger.imbalance() + self.run.ledger.imbalance();
        u64::try_from(both).unwrap_or(0)
    }
}

impl AddAssign<&Self> for Interval {
    fn add_assign(&mut self, other: &Self) {
        self.warmup += &other.warmup;
        self.run += &other.run;
        self.cpu += other.cpu;
        self.last_sent = self.last_sent.max(other.last_sent);
        self.last_reply = self.last_reply.max(other.last_reply);
    }
}
