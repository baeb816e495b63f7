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

    /// Appends the payload of a frame, `len` bytes of it, to `out`.
    ///
    /// # Panics
    ///
    /// If `len` is above the length that this was made for, or not that of the fixed payload.
    #[inline]
    pub fn append(&self, connection: u32, number: u64, len: usize, out: &mut Vec<u8>) {
        if let Some(fixed) = &self.fixed {
            out.extend_from_slice(&fixed[..len]);
        } else if len < ID_LEN {
            out.extend_from_slice(self.filling(connection, number, len));
        } else {
            out.extend_from_slice(&self.id(connection, number));
            out.extend_from_slice(self.filling(connection, number, len - ID_LEN));
        }
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
                *id == self.id(connection, number)
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
        let id = payload.first_chunk::<ID_LEN>()?;
        let connection = u32::from_be_bytes(*id[8..].first_chunk()?);
        let number = u64::from_be_bytes(*id[12..].first_chunk()?);
        (*id == self.id(connection, number)).then_some((connection, number))
    }

    #[inline]
    fn id(&self, connection: u32, number: u64) -> [u8; ID_LEN] {
        let mut id = [0; ID_LEN];
        id[..8].copy_from_slice(&self.check(connection, number).to_be_bytes());
        id[8..12].copy_from_slice(&connection.to_be_bytes());
        id[12..].copy_from_slice(&number.to_be_bytes());
        id
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

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(payloads: &Payloads, connection: u32, number: u64, len: usize) -> Vec<u8> {
        let mut out = Vec::new();
        payloads.append(connection, number, len, &mut out);
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
