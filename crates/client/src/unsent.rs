//! Encoded frames on their way to the socket.

use buf_list::BufList;
use bytes::{Buf, Bytes, BytesMut};

use crate::framing::Framing;

/// The shortest payload that is written from where it lies, in bytes. Copying a shorter one costs
/// less than another piece for the system to gather.
const WHOLE_FROM: usize = 8 << 10;

/// Frames to be written together: short ones copied behind each other, long ones as they are.
#[derive(Debug)]
pub(crate) struct Unsent {
    pieces: BufList,
    /// Behind all pieces.
    tail: BytesMut,
    framing: Framing,
}

impl Unsent {
    pub(crate) fn new(framing: Framing) -> Self {
        Self { pieces: BufList::default(), tail: BytesMut::new(), framing }
    }

    pub(crate) fn push(&mut self, payload: &Bytes) {
        let head = self.framing.head(payload.len());
        let head = head.as_ref().map_or(&[][..], |head| head);
        if payload.len() < WHOLE_FROM {
            self.tail.reserve(head.len() + payload.len());
            self.tail.extend_from_slice(head);
            self.tail.extend_from_slice(payload);
        } else {
            self.tail.extend_from_slice(head);
            if !self.tail.is_empty() {
                self.pieces.push_chunk(self.tail.split().freeze());
            }
            self.pieces.push_chunk(payload.clone());
        }
    }

    /// What is left to be written. What is taken off its front is done with.
    pub(crate) fn pieces(&mut self) -> &mut BufList {
        if !self.tail.is_empty() {
            self.pieces.push_chunk(self.tail.split().freeze());
        }
        &mut self.pieces
    }

    /// How many bytes are left to be written.
    pub(crate) fn len(&self) -> usize {
        self.pieces.remaining() + self.tail.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.pieces.has_remaining() && self.tail.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use volley_proto::encode_data;

    use super::*;

    #[test]
    fn frames_come_out_in_order_whatever_their_lengths() {
        let mut unsent = Unsent::new(Framing::Frames);
        let mut expected = Vec::new();
        for len in [0, 5, WHOLE_FROM - 1, WHOLE_FROM, 1, WHOLE_FROM + 1, 3 * WHOLE_FROM, 2] {
            let payload = Bytes::from(vec![len.to_le_bytes()[0]; len]);
            encode_data(&payload, &mut expected);
            unsent.push(&payload);
            assert_eq!(unsent.len(), expected.len());
            // What is sealed half-way is no reason to lose or to repeat anything.
            assert_eq!(unsent.pieces().remaining(), expected.len());
        }
        let mut written = Vec::new();
        while !unsent.is_empty() {
            let pieces = unsent.pieces();
            // A socket takes what it has room for.
            let n = pieces.chunk().len().min(1000);
            written.extend_from_slice(&pieces.chunk()[..n]);
            pieces.advance(n);
        }
        assert!(written == expected);
    }

    #[test]
    fn a_long_payload_is_not_copied() {
        let mut unsent = Unsent::new(Framing::Frames);
        let payload = Bytes::from(vec![7; WHOLE_FROM]);
        unsent.push(&payload);
        let lies_at: Vec<_> = unsent.pieces().iter().map(|piece| piece.as_ptr()).collect();
        assert_eq!(lies_at[1..], [payload.as_ptr()]);
    }
}
