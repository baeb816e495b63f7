//! What pings carry, so that a reply says whose it is and any wrong byte shows.
//!
//! ```text
//!  0       8       16
//! | seq:8 | run:8 | bytes of a table |    cut off at the size that is asked for
//! ```
//!
//! The number is little-endian, so that neighbours differ in what is left of it. Nothing of what
//! was sent is stored: a reply is compared with what is made again.

use std::iter;
use std::sync::Arc;

use bytes::{BufMut, BytesMut};

/// Bytes before the table.
const HEAD_LEN: usize = 16;

/// The payloads of the pings to one target.
#[derive(Clone, Debug)]
pub(crate) struct Payloads {
    /// Tells this target's pings from all others.
    run: u64,
    len: usize,
    /// Shared by all targets, for it may be long.
    table: Arc<[u8]>,
}

impl Payloads {
    /// Payloads of `len` bytes.
    pub(crate) fn new(len: usize) -> Self {
        let table = iter::repeat_with(|| fastrand::u8(..)).take(len.saturating_sub(HEAD_LEN));
        Self { run: fastrand::u64(..), len, table: table.collect() }
    }

    /// Payloads of the same length for another target.
    pub(crate) fn for_another(&self) -> Self {
        Self { run: fastrand::u64(..), ..self.clone() }
    }

    /// Bytes of a payload.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// The payload of ping `seq`.
    pub(crate) fn make(&self, seq: u64) -> BytesMut {
        let mut payload = BytesMut::with_capacity(self.len);
        payload.put_slice(&self.head(seq)[..self.len.min(HEAD_LEN)]);
        payload.put_slice(&self.table);
        payload
    }

    /// Whether `received` is the payload of ping `seq`.
    pub(crate) fn is(&self, seq: u64, received: &[u8]) -> bool {
        if received.len() != self.len {
            return false;
        }
        let (head, table) = received.split_at(self.len.min(HEAD_LEN));
        *head == self.head(seq)[..head.len()] && *table == *self.table
    }

    /// Where `received` begins to differ from the payload of ping `seq`, in bytes from 0.
    pub(crate) fn first_difference(&self, seq: u64, received: &[u8]) -> usize {
        self.make(seq).iter().zip(received).take_while(|(sent, received)| sent == received).count()
    }

    fn head(&self, seq: u64) -> [u8; HEAD_LEN] {
        (u128::from(self.run) << 64 | u128::from(seq)).to_le_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_has_the_length_that_is_asked_for() {
        for len in [0, 1, 8, 15, 16, 17, 64, 5000] {
            let payloads = Payloads::new(len);
            let payload = payloads.make(7);
            assert_eq!(payload.len(), len);
            assert!(payloads.is(7, &payload));
        }
    }

    #[test]
    fn neighbours_differ_however_short_they_are() {
        for len in [1, 8, 16, 64] {
            let payloads = Payloads::new(len);
            assert!(!payloads.is(8, &payloads.make(7)), "{len}");
        }
    }

    #[test]
    fn another_target_has_other_payloads() {
        let payloads = Payloads::new(64);
        assert!(!payloads.for_another().is(7, &payloads.make(7)));
    }

    #[test]
    fn every_wrong_byte_shows_and_where_it_is() {
        let payloads = Payloads::new(64);
        for at in 0..64 {
            let mut payload = payloads.make(7);
            payload[at] ^= 1;
            assert!(!payloads.is(7, &payload));
            assert_eq!(payloads.first_difference(7, &payload), at);
        }
        let payload = payloads.make(7);
        assert!(!payloads.is(7, &payload[..63]));
        assert_eq!(payloads.first_difference(7, &payload[..63]), 63);
    }
}
