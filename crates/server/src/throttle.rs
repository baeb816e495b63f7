//! Slows one connection down to the rates that it may have: it is read from more slowly, and its
//! peer feels it by TCP's own means.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Sleep, sleep};

use crate::Config;
use crate::limits::rate::Bucket;
use crate::unsent::{frame_end, is_data};

/// The rates of one connection; made only where there are any.
#[derive(Debug)]
pub(crate) struct Throttle {
    frames: Option<Bucket>,
    bytes: Option<Bucket>,
    alarm: Pin<Box<Sleep>>,
}

impl Throttle {
    /// What `config` asks for; `None` if it sets no rate. `before` is what it was until now.
    pub(crate) fn adopt(before: Option<Box<Self>>, config: &Config) -> Option<Box<Self>> {
        if config.frame_rate.is_none() && config.byte_rate.is_none() {
            return None;
        }
        let mut throttle = before.unwrap_or_else(|| {
            Box::new(Self { frames: None, bytes: None, alarm: Box::pin(sleep(Default::default())) })
        });
        let rated = |bucket: Option<Bucket>, rate: Option<f64>| {
            let rate = rate?;
            let mut bucket = bucket.unwrap_or_else(|| Bucket::new(rate));
            bucket.set_rate(rate);
            Some(bucket)
        };
        throttle.frames = rated(throttle.frames.take(), config.frame_rate);
        throttle.bytes = rated(throttle.bytes.take(), config.byte_rate);
        Some(throttle)
    }

    /// Waits until a frame and a byte may be taken.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let buckets = [&mut self.frames, &mut self.bytes].into_iter().flatten();
            let Some(until) = buckets.filter_map(Bucket::ready_at).max() else {
                return Poll::Ready(());
            };
            self.alarm.as_mut().reset(until);
            ready!(self.alarm.as_mut().poll(cx));
        }
    }

    /// How many bytes may be read now, 1 at least.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.as_ref().map_or(usize::MAX, Bucket::whole).max(1)
    }

    /// How long the front of `input` is that may be answered now: it ends with a frame, 1 at least.
    pub(crate) fn front(&self, input: &[u8]) -> usize {
        let Some(frames) = &self.frames else { return input.len() };
        let (mut at, mut left) = (0, frames.whole().max(1));
        while let Some(end) = frame_end(input, at).filter(|&end| end <= input.len()) {
            if is_data(input, at) {
                if left == 0 {
                    return at;
                }
                left -= 1;
            }
            at = end;
        }
        input.len()
    }

    pub(crate) fn spend_frames(&mut self, frames: u64) {
        if let Some(bucket) = &mut self.frames {
            bucket.spend(frames as f64);
        }
    }

    pub(crate) fn spend_bytes(&mut self, bytes: usize) {
        if let Some(bucket) = &mut self.bytes {
            bucket.spend(bytes as f64);
        }
    }
}
