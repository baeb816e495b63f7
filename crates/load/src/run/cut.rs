//! How an exchange's frames stand in the bytes: a type, so that which one it is costs a branch per
//! batch and none per frame.

use volley_proto::{FrameError, HEAD_LEN, MaxFrame, Parsed, encode_data_head, parse};

/// How frames are cut out of bytes, and put there.
pub trait Cut {
    /// Bytes before a payload.
    const HEAD_LEN: usize;

    /// Writes what stands before a payload of `len` bytes.
    fn put_head(head: &mut [u8], len: usize);

    /// What stands at the front of `bytes`. `due` is how many bytes the next echo has, if one is
    /// awaited.
    ///
    /// # Errors
    ///
    /// [`FrameError`] for what is no frame.
    fn front(bytes: &[u8], due: impl FnOnce() -> Option<u32>) -> Result<Parsed<'_>, FrameError>;
}

/// Frames behind their lengths.
#[derive(Debug)]
pub struct Framed;

/// Payloads without anything between them.
#[derive(Debug)]
pub struct Raw;

impl Cut for Framed {
    const HEAD_LEN: usize = HEAD_LEN;

    #[inline]
    fn put_head(head: &mut [u8], len: usize) {
        head.copy_from_slice(&encode_data_head(len));
    }

    #[inline]
    fn front(bytes: &[u8], _: impl FnOnce() -> Option<u32>) -> Result<Parsed<'_>, FrameError> {
        parse(bytes, MaxFrame::CEILING)
    }
}

impl Cut for Raw {
    const HEAD_LEN: usize = 0;

    #[inline]
    fn put_head(_: &mut [u8], _: usize) {}

    #[inline]
    fn front(bytes: &[u8], due: impl FnOnce() -> Option<u32>) -> Result<Parsed<'_>, FrameError> {
        // A reply to nothing is all that is there.
        let needs = due().map_or(bytes.len().max(1), |len| len as usize);
        Ok(match bytes.split_at_checked(needs) {
            Some((payload, _)) => Parsed::Data(payload),
            None => Parsed::Incomplete { needs },
        })
    }
}
