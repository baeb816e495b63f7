//! The frames in flight: handed over to be sent, and not answered yet. They outlive their
//! connection, so that another one can send them again.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::num::NonZeroUsize;

use bytes::Bytes;
use tokio::sync::Notify;

/// A frame in flight.
#[derive(Debug)]
pub(crate) struct InFlight {
    /// Its number in the input, from 1, whichever connections it has been sent on.
    pub(crate) number: u64,
    pub(crate) payload: Bytes,
}

/// All frames in flight, the oldest first. One half of a connection adds to them, the other takes
/// from them, both in the same task.
#[derive(Debug)]
pub(crate) struct Flight {
    frames: RefCell<Frames>,
    /// With so many frames there is no room for another one.
    most: usize,
    /// With so many payload bytes neither.
    most_bytes: usize,
    /// Told of each frame that is taken.
    taken: Notify,
}

#[derive(Debug, Default)]
struct Frames {
    queue: VecDeque<InFlight>,
    /// Payload bytes of all of them.
    bytes: usize,
    /// The number of the last one that was added.
    last: u64,
    /// None will be added.
    is_complete: bool,
}

impl Flight {
    /// Room for one frame of any length, or for more of them up to `most` or `most_bytes`.
    pub(crate) fn new(most: NonZeroUsize, most_bytes: NonZeroUsize) -> Self {
        let (most, most_bytes) = (most.get(), most_bytes.get());
        Self { frames: RefCell::default(), most, most_bytes, taken: Notify::new() }
    }

    /// Waits until there is room for another frame, of whatever length.
    ///
    /// # Cancel safety
    ///
    /// It can be dropped: nothing is reserved.
    pub(crate) async fn room(&self) {
        self.until(|frames| frames.queue.len() < self.most && frames.bytes < self.most_bytes).await;
    }

    /// Waits until no frame is in flight.
    ///
    /// # Cancel safety
    ///
    /// It can be dropped.
    pub(crate) async fn empty(&self) {
        self.until(|frames| frames.queue.is_empty()).await;
    }

    /// No frame will be added.
    pub(crate) fn expect_no_more(&self) {
        self.frames.borrow_mut().is_complete = true;
    }

    /// Whether no frame is in flight and none will be.
    pub(crate) fn is_over(&self) -> bool {
        let frames = self.frames.borrow();
        frames.is_complete && frames.queue.is_empty()
    }

    /// Adds a frame that is about to be sent.
    pub(crate) fn add(&self, payload: Bytes) {
        let mut frames = self.frames.borrow_mut();
        frames.last += 1;
        frames.bytes += payload.len();
        let number = frames.last;
        frames.queue.push_back(InFlight { number, payload });
    }

    /// Takes the oldest frame, since it needs no more waiting.
    pub(crate) fn take_oldest(&self) -> Option<InFlight> {
        let mut frames = self.frames.borrow_mut();
        let oldest = frames.queue.pop_front()?;
        frames.bytes -= oldest.payload.len();
        self.taken.notify_one();
        Some(oldest)
    }

    /// How many frames are in flight.
    pub(crate) fn len(&self) -> usize {
        self.frames.borrow().queue.len()
    }

    /// The payloads of all frames, the oldest first.
    pub(crate) fn payloads(&self) -> Vec<Bytes> {
        self.frames.borrow().queue.iter().map(|frame| frame.payload.clone()).collect()
    }

    async fn until(&self, is_so: impl Fn(&Frames) -> bool) {
        // One future waits at a time, and a notification without anybody who waits is kept.
        while !is_so(&self.frames.borrow()) {
            self.taken.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const BYTES: usize = 1000;

    fn flight(most: usize) -> Flight {
        Flight::new(NonZeroUsize::new(most).unwrap(), NonZeroUsize::new(BYTES).unwrap())
    }

    fn has_room(flight: &Flight) -> bool {
        flight.room().now_or_never().is_some()
    }

    #[test]
    fn no_more_frames_are_in_flight_than_asked_for() {
        let flight = flight(2);
        for number in 1..=2 {
            assert!(has_room(&flight), "{number}");
            flight.add(Bytes::new());
        }
        assert!(!has_room(&flight));
        assert_eq!(flight.take_oldest().unwrap().number, 1);
        assert!(has_room(&flight));
    }

    #[test]
    fn long_frames_fill_it_too() {
        let flight = flight(64);
        let half = Bytes::from(vec![0; BYTES / 2]);
        flight.add(half.clone());
        assert!(has_room(&flight));
        flight.add(half);
        assert!(!has_room(&flight));
        flight.take_oldest().unwrap();
        assert!(has_room(&flight));
    }

    #[test]
    fn one_frame_may_be_of_any_length() {
        let flight = flight(64);
        flight.add(Bytes::from(vec![0; 2 * BYTES]));
        assert!(!has_room(&flight));
        flight.take_oldest().unwrap();
        assert!(has_room(&flight) && flight.empty().now_or_never().is_some());
    }
}
