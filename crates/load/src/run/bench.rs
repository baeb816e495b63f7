//! A worker's bench: the buffers and the measurements that its connections use in turn.

use std::time::Instant;

use crate::measure::interval::Interval;
use crate::plan::{Pace, Plan, nanos};
use crate::run::flight::Times;

/// How much one read may bring in.
const READ_LEN: usize = 256 * 1024;

/// Frames that were written together, and whose right replies came together: they are counted and
/// recorded together.
#[derive(Clone, Copy, Debug, Default)]
struct Batch {
    times: Times,
    now: u64,
    frames: u64,
    bytes: u64,
}

/// What the connections of one worker share, one at a time.
#[derive(Debug)]
pub struct Bench {
    /// Where reads go.
    pub input: Vec<u8>,
    /// Where frames are encoded.
    pub output: Vec<u8>,
    /// How much of it is encoded.
    pub encoded: usize,
    /// What has been measured in the current interval.
    pub interval: Interval,
    /// Whether frames are planned, so that planned and written are two instants.
    pub is_open: bool,
    began: Instant,
    /// Frames that were written up to this instant are overdue; `None` before the first time-out.
    pub expired: Option<u64>,
    batch: Batch,
    /// How long a reply is awaited, in nanoseconds.
    pub timeout: u64,
    /// When the warm-up ends, in nanoseconds after the beginning.
    pub warmup: u64,
}

impl Bench {
    /// A bench for a plan, whose clock begins with `began`.
    pub fn new(began: Instant, plan: &Plan) -> Self {
        let (input, output) = (vec![0; READ_LEN], vec![0; READ_LEN]);
        Self {
            input,
            output,
            encoded: 0,
            interval: Interval::default(),
            is_open: plan.pace != Pace::Closed,
            began,
            batch: Batch::default(),
            warmup: nanos(plan.warmup),
            timeout: nanos(plan.timeout),
            expired: None,
        }
    }

    /// The run begins: from now on the clock counts from `began`. Saying it again changes nothing.
    pub fn begin(&mut self, began: Instant) {
        if self.began != began {
            self.began = began;
            // By the clock as it was before.
            self.expired = None;
        }
    }

    /// Nanoseconds since the run began.
    #[inline]
    pub fn now(&self) -> u64 {
        nanos(self.began.elapsed())
    }

    /// An instant in nanoseconds after the run's beginning.
    pub fn at(&self, instant: Instant) -> u64 {
        nanos(instant.saturating_duration_since(self.began))
    }

    /// Room for a head and a payload of so many bytes behind what is encoded.
    #[inline]
    pub fn room(&mut self, head_len: usize, len: usize) -> (&mut [u8], &mut [u8]) {
        let (at, frame_len) = (self.encoded, head_len + len);
        self.encoded += frame_len;
        if self.output.len() < self.encoded {
            self.output.resize(self.encoded, 0);
        }
        self.output[at..at + frame_len].split_at_mut(head_len)
    }

    /// A frame with `len` payload bytes is being sent.
    #[inline]
    pub fn sent(&mut self, len: u32, is_warmup: bool) {
        let measured = self.interval.of(is_warmup);
        measured.ledger.send(1);
        measured.bytes_sent += u64::from(len);
    }

    /// A frame is out.
    #[inline]
    pub fn delayed(&mut self, times: Times) {
        if self.is_open {
            let delay = times.written.saturating_sub(times.planned);
            self.interval.of(times.is_warmup).send_delay.record(delay, 1);
        }
    }

    /// Frames were written at `now`.
    pub const fn wrote(&mut self, now: u64) {
        if now >= self.warmup {
            self.interval.last_sent = now;
        }
    }

    /// The right reply to the frame whose turn it was has come: `len` payload bytes.
    /// [`Bench::settle`] must follow before the measurements are read.
    #[inline]
    pub fn right(&mut self, times: Times, len: usize, now: u64) {
        if times != self.batch.times || now != self.batch.now {
            self.settle();
            self.batch = Batch { times, now, frames: 0, bytes: 0 };
        }
        self.batch.frames += 1;
        self.batch.bytes += len as u64;
    }

    /// Counts and records the frames that have been gathered.
    #[inline]
    pub fn settle(&mut self) {
        let Batch { times, now, frames, bytes } = self.batch;
        if frames > 0 {
            self.batch.frames = 0;
            self.batch.bytes = 0;
            self.interval.of(times.is_warmup).ledger.settle_right(frames);
            self.answered(times, frames, bytes, now);
        }
    }

    /// The replies to `frames` frames alike have come, with so many payload bytes.
    pub fn answered(&mut self, times: Times, frames: u64, bytes: u64, now: u64) {
        self.interval.of(times.is_warmup).bytes_received += bytes;
        if !times.is_warmup {
            self.interval.last_reply = now;
        }
        self.took(times, frames, now);
    }

    /// `frames` frames alike have taken until `now`, or at least until then.
    pub fn took(&mut self, times: Times, frames: u64, now: u64) {
        let is_open = self.is_open;
        let measured = self.interval.of(times.is_warmup);
        measured.service.record(now.saturating_sub(times.written), frames);
        if is_open {
            measured.response.record(now.saturating_sub(times.planned), frames);
        }
    }

    /// So many frames that were planned are not sent any more: they take at least until `now`.
    pub fn left(&mut self, planned: u64, frames: u64, now: u64) {
        let is_warmup = planned < self.warmup;
        let measured = self.interval.of(is_warmup);
        measured.unsent += frames;
        measured.response.record(now.saturating_sub(planned), frames);
    }

    /// Whether the run is still in its warm-up.
    pub fn is_warming_up(&self) -> bool {
        self.now() < self.warmup
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_was_overdue_by_another_clock_is_forgotten_when_the_run_begins() {
        let mut bench = Bench::new(Instant::now(), &Plan::default());
        bench.expired = Some(1);
        bench.begin(Instant::now() + Duration::from_secs(1));
        assert_eq!(bench.expired, None);
    }
}
