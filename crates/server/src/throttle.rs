//! Slows one connection down to the rates that it may have: it is read from more slowly, and its
//! peer feels it by TCP's own means.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Sleep, sleep};

use crate::Config;
use crate::framing::Cut;
use crate::limits::rate::Bucket;

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
    pub(crate) fn front<F: Cut>(&self, input: &[u8]) -> usize {
        let Some(frames) = &self.frames else { return input.len() };
        let (mut at, mut left) = (0, frames.whole().max(1));
        while let Some(end) = F::frame_end(input, at).filter(|&end| end <= input.len()) {
            if F::is_data(input, at) {
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

#[cfg(test)]
mod tests {
    use volley_proto::{Control, Text, encode_data};

    use super::*;
    use crate::framing::Framed;

    /// Fifty frames per second, so five at once.
    fn five() -> Throttle {
        let config = Config { frame_rate: Some(50.0), ..Config::default() };
        *Throttle::adopt(None, &config).unwrap()
    }

    fn frames(count: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        (0..count).for_each(|i| encode_data(&[i; 3], &mut bytes));
        bytes
    }

    #[tokio::test(start_paused = true)]
    async fn the_front_is_as_many_whole_frames_as_there_are_tokens() {
        let mut throttle = five();
        assert_eq!(throttle.front::<Framed>(&frames(4)), 4 * 7);
        assert_eq!(throttle.front::<Framed>(&frames(9)), 5 * 7);
        throttle.spend_frames(3);
        assert_eq!(throttle.front::<Framed>(&frames(9)), 2 * 7);
        // Asked only when it is ready; then there is one at least.
        throttle.spend_frames(9);
        assert_eq!(throttle.front::<Framed>(&frames(9)), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn control_frames_and_fragments_are_no_data_frames() {
        let throttle = five();
        let mut bytes = Vec::new();
        Control::Hello { wanted: None, name: Text::default() }.encode(&mut bytes);
        let hello = bytes.len();
        bytes.extend(frames(5));
        bytes.extend_from_slice(&frames(1)[..6]);
        assert_eq!(throttle.front::<Framed>(&bytes), bytes.len());
        bytes.push(0);
        assert_eq!(throttle.front::<Framed>(&bytes), hello + 5 * 7);
        // What is no frame at all is left to the parser.
        assert_eq!(throttle.front::<Framed>(&[0xff; 100]), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_there_is_no_throttle_and_a_new_rate_keeps_what_is_owed() {
        let config = Config::default();
        assert!(Throttle::adopt(Some(Box::new(five())), &config).is_none());
        let mut throttle = five();
        throttle.spend_frames(55);
        let faster = Config { frame_rate: Some(100.0), ..Config::default() };
        let throttle = Throttle::adopt(Some(Box::new(throttle)), &faster).unwrap();
        assert_eq!(throttle.front::<Framed>(&frames(9)), 7);
    }
}
