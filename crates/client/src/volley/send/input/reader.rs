//! Reads stdin or a file.
//!
//! Neither can be waited for as a socket can. A file need not be: what is there is read when it is
//! wanted. A terminal or a pipe may make one wait for ever, a named pipe even to be opened, and to
//! make it non-blocking would do so for everybody who shares it. So a thread waits, a few frames
//! ahead; at the end of the program it is left behind.

use std::fs::File;
use std::ops::ControlFlow;
use std::{thread, vec};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::error::{InputError, Place};
use super::origin::Origin;
use super::split::{Frames, Split};

/// Bytes that the thread hands over at once: so many that waking the other side costs little, so
/// few that it is a small part of what may be in flight.
const BATCH: usize = 256 << 10;

/// Batches that wait, while another one is being read.
const AHEAD: usize = 1;

/// The frames of a file or of stdin.
#[derive(Debug)]
pub(super) enum Reader {
    Here(Box<Frames<File>>),
    Thread(Batches),
}

/// What the thread has read.
#[derive(Debug)]
pub(super) struct Batches {
    batches: mpsc::Receiver<Result<Vec<Bytes>, InputError>>,
    batch: vec::IntoIter<Bytes>,
}

impl Reader {
    /// Begins to read; no frame is longer than `max` bytes.
    pub(super) fn start(origin: &Origin, split: Split, max: usize) -> Result<Self, InputError> {
        let open =
            move |origin: &Origin| Ok(Frames::new(origin.open()?, split, max, origin.place()));
        if origin.never_waits() {
            return Ok(Self::Here(Box::new(open(origin)?.reading_ahead())));
        }
        let (place, origin) = (origin.place(), origin.clone());
        Batches::start(move || open(&origin), place).map(Self::Thread)
    }

    /// The next frame; `None` after the last.
    ///
    /// # Cancel safety
    ///
    /// No frame is lost.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, InputError>> {
        match self {
            Self::Here(frames) => frames.next().transpose(),
            Self::Thread(batches) => batches.next().await,
        }
    }
}

impl Batches {
    fn start(
        open: impl FnOnce() -> Result<Frames<File>, InputError> + Send + 'static,
        place: Place,
    ) -> Result<Self, InputError> {
        let (send, batches) = mpsc::channel(AHEAD);
        thread::Builder::new()
            .name("reader".to_owned())
            .spawn(move || read(open(), &send))
            .map_err(|source| InputError::Thread { place, source })?;
        Ok(Self { batches, batch: Vec::new().into_iter() })
    }

    async fn next(&mut self) -> Option<Result<Bytes, InputError>> {
        loop {
            if let Some(frame) = self.batch.next() {
                return Some(Ok(frame));
            }
            match self.batches.recv().await? {
                Ok(batch) => self.batch = batch.into_iter(),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// Reads to the end, or until nobody wants more.
fn read(
    opened: Result<Frames<File>, InputError>,
    batches: &mpsc::Sender<Result<Vec<Bytes>, InputError>>,
) {
    let mut frames = match opened {
        Ok(frames) => frames,
        Err(error) => {
            // Whoever wants no frames wants no error either.
            let _ = batches.blocking_send(Err(error));
            return;
        }
    };
    loop {
        let (batch, flow) = next_batch(&mut frames);
        if !batch.is_empty() && batches.blocking_send(Ok(batch)).is_err() {
            return;
        }
        if let ControlFlow::Break(error) = flow {
            if let Some(error) = error {
                // Whoever wants no more frames wants no error either.
                let _ = batches.blocking_send(Err(error));
            }
            return;
        }
    }
}

/// As many frames as can be had at once, and whether there may be more or why there are not.
fn next_batch(frames: &mut Frames<File>) -> (Vec<Bytes>, ControlFlow<Option<InputError>>) {
    let (mut batch, mut len) = (Vec::new(), 0);
    loop {
        match frames.next() {
            Ok(Some(frame)) => {
                len += frame.len() + size_of::<Bytes>();
                batch.push(frame);
            }
            Ok(None) => return (batch, ControlFlow::Break(None)),
            Err(error) => return (batch, ControlFlow::Break(Some(error))),
        }
        if len >= BATCH || !frames.is_next_buffered() {
            return (batch, ControlFlow::Continue(()));
        }
    }
}
