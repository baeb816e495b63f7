//! A worker's bench: the buffers and the measurements that its connections use in turn.

use std::time::Instant;

use crate::flight::InFlight;
use crate::interval::Interval;

/// How much one read may bring in.
const READ_LEN: usize = 256 * 1024;

/// What the connections of one worker share, one at a time.
#[derive(Debug)]
pub struct Bench {
    /// Where reads go.
    pub input: Vec<u8>,
    /// Where frames are encoded.
    pub output: Vec<u8>,
    /// What has been measured in the current interval.
    pub interval: Interval,
    /// Whether frames are planned, so that planned and written are two instants.
    pub is_open: bool,
    began: Instant,
    /// Frames that were written up to this instant are overdue; `None` before the first time-out.
    pub expired: Option<u64>,
    /// When the warm-up ends, in nanoseconds after the beginning.
    pub warmup: u64,
}

impl Bench {
    /// A bench whose clock begins with `began`; the warm-up ends `warmup` nanoseconds later.
    pub fn new(began: Instant, warmup: u64, is_open: bool) -> Self {
        let (input, output) = (vec![0; READ_LEN], Vec::with_capacity(READ_LEN));
        Self { input, output, interval: Interval::default(), is_open, began, warmup, expired: None }
    }

    /// The run begins: from now on the clock counts from `began`.
    pub const fn begin(&mut self, began: Instant) {
        self.began = began;
    }

    /// Nanoseconds since the run began.
    #[inline]
    pub fn now(&self) -> u64 {
        // Overflows after five centuries.
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// A frame is being sent.
    #[inline]
    pub fn sent(&mut self, frame: &InFlight) {
        self.interval.books.of(frame.is_warmup).send(1);
        if !frame.is_warmup {
            self.interval.bytes_sent += u64::from(frame.len);
        }
    }

    /// A frame is out.
    #[inline]
    pub fn delayed(&mut self, frame: &InFlight) {
        if self.is_open && !frame.is_warmup {
            self.interval.send_delay.record(frame.written.saturating_sub(frame.planned), 1);
        }
    }

    /// The reply to a frame has come.
    #[inline]
    pub fn answered(&mut self, frame: &InFlight, now: u64) {
        if frame.is_warmup {
            return;
        }
        self.interval.service.record(now.saturating_sub(frame.written), 1);
        if self.is_open {
            self.interval.response.record(now.saturating_sub(frame.planned), 1);
        }
    }
}
