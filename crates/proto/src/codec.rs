//! The same frames for `tokio_util::codec`: what a client, a test or an embedder uses.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use crate::{Control, Frame, FrameError, HEAD_LEN, MaxFrame, Parsed, encode_data, parse};

/// Frames in and out of a byte stream, for `Framed`, `FramedRead` and `FramedWrite`.
///
/// For data frames it reads and writes byte for byte what `LengthDelimitedCodec::new()` does. It
/// differs in four ways: it knows control frames, its errors carry the numbers, a stream that ends
/// right behind a head is truncated (there it ends cleanly), and it reserves nothing for a declared
/// length, so that a peer must send bytes before they cost memory.
///
/// After an error the stream has no next frame boundary: drop the connection.
///
/// # Examples
///
/// ```
/// use futures_util::{SinkExt, StreamExt};
/// use tokio_util::codec::Framed;
/// use volley_proto::{Frame, FrameCodec};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), volley_proto::CodecError> {
/// let (client, server) = tokio::io::duplex(64);
/// let mut client = Framed::new(client, FrameCodec::default());
/// let mut server = Framed::new(server, FrameCodec::default());
///
/// client.send(Frame::Data("hello".into())).await?;
/// let frame = server.next().await.transpose()?;
/// assert_eq!(frame, Some(Frame::Data("hello".into())));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct FrameCodec {
    max_frame: MaxFrame,
    /// The limit under which the head at the front of the buffer was accepted, while the rest of
    /// its frame is still coming. A later, lower limit is for later frames.
    accepted_under: Option<MaxFrame>,
}

impl FrameCodec {
    /// A codec that takes and sends payloads of at most `max_frame` bytes.
    pub const fn new(max_frame: MaxFrame) -> Self {
        Self { max_frame, accepted_under: None }
    }

    /// The limit in force.
    pub const fn max_frame(&self) -> MaxFrame {
        self.max_frame
    }

    /// Changes the limit. A frame whose head has been read already is still delivered.
    pub const fn set_max_frame(&mut self, max_frame: MaxFrame) {
        self.max_frame = max_frame;
    }
}

/// Why a stream of frames ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The bytes are no legal frame, or the frame to send is not.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The transport failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Decoder for FrameCodec {
    type Item = Frame;
    type Error = CodecError;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Frame>, CodecError> {
        let limit = self.accepted_under.unwrap_or(self.max_frame);
        match parse(src, limit)? {
            Parsed::Data(payload) => {
                let len = payload.len();
                self.accepted_under = None;
                src.advance(HEAD_LEN);
                Ok(Some(Frame::Data(src.split_to(len).freeze())))
            }
            Parsed::Control { control, frame_len } => {
                self.accepted_under = None;
                src.advance(frame_len);
                Ok(Some(Frame::Control(control)))
            }
            Parsed::Incomplete { .. } => {
                self.accepted_under = (src.len() >= HEAD_LEN).then_some(limit);
                Ok(None)
            }
        }
    }

    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<Frame>, CodecError> {
        match self.decode(src)? {
            Some(frame) => Ok(Some(frame)),
            None if src.is_empty() => Ok(None),
            None => {
                let limit = self.accepted_under.unwrap_or(self.max_frame);
                let needs = match parse(src, limit)? {
                    Parsed::Incomplete { needs } => needs,
                    // `decode` has just returned whatever is whole.
                    Parsed::Data(_) | Parsed::Control { .. } => src.len(),
                };
                Err(FrameError::Truncated { have: src.len(), needs }.into())
            }
        }
    }
}

impl Encoder<Frame> for FrameCodec {
    type Error = CodecError;

    fn encode(&mut self, frame: Frame, dst: &mut BytesMut) -> Result<(), CodecError> {
        match frame {
            Frame::Data(payload) => self.encode(payload, dst),
            Frame::Control(control) => self.encode(control, dst),
        }
    }
}

impl Encoder<Bytes> for FrameCodec {
    type Error = CodecError;

    fn encode(&mut self, payload: Bytes, dst: &mut BytesMut) -> Result<(), CodecError> {
        if payload.len() > self.max_frame.get() as usize {
            let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
            return Err(FrameError::TooLarge { len, max: self.max_frame.get() }.into());
        }
        dst.reserve(HEAD_LEN + payload.len());
        encode_data(&payload, dst);
        Ok(())
    }
}

impl Encoder<Control> for FrameCodec {
    type Error = CodecError;

    fn encode(&mut self, control: Control, dst: &mut BytesMut) -> Result<(), CodecError> {
        control.encode(dst);
        Ok(())
    }
}
