//! Replies that the peer has not taken yet.

use volley_proto::HEAD_LEN;

/// Bytes that wait until the socket takes more. Nothing is read meanwhile, so there is never more
/// than one batch of them.
#[derive(Debug, Default)]
pub(crate) struct Unsent {
    /// Begins at a frame's first byte.
    bytes: Vec<u8>,
    written: usize,
}

impl Unsent {
    /// Keeps what is left of `replies`, of which `written` bytes are out.
    pub(crate) fn copy(replies: &[u8], written: usize) -> Self {
        let mut start = 0;
        while let Some(end) = frame_end(replies, start).filter(|&end| end <= written) {
            start = end;
        }
        Self { bytes: replies[start..].to_vec(), written: written - start }
    }

    /// Keeps `replies` without copying them.
    pub(crate) const fn keep(replies: Vec<u8>, written: usize) -> Self {
        Self { bytes: replies, written }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What has to be written next.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// Counts `n` bytes as written, and lets go of the memory after the last one.
    pub(crate) fn advance(&mut self, n: usize) {
        self.written += n;
        if self.written == self.bytes.len() {
            *self = Self::default();
        }
    }

    /// How many data frames are not out whole.
    pub(crate) fn frames(&self) -> u64 {
        let (mut at, mut frames) = (0, 0);
        while let Some(end) = frame_end(&self.bytes, at) {
            let is_data = self.bytes[at] & 0x80 == 0;
            frames += u64::from(is_data && end > self.written);
            at = end;
        }
        frames
    }
}

/// Where the frame that begins at `start` ends, if there is one.
fn frame_end(frames: &[u8], start: usize) -> Option<usize> {
    let head: [u8; HEAD_LEN] = *frames.get(start..)?.first_chunk()?;
    let len = u32::from_be_bytes(head) & (u32::MAX >> 1);
    Some(start + HEAD_LEN + len as usize)
}

#[cfg(test)]
mod tests {
    use volley_proto::{Control, Reason, Text, encode_data};

    use super::*;

    /// Three data frames of 6, 4 and 9 bytes, then an ERROR of 16.
    fn replies() -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_data(b"ab", &mut bytes);
        encode_data(b"", &mut bytes);
        encode_data(b"hello", &mut bytes);
        Control::Error { reason: Reason::Protocol, last_seq: 3, text: Text::default() }
            .encode(&mut bytes);
        bytes
    }

    #[test]
    fn counts_the_frames_that_are_not_out_whole() {
        let replies = replies();
        for written in 0..replies.len() {
            let frames = match written {
                0..6 => 3,
                6..10 => 2,
                10..19 => 1,
                _ => 0,
            };
            let unsent = Unsent::copy(&replies, written);
            assert_eq!(unsent.frames(), frames, "{written} written");
            assert_eq!(unsent.rest(), &replies[written..]);
            assert_eq!(Unsent::keep(replies.clone(), written).frames(), frames);
        }
    }

    #[test]
    fn lets_go_of_its_memory_with_the_last_byte() {
        let replies = replies();
        let mut unsent = Unsent::copy(&replies, 7);
        unsent.advance(1);
        assert_eq!(unsent.rest(), &replies[8..]);
        unsent.advance(unsent.rest().len());
        assert!(unsent.is_empty());
        assert_eq!(unsent.bytes.capacity(), 0);
    }
}
