//! Replies to pings, cut out of the bytes of a connection.

use bytes::BytesMut;
use tokio_util::codec::Decoder;
use volley_client::Framing;
use volley_proto::{CodecError, Frame, FrameCodec, FrameError, MaxFrame};

/// What comes from a server, as frames.
#[derive(Debug)]
pub(crate) struct ReplyDecoder {
    frames: FrameCodec,
    /// The length of each reply if the bytes do not tell.
    raw: Option<usize>,
}

impl ReplyDecoder {
    /// `len` is that of a ping's payload.
    pub(crate) fn new(framing: Framing, len: usize) -> Self {
        let raw = (framing == Framing::Raw).then_some(len);
        Self { frames: FrameCodec::new(MaxFrame::CEILING), raw }
    }
}

impl Decoder for ReplyDecoder {
    type Item = Frame;
    type Error = CodecError;

    fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<Frame>, CodecError> {
        match self.raw {
            None => self.frames.decode(bytes),
            Some(len) if bytes.len() < len => Ok(None),
            Some(len) => Ok(Some(Frame::Data(bytes.split_to(len).freeze()))),
        }
    }

    fn decode_eof(&mut self, bytes: &mut BytesMut) -> Result<Option<Frame>, CodecError> {
        match (self.raw, self.decode(bytes)?) {
            (None, None) => self.frames.decode_eof(bytes),
            (Some(needs), None) if !bytes.is_empty() => {
                Err(FrameError::Truncated { have: bytes.len(), needs }.into())
            }
            (_, frame) => Ok(frame),
        }
    }
}
