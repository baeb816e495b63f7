//! What has come from the server and has not been taken: whole frames, and the front of one.

use std::io;

use bytes::{Buf, BytesMut};
use tokio::io::AsyncReadExt;
use volley_proto::{FrameError, Parsed};

use crate::error::Part;
use crate::framing::Framing;
use crate::stream::ReadHalf;

/// What is kept at first, in bytes: enough for who sends a frame now and then.
const SMALL: usize = 8 << 10;

/// What is kept where reads have been full so far, in bytes. More would no longer stay in a
/// processor's nearer caches until it is compared.
const LARGE: usize = 256 << 10;

/// The buffer that replies are read into. It is used again and again: a frame is looked at where
/// it lies, and whoever wants to keep it copies it.
#[derive(Debug)]
pub(crate) struct Inbox {
    read: ReadHalf,
    bytes: BytesMut,
    framing: Framing,
    /// For so many bytes there is room; more if a frame is longer.
    room: usize,
}

impl Inbox {
    /// An inbox with what came `early`, behind WELCOME.
    pub(crate) const fn new(early: BytesMut, read: ReadHalf, framing: Framing) -> Self {
        Self { read, bytes: early, framing, room: SMALL }
    }

    /// What stands at the front, while the reply to a frame of `due` bytes is awaited.
    pub(crate) fn front(&self, due: Option<usize>) -> Result<Parsed<'_>, FrameError> {
        self.framing.front(&self.bytes, due)
    }

    /// The payload of the data frame at the front, which must be whole.
    pub(crate) fn payload(&self, len: usize) -> &[u8] {
        let head_len = self.framing.head_len();
        &self.bytes[head_len..head_len + len]
    }

    /// What there is of the frame at the front, which needs so many bytes.
    pub(crate) fn part(&self, needs: usize) -> Option<Part> {
        let have = self.bytes.len();
        (have > 0).then_some(Part { have, needs })
    }

    /// Leaves the data frame at the front behind.
    pub(crate) fn take_data(&mut self, len: usize) {
        self.take(self.framing.head_len() + len);
    }

    /// Leaves `frame_len` bytes behind, head included.
    pub(crate) fn take(&mut self, frame_len: usize) {
        self.bytes.advance(frame_len);
    }

    /// Reads once; 0 is the end. A declared length reserves nothing: memory grows as bytes come.
    ///
    /// # Cancel safety
    ///
    /// No byte is lost.
    pub(crate) async fn read(&mut self) -> io::Result<usize> {
        // Half of it at least is empty, so that a long frame does not come in small pieces.
        let len = self.bytes.len();
        self.bytes.reserve(self.room.saturating_sub(len).max(len));
        let spare = self.bytes.capacity() - self.bytes.len();
        let n = self.read.read_buf(&mut self.bytes).await?;
        if n == spare {
            self.room = (2 * self.room).min(LARGE);
        }
        Ok(n)
    }
}
