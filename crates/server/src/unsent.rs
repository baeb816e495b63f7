//! Replies that the peer has not taken yet.

use crate::framing::Cut;
use crate::service_time::Started;

/// Bytes that wait until the socket takes more. Nothing is read meanwhile, so there is never more
/// than one batch of them. Empty, as it nearly always is, it takes one word of its connection.
#[derive(Debug, Default)]
pub(crate) struct Unsent {
    replies: Option<Box<Replies>>,
}

#[derive(Debug)]
struct Replies {
    /// Begins at a frame's first byte.
    bytes: Vec<u8>,
    written: usize,
    /// When the batch began that they answer, if it is one that is timed.
    started: Option<Started>,
}

impl Unsent {
    /// Keeps what is left of `replies`, of which `written` bytes are out.
    pub(crate) fn copy<F: Cut>(replies: &[u8], written: usize, started: Option<Started>) -> Self {
        let mut start = 0;
        while let Some(end) = F::frame_end(replies, start).filter(|&end| end <= written) {
            start = end;
        }
        Self::keep(replies[start..].to_vec(), written - start, started)
    }

    /// Keeps `replies` without copying them.
    pub(crate) fn keep(replies: Vec<u8>, written: usize, started: Option<Started>) -> Self {
        Self { replies: Some(Box::new(Replies { bytes: replies, written, started })) }
    }

    /// How many bytes of memory they take.
    pub(crate) fn capacity(&self) -> usize {
        self.replies.as_ref().map_or(0, |replies| replies.bytes.capacity())
    }

    /// What has to be written next; `None` if nothing has.
    pub(crate) fn rest(&self) -> Option<&[u8]> {
        self.replies.as_ref().map(|replies| &replies.bytes[replies.written..])
    }

    /// Counts `n` bytes as written, and lets go of the memory after the last one. Then it returns
    /// when their batch began, if it is timed.
    pub(crate) fn advance(&mut self, n: usize) -> Option<Started> {
        let replies = self.replies.as_mut()?;
        replies.written += n;
        if replies.written < replies.bytes.len() {
            return None;
        }
        self.replies.take().and_then(|replies| replies.started)
    }

    /// How many data frames are not out whole.
    pub(crate) fn frames<F: Cut>(&self) -> u64 {
        let Some(replies) = &self.replies else { return 0 };
        let (mut at, mut frames) = (0, 0);
        while let Some(end) = F::frame_end(&replies.bytes, at) {
            frames += u64::from(F::is_data(&replies.bytes, at) && end > replies.written);
            at = end;
        }
        frames
    }
}

#[cfg(test)]
mod tests {
    use volley_proto::{Control, Reason, Text, encode_data};

    use super::*;
    use crate::framing::{Framed, Raw};

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
            let unsent = Unsent::copy::<Framed>(&replies, written, None);
            assert_eq!(unsent.frames::<Framed>(), frames, "{written} written");
            assert_eq!(unsent.rest(), Some(&replies[written..]));
            assert_eq!(Unsent::keep(replies.clone(), written, None).frames::<Framed>(), frames);
        }
    }

    #[test]
    fn without_frames_a_batch_is_one_until_it_is_out() {
        let mut unsent = Unsent::copy::<Raw>(b"\0\0\0\x01ab", 2, None);
        assert_eq!((unsent.rest(), unsent.frames::<Raw>()), (Some(&b"\0\x01ab"[..]), 1));
        unsent.advance(4);
        assert_eq!((unsent.rest(), unsent.frames::<Raw>()), (None, 0));
    }

    #[test]
    fn lets_go_of_its_memory_with_the_last_byte() {
        let replies = replies();
        let mut unsent = Unsent::copy::<Framed>(&replies, 7, None);
        unsent.advance(1);
        assert_eq!(unsent.rest(), Some(&replies[8..]));
        unsent.advance(replies.len() - 8);
        assert_eq!(unsent.rest(), None);
        assert!(unsent.replies.is_none());
    }
}
