//! A frame as an owned value, the limit on its size, and how a data frame is written.

use std::fmt;

use bytes::{BufMut, Bytes};

use crate::Control;

/// Length of a frame's head in bytes: one big-endian `u32`.
pub const HEAD_LEN: usize = 4;

/// One whole frame, in either direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A data frame, by its payload; may be empty.
    Data(Bytes),
    /// A control frame.
    Control(Control),
}

impl Frame {
    /// Appends the frame's bytes to `out`.
    ///
    /// # Panics
    ///
    /// If the payload is 2 GiB or longer: the length field has 31 bits.
    pub fn encode(&self, out: &mut impl BufMut) {
        match self {
            Self::Data(payload) => encode_data(payload, out),
            Self::Control(control) => control.encode(out),
        }
    }
}

/// The longest payload that a data frame may have, in bytes: at most [`MaxFrame::CEILING`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MaxFrame(u32);

impl MaxFrame {
    /// No server may allow more than this: 64 MiB. What strays to the port by mistake (`GET `,
    /// `SSH-`, a TLS hello) reads as a longer length, so it can never pass for a data frame.
    pub const CEILING: Self = Self(64 << 20);

    /// What a server allows unless told otherwise: 1 MiB.
    pub const DEFAULT: Self = Self(1 << 20);

    /// A limit of `bytes` payload bytes; 0 allows only empty frames.
    ///
    /// # Errors
    ///
    /// [`MaxFrameError`] when `bytes` is above [`MaxFrame::CEILING`].
    pub const fn new(bytes: u64) -> Result<Self, MaxFrameError> {
        if bytes > Self::CEILING.0 as u64 {
            return Err(MaxFrameError { bytes });
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most 64 MiB, checked above")]
        Ok(Self(bytes as u32))
    }

    /// The limit in bytes.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl Default for MaxFrame {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl fmt::Display for MaxFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A frame limit above [`MaxFrame::CEILING`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame limit of {bytes} bytes is above the {ceiling} that the protocol allows", ceiling = MaxFrame::CEILING)]
pub struct MaxFrameError {
    /// What was asked for.
    pub bytes: u64,
}

/// So many bytes, in a message.
pub(crate) fn bytes(count: u64) -> String {
    format!("{count} byte{}", if count == 1 { "" } else { "s" })
}

/// The head of a data frame whose payload has `payload_len` bytes.
///
/// # Panics
///
/// If `payload_len` is 2^31 or more: the length field has 31 bits.
#[inline]
pub fn encode_data_head(payload_len: usize) -> [u8; HEAD_LEN] {
    assert!(payload_len <= i32::MAX as usize, "a payload of {payload_len} bytes has no head");
    #[expect(clippy::cast_possible_truncation, reason = "checked by the assertion above")]
    (payload_len as u32).to_be_bytes()
}

/// Appends a data frame to `out`.
///
/// # Panics
///
/// If `payload` is 2 GiB or longer, or if `out` cannot grow.
#[inline]
pub fn encode_data(payload: &[u8], out: &mut impl BufMut) {
    out.put_slice(&encode_data_head(payload.len()));
    out.put_slice(payload);
}
