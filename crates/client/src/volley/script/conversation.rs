//! One connection of a script: bytes out as they are, whole frames in.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use volley_client::{
    Arrival, Direction, Error, Opened, Part, Passing, ProtocolError, Sent, Stream, Tap,
};
use volley_proto::{
    Control, Endpoint, FrameError, HEAD_LEN, MaxFrame, Parsed, ReplyKind, encode_data_head, parse,
};

use super::finder::Finder;
use super::sent::{SentFrames, as_datagram};
use crate::wire::Wire;

/// Bytes that there is room for before a read.
const ROOM: usize = 64 << 10;

/// The same for datagrams, of which several may come at once.
const ROOM_FOR_DATAGRAMS: usize = 132 << 10;

/// A connection on which a script says what it likes.
#[derive(Debug)]
pub(super) struct Conversation {
    read: ReadHalf<Stream>,
    write: WriteHalf<Stream>,
    /// What has come and has not been taken.
    inbox: BytesMut,
    /// Why nothing more will come: an error, or the server's close.
    end: Option<Option<io::Error>>,
    sent: SentFrames,
    /// Finds replies in bytes that have been taken as bytes.
    taken: Finder,
    /// Replies that have been taken.
    answered: u64,
    /// Why nothing more can be sent. The server may have said so first.
    broken: Option<io::Error>,
    /// The script has said that it will send nothing more.
    is_half_closed: bool,
    /// Where frames go, if each is a datagram.
    datagrams: Option<Datagrams>,
    wire: Option<Arc<Wire>>,
}

/// Where frames go that are datagrams.
#[derive(Debug)]
struct Datagrams {
    to: Endpoint,
    longest: MaxFrame,
}

/// What comes from the server.
#[derive(Debug)]
pub(super) enum Incoming {
    Reply(Reply),
    Control(Control),
    /// The server has closed, or half-closed.
    Close,
}

/// What a server owes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Awaited {
    /// The reply with this number on its connection, from 1.
    Reply { seq: u64, part: Option<Part> },
    /// Every frame has its reply.
    Nothing,
    /// Something else than whole frames has been sent: it is for the server to say.
    Unknown,
}

/// A data frame.
#[derive(Debug)]
pub(super) struct Reply {
    /// Its number on its connection, from 1.
    pub(super) seq: u64,
    pub(super) payload: Bytes,
    /// The frame that it answers, and after what time, if there is one.
    answers: Option<(Sent, Duration)>,
    is_datagram: bool,
}

impl Reply {
    /// The reply beside its frame, as one of this kind; `None` if there is no frame to answer.
    pub(super) fn arrival(&self, kind: ReplyKind) -> Option<Arrival> {
        let (sent, rtt) = self.answers.clone()?;
        let sent = if self.is_datagram { as_datagram(sent, kind) } else { sent };
        Some(Arrival::new(sent, &self.payload, kind, rtt))
    }
}

impl Conversation {
    /// Over what has been opened to this endpoint.
    pub(super) fn new(opened: Opened, to: &Endpoint, wire: Option<Arc<Wire>>) -> Self {
        let Opened { stream, early, max_frame: longest, .. } = opened;
        let datagrams = stream.is_of_datagrams().then(|| Datagrams { to: to.clone(), longest });
        let (read, write) = split(stream);
        Self {
            read,
            write,
            inbox: early,
            end: None,
            sent: SentFrames::default(),
            taken: Finder::default(),
            answered: 0,
            broken: None,
            is_half_closed: false,
            datagrams,
            wire,
        }
    }

    /// Sends a data frame.
    ///
    /// # Errors
    ///
    /// [`Error::Send`] if something before it could not be sent, [`Error::TooLarge`] if no datagram
    /// is so long. If this cannot be sent otherwise, whoever awaits the next frame learns why.
    pub(super) async fn send(&mut self, payload: &Bytes) -> Result<(), Error> {
        if let Some(Datagrams { longest, .. }) = &self.datagrams {
            let (len, max) = (payload.len(), longest.get());
            if len > max as usize {
                return Err(Error::TooLarge { len, max });
            }
        }
        let head = encode_data_head(payload.len());
        self.sent.take(&head);
        self.sent.take(payload);
        self.show(Direction::Out, Passing::Data { seq: self.sent.seq(), payload });
        if self.is_of_datagrams() {
            // In one piece, which is one datagram.
            return self.write_all(&mut &[&head[..], payload].concat()[..]).await;
        }
        self.write_all(&mut Buf::chain(&head[..], &payload[..])).await
    }

    /// Sends a control frame.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub(super) async fn send_control(&mut self, control: &Control) -> Result<(), Error> {
        let mut bytes = BytesMut::new();
        control.encode(&mut bytes);
        self.show(Direction::Out, Passing::Control(control));
        self.write_all(&mut bytes).await
    }

    /// Sends bytes with no head before them.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub(super) async fn send_raw(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.sent.take(bytes);
        if let Some(wire) = &self.wire {
            wire.show_raw(Direction::Out, bytes);
        }
        self.write_all(&mut &bytes[..]).await
    }

    /// Takes the next frame, or the close behind the last one. It begins with the first byte that has
    /// not been taken.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], [`Error::Protocol`] for what is no frame or not a whole one.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub(super) async fn next(&mut self) -> Result<Incoming, Error> {
        self.taken.forget();
        loop {
            let needs = match parse(&self.inbox, MaxFrame::CEILING).map_err(ProtocolError::from)? {
                Parsed::Data(payload) => {
                    let len = payload.len();
                    self.inbox.advance(HEAD_LEN);
                    let payload = self.inbox.split_to(len).freeze();
                    return Ok(Incoming::Reply(self.answer(payload)));
                }
                Parsed::Control { control, frame_len } => {
                    self.inbox.advance(frame_len);
                    self.show(Direction::In, Passing::Control(&control));
                    if matches!(control, Control::Error { .. }) {
                        self.broken = None;
                    }
                    return Ok(Incoming::Control(control));
                }
                Parsed::Incomplete { needs } => needs,
            };
            if let Some(end) = &mut self.end {
                if let Some(source) = end.take() {
                    return Err(self.failed(source));
                }
                if !self.inbox.is_empty() {
                    let have = self.inbox.len();
                    let truncated = FrameError::Truncated { have, needs };
                    return Err(ProtocolError::Frame(truncated).into());
                }
                self.broken = None;
                return Ok(Incoming::Close);
            }
            self.read_once().await;
        }
    }

    /// Takes the next `len` bytes, heads and all; fewer if no more come.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub(super) async fn next_bytes(&mut self, len: usize) -> Result<Bytes, Error> {
        while self.inbox.len() < len && self.end.is_none() {
            self.read_once().await;
        }
        if self.inbox.len() < len
            && let Some(Some(source)) = self.end.as_mut().map(Option::take)
        {
            return Err(self.failed(source));
        }
        let bytes = self.inbox.split_to(len.min(self.inbox.len())).freeze();
        if let Some(wire) = &self.wire {
            wire.show_raw(Direction::In, &bytes);
        }
        // Replies that are whole with them have answered their frames. Other bytes may come too: only
        // the script knows.
        let _ = self.taken.take(&bytes, |_| {
            self.answered += 1;
            self.sent.next_answered();
        });
        Ok(bytes)
    }

    /// Waits until something comes: bytes or the end. They are left where they are.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub(super) async fn until_something_comes(&mut self) {
        while self.inbox.is_empty() && self.end.is_none() {
            self.read_once().await;
        }
    }

    /// Tells the server that nothing more will be sent.
    ///
    /// # Errors
    ///
    /// [`Error::Send`].
    pub(super) async fn half_close(&mut self) -> Result<(), Error> {
        self.check_sent()?;
        self.show(Direction::Out, Passing::End);
        self.is_half_closed = true;
        self.write.shutdown().await.map_err(|source| Error::Send { source })
    }

    /// That everything could be sent, or the server has said why not.
    ///
    /// # Errors
    ///
    /// [`Error::Send`].
    pub(super) fn check_sent(&mut self) -> Result<(), Error> {
        match self.broken.take() {
            Some(source) => Err(Error::Send { source }),
            None => Ok(()),
        }
    }

    /// What an end of the connection means for its frames.
    pub(super) fn closed(&self) -> Error {
        let (answered, outstanding) = (self.answered, self.sent.outstanding());
        Error::Closed { answered, outstanding, part: None }
    }

    /// Whether each frame is a datagram.
    pub(super) const fn is_of_datagrams(&self) -> bool {
        self.datagrams.is_some()
    }

    /// Whether nothing more can be sent, by the script's own will.
    pub(super) const fn is_half_closed(&self) -> bool {
        self.is_half_closed
    }

    /// What the server owes for what has been sent.
    pub(super) fn awaited(&self) -> Awaited {
        if self.sent.outstanding() > 0 {
            Awaited::Reply { seq: self.answered + 1, part: self.part() }
        } else if self.sent.is_whole() {
            Awaited::Nothing
        } else {
            Awaited::Unknown
        }
    }

    /// What has come of a frame that is not whole.
    fn part(&self) -> Option<Part> {
        match parse(&self.inbox, MaxFrame::CEILING) {
            Ok(Parsed::Incomplete { needs }) if !self.inbox.is_empty() => {
                Some(Part { have: self.inbox.len(), needs })
            }
            _ => None,
        }
    }

    /// What has come and has not been taken.
    pub(super) fn untaken(&self) -> &[u8] {
        &self.inbox
    }

    /// Reads while it writes: a server that cannot get rid of its replies takes nothing more.
    async fn write_all(&mut self, bytes: &mut impl Buf) -> Result<(), Error> {
        self.check_sent()?;
        let mut is_out = false;
        while !is_out && self.broken.is_none() {
            self.inbox.reserve(self.room());
            let write = async {
                self.write.write_all_buf(bytes).await?;
                self.write.flush().await
            };
            // Both branches are cancel safe.
            tokio::select! {
                biased;
                written = write => {
                    is_out = true;
                    match written {
                        // It tells once, and may tell of an earlier one, which nobody got.
                        Err(error) if self.datagrams.is_some() => self.end = Some(Some(error)),
                        written => self.broken = written.err(),
                    }
                }
                read = self.read.read_buf(&mut self.inbox), if self.end.is_none() => {
                    self.note(read);
                }
            }
        }
        Ok(())
    }

    const fn room(&self) -> usize {
        if self.is_of_datagrams() { ROOM_FOR_DATAGRAMS } else { ROOM }
    }

    async fn read_once(&mut self) {
        self.inbox.reserve(self.room());
        let read = self.read.read_buf(&mut self.inbox).await;
        self.note(read);
    }

    fn note(&mut self, read: io::Result<usize>) {
        match read {
            Ok(0) => {
                self.show(Direction::In, Passing::End);
                self.end = Some(None);
            }
            Ok(_) => {}
            Err(error) => self.end = Some(Some(error)),
        }
    }

    fn answer(&mut self, payload: Bytes) -> Reply {
        self.answered += 1;
        let seq = self.answered;
        self.show(Direction::In, Passing::Data { seq, payload: &payload });
        let is_datagram = self.is_of_datagrams();
        let answered = if is_datagram {
            self.sent.next_answered_by(&payload)
        } else {
            self.sent.next_answered()
        };
        let answers = answered.map(|(sent, at)| (sent, at.elapsed()));
        Reply { seq, payload, answers, is_datagram }
    }

    fn failed(&self, source: io::Error) -> Error {
        if let Some(Datagrams { to, .. }) = &self.datagrams {
            let endpoint = to.clone();
            return match source.kind() {
                io::ErrorKind::ConnectionRefused
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable => {
                    Error::Connect { endpoint, address: None, source }
                }
                _ => Error::Send { source },
            };
        }
        Error::Io { answered: self.answered, outstanding: self.sent.outstanding(), source }
    }

    fn show(&self, direction: Direction, passing: Passing<'_>) {
        if let Some(wire) = &self.wire {
            wire.pass(direction, passing);
        }
    }
}
