//! HELLO, and the WELCOME that answers it.

use std::io;

use bytes::BytesMut;
use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio_util::codec::FramedRead;
use volley_proto::{CodecError, Control, Frame, FrameCodec, MaxFrame, Text};

use crate::error::{Error, ProtocolError};
use crate::options::Hello;
use crate::stream::Stream;
use crate::tap::{Direction, Passing, Tap};
use crate::terms::Terms;

/// Sends HELLO and awaits WELCOME; returns what came behind it too.
pub(crate) async fn greet(
    stream: &mut Stream,
    hello: &Hello,
    tap: Option<&dyn Tap>,
) -> Result<(Terms, BytesMut), Error> {
    let name = Text::new(hello.name.as_str());
    let mut bytes = Vec::new();
    let hello = Control::Hello { wanted: hello.wanted, name };
    hello.encode(&mut bytes);
    if let Some(tap) = tap {
        tap.pass(Direction::Out, Passing::Control(&hello));
    }
    // If it can't be written the server may still have said why.
    let sent = async {
        stream.write_all(&bytes).await?;
        stream.flush().await
    };
    let sent = sent.await;
    let mut frames = FramedRead::new(stream, FrameCodec::new(MaxFrame::CEILING));
    let answer = frames.next().await;
    if let Some(tap) = tap {
        show_answer(tap, answer.as_ref());
    }
    let terms = read_welcome(answer, sent)?;
    Ok((terms, std::mem::take(frames.read_buffer_mut())))
}

fn show_answer(tap: &dyn Tap, answer: Option<&Result<Frame, CodecError>>) {
    let passing = match answer {
        Some(Ok(Frame::Control(control))) => Passing::Control(control),
        Some(Ok(Frame::Data(payload))) => Passing::Data { seq: 1, payload },
        Some(Err(_)) => return,
        None => Passing::End,
    };
    tap.pass(Direction::In, passing);
}

fn read_welcome(
    answer: Option<Result<Frame, CodecError>>,
    sent: io::Result<()>,
) -> Result<Terms, Error> {
    let no_welcome = |answer| Err(Error::NoWelcome { answer });
    match answer {
        Some(Ok(Frame::Control(Control::Welcome { granted, max_frame, .. }))) => {
            Ok(Terms { reply: granted, max_frame })
        }
        Some(Ok(Frame::Control(Control::Error { reason, last_seq, text }))) => {
            Err(Error::Refused { reason, last_seq, text: text.to_string() })
        }
        Some(Ok(Frame::Control(Control::Hello { .. }))) => no_welcome("an echo of it"),
        Some(Ok(Frame::Control(Control::GoAway { .. }))) => no_welcome("GOAWAY"),
        Some(Ok(Frame::Data(_))) => no_welcome("a data frame"),
        Some(Err(CodecError::Frame(error))) => Err(ProtocolError::from(error).into()),
        Some(Err(CodecError::Io(error))) if error.kind() != io::ErrorKind::ConnectionReset => {
            Err(Error::Io { answered: 0, outstanding: 0, source: error })
        }
        end @ (None | Some(Err(_))) => match sent {
            Ok(()) => no_welcome(if end.is_none() { "a close" } else { "a reset" }),
            Err(source) => Err(Error::Send { source }),
        },
    }
}
