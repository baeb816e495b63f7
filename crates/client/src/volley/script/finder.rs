//! Finds frames in bytes, however they are cut into pieces.

use bytes::{Buf, Bytes, BytesMut};
use volley_proto::{FrameError, HEAD_LEN, MaxFrame, Parsed, parse};

/// What stands before the next piece: a frame that is not whole yet.
#[derive(Debug, Default)]
pub(super) struct Finder {
    front: BytesMut,
}

impl Finder {
    /// Takes the bytes that come next. `found` is given the payload of each data frame that they make
    /// whole.
    ///
    /// # Errors
    ///
    /// That they are no frame. Nothing of them is kept then: another may begin behind them.
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        mut found: impl FnMut(Bytes),
    ) -> Result<(), FrameError> {
        self.front.extend_from_slice(bytes);
        loop {
            let len = match parse(&self.front, MaxFrame::CEILING) {
                Ok(Parsed::Data(payload)) => payload.len(),
                Ok(Parsed::Control { frame_len, .. }) => {
                    self.front.advance(frame_len);
                    continue;
                }
                Ok(Parsed::Incomplete { .. }) => return Ok(()),
                Err(error) => {
                    self.forget();
                    return Err(error);
                }
            };
            self.front.advance(HEAD_LEN);
            found(self.front.split_to(len).freeze());
        }
    }

    /// Whether there is no part of a frame.
    pub(super) fn is_whole(&self) -> bool {
        self.front.is_empty()
    }

    /// A frame begins with what comes next, whatever stood before it.
    pub(super) fn forget(&mut self) {
        self.front = BytesMut::new();
    }
}
