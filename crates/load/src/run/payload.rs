//! What frames carry, so that a reply says whose it is and any wrong byte shows.
//!
//! ```text
//!  0        8            12       20
//! | check:8 | connection:4 | number:8 | bytes of a table, from a place that the number tells |
//! ```
//!
//! The check is one of the run, the connection and the number together: a reply that was damaged on
//! its way never passes for the reply to another frame, and one to another run never for one to
//! this.
//!
//! Nothing of what was sent is stored: the table is made once, from the seed, and a reply is
//! compared with it.

/// Bytes of a payload that say whose it is. A shorter payload has only bytes of the table.
pub const ID_LEN: usize = 20;

/// Places in the table at which a payload may begin. Neighbouring frames begin at different ones.
const PLACES: usize = 4096;

/// 2^64 by the golden ratio, which is odd: a factor that spreads neighbours over all bits.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// The payloads of one run.
#[derive(Clone, Debug)]
pub struct Payloads {
    run: u64,
    table: Vec<u8>,
    /// The same payload for every frame, if the user gave one.
    fixed: Option<Vec<u8>>,
}

impl Payloads {
    /// Payloads of up to `max_len` bytes, the same for the same `seed`. `run` tells replies to this
    /// run's frames from those to another's.
    pub fn new(run: u64, seed: u64, max_len: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut table = vec![0; PLACES + max_len];
        random.fill(&mut table);
        Self { run, table, fixed: None }
    }

    /// The same payload for every frame. It does not say whose it is.
    pub const fn fixed(payload: Vec<u8>) -> Self {
        Self { run: 0, table: Vec::new(), fixed: Some(payload) }
    }

    /// Writes the payload of a frame to `out`, which has its length.
    ///
    /// # Panics
    ///
    /// If that is above the length that this was made for, or not that of the fixed payload.
    #[inline]
    pub fn write(&self, connection: u32, number: u64, out: &mut [u8]) {
        let len = out.len();
        if let Some(fixed) = &self.fixed {
            out.copy_from_slice(fixed);
        } else if let Some((id, filling)) = out.split_first_chunk_mut::<ID_LEN>() {
            // Straight to where it is sent from: copied from the stack it would be read wider than
            // it was written, which costs the processor as much as all else here.
            let Id { check, owner, number: low } = self.id(connection, number);
            id[..8].copy_from_slice(&check.to_be_bytes());
            id[8..16].copy_from_slice(&owner.to_be_bytes());
            id[16..].copy_from_slice(&low.to_be_bytes());
            filling.copy_from_slice(self.filling(connection, number, len - ID_LEN));
        } else {
            out.copy_from_slice(self.filling(connection, number, len));
        }
    }

    /// Appends the payload of a frame, `len` bytes of it, to `out`: for where speed does not matter.
    ///
    /// # Panics
    ///
    /// As [`Payloads::write`].
    pub fn append(&self, connection: u32, number: u64, len: usize, out: &mut Vec<u8>) {
        let at = out.len();
        out.resize(at + len, 0);
        self.write(connection, number, &mut out[at..]);
    }

    /// Whether `payload` is, byte for byte, that of the frame.
    #[inline]
    pub fn matches(&self, connection: u32, number: u64, payload: &[u8]) -> bool {
        if let Some(fixed) = &self.fixed {
            return payload == fixed;
        }
        match payload.split_first_chunk::<ID_LEN>() {
            None => payload == self.filling(connection, number, payload.len()),
            Some((id, filling)) => {
                Id::read(id) == self.id(connection, number)
                    && filling.len() <= self.table.len() - PLACES
                    && filling == self.filling(connection, number, filling.len())
            }
        }
    }

    /// The connection and the number of the frame to which `payload` belongs, if it is one of this
    /// run's; what follows may be wrong. Payloads that are shorter than [`ID_LEN`] or fixed don't
    /// tell.
    pub fn identify(&self, payload: &[u8]) -> Option<(u32, u64)> {
        if self.fixed.is_some() {
            return None;
        }
        let id = Id::read(payload.first_chunk::<ID_LEN>()?);
        let (connection, number) = id.of();
        (id == self.id(connection, number)).then_some((connection, number))
    }

    #[inline]
    fn id(&self, connection: u32, number: u64) -> Id {
        #[expect(clippy::cast_possible_truncation, reason = "the rest is in `owner`")]
        let low = number as u32;
        let owner = u64::from(connection) << 32 | number >> 32;
        Id { check: self.check(connection, number), owner, number: low }
    }

    /// Each step can be undone, so that no other number of a connection, and the same number of no
    /// other connection, has the same.
    #[inline]
    fn check(&self, connection: u32, number: u64) -> u64 {
        let key = self.run ^ u64::from(connection).wrapping_mul(SPREAD);
        let mixed = key.wrapping_add(number).wrapping_mul(SPREAD);
        mixed ^ (mixed >> 32)
    }

    /// `len` bytes of the table for this frame. Two frames of one connection have the same only
    /// 4096 frames apart.
    #[inline]
    fn filling(&self, connection: u32, number: u64, len: usize) -> &[u8] {
        // Odd factors visit every place before they come back.
        let place = number.wrapping_mul(37).wrapping_add(u64::from(connection).wrapping_mul(1021));
        #[expect(clippy::cast_possible_truncation, reason = "below 4096 after the remainder")]
        let place = (place % PLACES as u64) as usize;
        &self.table[place..place + len]
    }
}

/// What a payload says of its frame, in the words in which it is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Id {
    check: u64,
    /// The connection, and the upper half of the number.
    owner: u64,
    /// The lower half of the number.
    number: u32,
}

impl Id {
    #[inline]
    fn read(id: &[u8; ID_LEN]) -> Self {
        let half = |at: usize| u32::from_be_bytes([id[at], id[at + 1], id[at + 2], id[at + 3]]);
        let word = |at: usize| u64::from(half(at)) << 32 | u64::from(half(at + 4));
        Self { check: word(0), owner: word(8), number: half(16) }
    }

    /// The connection and the number that it says.
    const fn of(self) -> (u32, u64) {
        let connection = (self.owner >> 32) as u32;
        (connection, self.owner << 32 | self.number as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(payloads: &Payloads, connection: u32, number: u64, len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        payloads.write(connection, number, &mut out);
        out
    }

    #[test]
    fn a_payload_matches_its_own_frame_only() {
        let payloads = Payloads::new(7, 1, 100);
        for len in 1..=100 {
            let bytes = payload(&payloads, 3, 5, len);
            assert_eq!(bytes.len(), len);
            assert!(payloads.matches(3, 5, &bytes));
            if len >= 3 {
                assert!(!payloads.matches(3, 6, &bytes), "{len}");
                assert!(!payloads.matches(4, 5, &bytes), "{len}");
            }
        }
        assert!(payloads.matches(3, 5, b""));
    }

    #[test]
    fn every_flipped_bit_shows() {
        let payloads = Payloads::new(7, 1, 64);
        let good = payload(&payloads, 1, 2, 64);
        for bit in 0..64 * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(!payloads.matches(1, 2, &bad), "bit {bit}");
            // Whose it is can be told if that is not where the bit is, and no other frame's it is.
            let whose = (bit >= 8 * ID_LEN).then_some((1, 2));
            assert_eq!(payloads.identify(&bad), whose, "bit {bit}");
        }
        assert!(!payloads.matches(1, 2, &[good.as_slice(), &[0; 200]].concat()));
    }

    #[test]
    fn a_payload_says_whose_it_is() {
        let payloads = Payloads::new(7, 1, 64);
        assert_eq!(payloads.identify(&payload(&payloads, 9, 1 << 40, 64)), Some((9, 1 << 40)));
        assert_eq!(payloads.identify(&payload(&payloads, 9, 3, 20)), Some((9, 3)));
        assert_eq!(payloads.identify(&payload(&payloads, 9, 3, 19)), None);
        let other_run = Payloads::new(8, 1, 64);
        assert_eq!(other_run.identify(&payload(&payloads, 9, 3, 64)), None);
    }

    #[test]
    fn a_damaged_payload_is_not_that_of_another_frame() {
        // Without filling, so that only the check can tell.
        let payloads = Payloads::new(7, 1, ID_LEN);
        for (connection, number) in [(0, 0), (1, 4096), (4095, 4097), (1 << 20, 1 << 40)] {
            let good = payload(&payloads, connection, number, ID_LEN);
            for bit in 0..8 * ID_LEN {
                let mut bad = good.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(payloads.identify(&bad), None, "{connection} {number}: bit {bit}");
            }
        }
    }

    #[test]
    fn a_fixed_payload_is_compared_whole_and_tells_nothing() {
        let payloads = Payloads::fixed(b"0123456789012345678901234567".to_vec());
        let bytes = payload(&payloads, 1, 1, 28);
        assert!(payloads.matches(2, 2, &bytes));
        assert!(!payloads.matches(1, 1, &bytes[..27]));
        assert_eq!(payloads.identify(&bytes), None);
    }
}
