//! One connection on which pings fly. Opening it, and what to do when it ends, is for others.

use std::io::{self, Cursor};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::{FutureExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Chain};
use tokio::time::{Instant, timeout};
use tokio_util::codec::FramedRead;
use volley_client::advice::with_hint;
use volley_client::{Error, Framing, Opened, ProtocolError, ReadHalf, WriteHalf};
use volley_proto::{CodecError, Control, Frame, FrameError, MaxFrame, ReplyKind, encode_data_head};

use super::arrival::{Arrival, LAST_LOOK, NotSent, Took};
use super::event::Loss;
use super::flight::{Flight, Landing};
use super::payload::Payloads;
use super::reply_decoder::ReplyDecoder;

const CLOSED: &str = "the server closed the connection";

/// A connection with pings in flight.
#[derive(Debug)]
pub(crate) struct Link {
    frames: FramedRead<Chain<Cursor<BytesMut>, ReadHalf>, ReplyDecoder>,
    write: WriteHalf,
    framing: Framing,
    /// What the socket has not taken yet of the ping that was sent last.
    unsent: BytesMut,
    /// Whether what has been written may be kept back, as TLS does.
    is_unflushed: bool,
    /// Why the socket takes nothing any more. The system tells it only once.
    unwritable: Option<io::Error>,
    payloads: Payloads,
    flight: Flight,
    reply: ReplyKind,
    max_frame: MaxFrame,
    going_away: bool,
    took: Took,
}

impl Link {
    /// `took` is how long it was until a ping could be sent.
    pub(crate) fn new(opened: Opened, framing: Framing, payloads: Payloads, took: Took) -> Self {
        let (read, write) = opened.stream.into_split();
        let read = AsyncReadExt::chain(Cursor::new(opened.early), read);
        Self {
            frames: FramedRead::new(read, ReplyDecoder::new(framing, payloads.len())),
            write,
            framing,
            unsent: BytesMut::new(),
            is_unflushed: false,
            unwritable: None,
            flight: Flight::new(opened.reply, payloads.clone()),
            payloads,
            reply: opened.reply,
            max_frame: opened.max_frame,
            going_away: false,
            took,
        }
    }

    /// The server's address; a Unix socket has none.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.write.peer_addr().ok()?.socket()
    }

    /// The kind of reply that comes.
    pub(crate) const fn reply(&self) -> ReplyKind {
        self.reply
    }

    /// How long it was until a ping could be sent.
    pub(crate) const fn took(&self) -> Took {
        self.took
    }

    /// The pings whose replies may come.
    pub(crate) const fn flight(&self) -> &Flight {
        &self.flight
    }

    /// Gives up the pings that have waited for `longest`, and returns their numbers.
    pub(crate) fn expire(&mut self, longest: Duration) -> Vec<u64> {
        self.flight.expire(Instant::now(), longest, Loss::NoReply)
    }

    /// Whether the server has asked for no new frames.
    pub(crate) const fn is_going_away(&self) -> bool {
        self.going_away
    }

    /// Sends ping `seq`: as much of it as the socket takes at once; the rest goes out while
    /// [`next`](Self::next) waits.
    pub(crate) fn send(&mut self, seq: u64) -> Result<(), NotSent> {
        let (len, max) = (self.payloads.len(), self.max_frame.get());
        if self.going_away {
            return Err(NotSent::GoingAway);
        } else if len > max as usize {
            return Err(NotSent::TooLarge { len, max });
        } else if self.is_unflushed {
            return Err(NotSent::Stuck);
        }
        let payload = self.payloads.make(seq);
        self.unsent.reserve(volley_proto::HEAD_LEN + len);
        if self.framing == Framing::Frames {
            self.unsent.extend_from_slice(&encode_data_head(len));
        }
        self.unsent.extend_from_slice(&payload);
        self.flight.launch(seq, Instant::now());
        self.is_unflushed = true;
        if let Some(written) = write_out(&mut self.write, &mut self.unsent).now_or_never() {
            self.note_written(written);
        }
        Ok(())
    }

    /// Awaits what the server does next. After [`Arrival::End`] the link is of no more use.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub(crate) async fn next(&mut self) -> Arrival {
        loop {
            let frame = match &self.unwritable {
                // What the server said before may still be there.
                Some(error) => match self.frames.next().now_or_never() {
                    Some(Some(frame)) => Some(frame),
                    _ => return Arrival::End(failed(error)),
                },
                // Both branches are cancel safe, and neither always first: a server that never
                // stops sending would keep the other one waiting.
                None => tokio::select! {
                    frame = self.frames.next() => frame,
                    written = write_out(&mut self.write, &mut self.unsent), if self.is_unflushed => {
                        self.note_written(written);
                        continue;
                    }
                },
            };
            match frame {
                Some(Ok(Frame::Data(payload))) => {
                    return Arrival::Landing(self.flight.land(&payload, Instant::now()));
                }
                Some(Ok(Frame::Control(Control::GoAway { reason, .. }))) => {
                    if !self.going_away {
                        self.going_away = true;
                        return Arrival::GoingAway(reason);
                    }
                }
                Some(Ok(Frame::Control(control))) => {
                    return Arrival::End(with_hint(&fatal(control)));
                }
                Some(Err(error)) => return Arrival::End(broken(error)),
                None => return Arrival::End(CLOSED.to_owned()),
            }
        }
    }

    fn note_written(&mut self, written: io::Result<()>) {
        self.is_unflushed = false;
        self.unwritable = written.err();
    }

    /// Half-closes after the last reply, and looks whether another one comes all the same. `None`
    /// once the server has closed too, or does not.
    pub(crate) async fn last_look(&mut self) -> Option<Landing> {
        let _ = self.write.shutdown().await;
        match timeout(LAST_LOOK, self.next()).await {
            Ok(Arrival::Landing(landing)) => Some(landing),
            _ => None,
        }
    }
}

/// Writes what is left of a ping, so that nothing of it is kept back.
///
/// # Cancel safety
///
/// What has not been written stays where it is.
async fn write_out(write: &mut WriteHalf, unsent: &mut BytesMut) -> io::Result<()> {
    write.write_all_buf(unsent).await?;
    write.flush().await
}

/// A control frame that ends the connection.
fn fatal(control: Control) -> Error {
    match control {
        Control::Error { reason, last_seq, text } => {
            Error::Refused { reason, last_seq, text: text.to_string() }
        }
        control => ProtocolError::Control(control.name()).into(),
    }
}

/// Why nothing more can be read.
fn broken(error: CodecError) -> String {
    match error {
        // A connection that is lost within a reply is lost.
        CodecError::Frame(FrameError::Truncated { have, needs }) => {
            format!("{CLOSED} within a reply, of which {have} of {needs} bytes had come")
        }
        CodecError::Frame(error) => with_hint(&ProtocolError::from(error).into()),
        CodecError::Io(error) => failed(&error),
        error => error.to_string(),
    }
}

fn failed(error: &io::Error) -> String {
    match error.kind() {
        // Of two that close, one finds out so.
        io::ErrorKind::BrokenPipe => CLOSED.to_owned(),
        _ => format!("the connection failed: {error}"),
    }
}
