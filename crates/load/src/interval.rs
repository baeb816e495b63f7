//! What a worker measures: one interval at a time, merged by adding.

use std::ops::AddAssign;

use crate::ledger::Books;
use crate::recorder::Latencies;

/// The measurements of one worker in one stretch of time, or of many workers and stretches merged.
#[derive(Clone, Debug, Default)]
pub struct Interval {
    /// Frames that were sent or settled in it. A frame is entered in the interval in which it was
    /// sent and settled in the one in which its reply came, so only a whole run's books balance.
    pub books: Books,
    /// Planned to reply. Empty in a closed loop, where it would be the same as `service`.
    pub response: Latencies,
    /// Written to reply.
    pub service: Latencies,
    /// Planned to written. Empty in a closed loop.
    pub send_delay: Latencies,
    /// Connecting, and WELCOME where there is one.
    pub connect: Latencies,
    /// Payload bytes sent.
    pub bytes_sent: u64,
    /// Payload bytes received.
    pub bytes_received: u64,
    /// Frames that were due and had to wait for a place in the pipeline.
    pub waited: u64,
    /// Connections that were opened again after the first time.
    pub reconnects: u64,
    /// Replies that belonged to no frame of this run.
    pub unasked: u64,
}

impl Interval {
    /// An empty one whose histograms are as large, so that they need not grow again.
    pub fn like(&self) -> Self {
        Self {
            response: self.response.like(),
            service: self.service.like(),
            send_delay: self.send_delay.like(),
            connect: self.connect.like(),
            ..Self::default()
        }
    }
}

impl AddAssign<&Self> for Interval {
    fn add_assign(&mut self, other: &Self) {
        self.books += &other.books;
        self.response.add(&other.response);
        self.service.add(&other.service);
        self.send_delay.add(&other.send_delay);
        self.connect.add(&other.connect);
        self.bytes_sent += other.bytes_sent;
        self.bytes_received += other.bytes_received;
        self.waited += other.waited;
        self.reconnects += other.reconnects;
        self.unasked += other.unasked;
    }
}
