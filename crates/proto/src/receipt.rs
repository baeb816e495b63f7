//! The receipt: proof that a payload arrived whole, in order and once, without sending it back.
//!
//! ```text
//!  0 "ACK1" | 4 crc32c:u32 | 8 seq:u64 | 16 total:u64 | 24 received_at:u64
//! ```

use std::fmt;

/// What a server in ack mode sends back as the payload of its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// CRC-32C of this frame's payload.
    pub crc32c: u32,
    /// This data frame's number on its connection, from 1.
    pub seq: u64,
    /// Payload bytes received on this connection so far, this frame's included.
    pub total: u64,
    /// Nanoseconds since the Unix epoch by the server's clock.
    pub received_at: u64,
}

impl Receipt {
    /// Length of a receipt in bytes.
    pub const LEN: usize = 32;

    /// The four bytes that every receipt begins with.
    pub const MAGIC: [u8; 4] = *b"ACK1";

    /// The receipt as the payload of a data frame.
    #[inline]
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        self.encode_into(&mut bytes);
        bytes
    }

    /// Writes the receipt to where it is sent from: twice as fast as copying the result of
    /// [`encode`](Self::encode), which a processor can't read back while it is being written.
    ///
    /// # Panics
    ///
    /// If `bytes` is not [`Receipt::LEN`] bytes long.
    #[inline]
    pub fn encode_into(&self, bytes: &mut [u8]) {
        assert_eq!(bytes.len(), Self::LEN, "a receipt has 32 bytes");
        bytes[..4].copy_from_slice(&Self::MAGIC);
        bytes[4..8].copy_from_slice(&self.crc32c.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.seq.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.total.to_be_bytes());
        bytes[24..].copy_from_slice(&self.received_at.to_be_bytes());
    }

    /// Reads a receipt from a reply's payload.
    ///
    /// # Errors
    ///
    /// [`ReceiptError`] when `payload` has another length or does not begin with
    /// [`Receipt::MAGIC`].
    pub fn parse(payload: &[u8]) -> Result<Self, ReceiptError> {
        let fields: &[u8; Self::LEN] =
            payload.try_into().map_err(|_| ReceiptError::Length { len: payload.len() })?;
        let (magic, rest) = fields.split_at(4);
        if magic != Self::MAGIC {
            return Err(ReceiptError::Magic { found: [magic[0], magic[1], magic[2], magic[3]] });
        }
        let (crc, rest) = rest.split_at(4);
        let word =
            |i: usize| rest[8 * i..8 * (i + 1)].iter().fold(0, |w, &b| w << 8 | u64::from(b));
        Ok(Self {
            crc32c: crc.iter().fold(0, |w, &b| w << 8 | u32::from(b)),
            seq: word(0),
            total: word(1),
            received_at: word(2),
        })
    }
}

/// `ACK seq=1 len=…` is for the caller to print, who knows the length; this is the rest.
impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seq={} crc32c={:08x} total={} received_at={}",
            self.seq, self.crc32c, self.total, self.received_at
        )
    }
}

/// A payload that is no receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// It has another length than [`Receipt::LEN`].
    #[error("a receipt has 32 bytes, not {len}")]
    Length {
        /// The payload's length in bytes.
        len: usize,
    },
    /// It begins with other bytes than [`Receipt::MAGIC`].
    #[error("a receipt begins with \"ACK1\", not {found:02x?}")]
    Magic {
        /// What it begins with.
        found: [u8; 4],
    },
}

/// CRC-32C (Castagnoli) of `payload`, as RFC 3720 (iSCSI) and the receipt use it.
///
/// ```
/// assert_eq!(volley_proto::crc32c(b"123456789"), 0xe306_9283);
/// ```
#[inline]
pub fn crc32c(payload: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(payload)
}
