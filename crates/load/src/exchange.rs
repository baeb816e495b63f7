//! One connection's frames: sends what is due, checks what comes back.
//!
//! ```text
//!      .--> due? -> encode -> write --.
//!      |                              |     one wake-up; the buffers are the worker's,
//!      '---- settle <- parse <- read <'     lent for as long as it lasts
//! ```
//!
//! Pace, size and stop are data that this loop asks; it exists once.

use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use volley_proto::{Control, HEAD_LEN, MaxFrame, Parsed, ReplyKind, encode_data_head, parse};

use crate::bench::Bench;
use crate::flight::{Flight, InFlight, Matched, Stray, expected_crc32c};
use crate::ledger::{Column, Loss};
use crate::pace::Turn;
use crate::shared::{BadReply, Phase, Shared};

/// Bytes that are encoded before they are written.
const BATCH: usize = 256 * 1024;

/// Bytes of a wrong reply that are kept to be shown.
const SHOWN: usize = 32;

/// How often a connection reads before the others of its worker get their turn.
const READS_PER_POLL: usize = 4;

/// Why an exchange ended.
#[derive(Debug)]
pub enum Ended {
    /// Nothing is left to send and nothing in flight, or the run is over.
    Done,
    /// It has sent as many frames as a connection may, and all are answered.
    Spent,
    /// The server asked for no new frames, and all are answered.
    GoAway,
    /// The connection is over, for this reason; what is in flight is lost.
    Failed(Loss, String),
}

/// What two sides have agreed on.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// The replies to expect.
    pub kind: ReplyKind,
    /// The longest payload that may be sent.
    pub max_frame: MaxFrame,
}

/// The frames of a client over all its connections, one after the other.
#[derive(Debug)]
pub struct Client {
    /// The client's number in the run, from 0.
    pub connection: u32,
    /// When its frames are due.
    pub turn: Turn,
    /// The number of its next frame.
    pub number: u64,
    /// Draws the lengths of its payloads.
    pub sizes: fastrand::Rng,
}

/// One connection between connect and close.
#[derive(Debug)]
pub struct Exchange<'c, S> {
    stream: S,
    shared: Arc<Shared>,
    client: &'c mut Client,
    terms: Terms,
    flight: Flight,
    /// Frames that this connection may still send.
    left: u64,
    /// Payload bytes sent on it.
    total: u64,
    /// Encoded and not taken by the socket.
    unsent: Unsent,
    /// Received and not a whole frame.
    kept: Vec<u8>,
    /// Whether `kept` came before the first read, and has not been looked at.
    is_early: bool,
    goaway: bool,
}

/// What the socket would not take.
#[derive(Debug, Default)]
struct Unsent {
    bytes: Vec<u8>,
    written: usize,
    /// The number of the first frame of the batch.
    first: u64,
}

impl<'c, S: AsyncRead + AsyncWrite + Unpin> Exchange<'c, S> {
    /// A connection that has just been opened; `early` is what came behind WELCOME.
    pub fn new(
        stream: S,
        shared: Arc<Shared>,
        client: &'c mut Client,
        terms: Terms,
        early: &[u8],
    ) -> Self {
        let flight = Flight::new(client.connection, terms.kind, client.number);
        let left = shared.plan.life.frames.unwrap_or(u64::MAX);
        let kept = early.to_vec();
        let is_early = !kept.is_empty();
        let unsent = Unsent::default();
        Self {
            stream,
            shared,
            client,
            terms,
            flight,
            left,
            total: 0,
            unsent,
            kept,
            is_early,
            goaway: false,
        }
    }

    /// Exchanges frames until nothing is left to do, or the connection is.
    pub fn poll(&mut self, cx: &mut Context<'_>, bench: &mut Bench) -> Poll<Ended> {
        match self.poll_exchange(cx, bench) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(ended) | Err(ended)) => {
                let loss = match &ended {
                    Ended::Failed(loss, _) => *loss,
                    _ => Loss::Aborted,
                };
                self.settle_all(loss, bench);
                Poll::Ready(ended)
            }
        }
    }

    fn poll_exchange(
        &mut self,
        cx: &mut Context<'_>,
        bench: &mut Bench,
    ) -> Poll<Result<Ended, Ended>> {
        if let Some(expired) = bench.expired
            && self.flight.oldest().is_some_and(|oldest| oldest <= expired)
        {
            self.flight.expire(expired);
        }
        if mem::take(&mut self.is_early) {
            let early = mem::take(&mut self.kept);
            self.take(&early, bench)?;
        }
        for _ in 0..READS_PER_POLL {
            let phase = self.shared.phase();
            if phase == Phase::Aborted {
                return Poll::Ready(Ok(Ended::Done));
            }
            self.flush(cx, bench)?;
            if phase == Phase::Sending && !self.goaway && self.unsent.bytes.is_empty() {
                self.send(cx, bench)?;
            }
            if let Some(ended) = self.is_over(phase) {
                return Poll::Ready(Ok(ended));
            }
            if self.poll_read(cx, bench)?.is_pending() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// When it has to be woken for its next frame, if there is room for it.
    pub fn alarm(&self) -> Option<u64> {
        let has_room = self.flight.places() < self.shared.plan.pipeline as usize;
        self.client.turn.next().filter(|_| has_room && !self.goaway && self.left > 0)
    }

    fn is_over(&self, phase: Phase) -> Option<Ended> {
        // A frame that is overdue is waited for no longer than the run lasts.
        if self.flight.places() > 0 || !self.unsent.bytes.is_empty() {
            return None;
        }
        if phase == Phase::Finishing || (phase == Phase::Sending && self.client.turn.is_over()) {
            return Some(Ended::Done);
        }
        if self.goaway {
            return Some(Ended::GoAway);
        }
        (self.left == 0).then_some(Ended::Spent)
    }

    /// Encodes the frames that are due and for which there is room, and writes them.
    fn send(&mut self, cx: &mut Context<'_>, bench: &mut Bench) -> Result<(), Ended> {
        let room = u64::from(self.shared.plan.pipeline).saturating_sub(self.flight.places() as u64);
        let may = room.min(self.left);
        if may == 0 {
            return Ok(());
        }
        let now = bench.now();
        let may = self.shared.claim(may);
        let first = self.client.number;
        let mut sent = 0;
        bench.output.clear();
        while sent < may && bench.output.len() < BATCH {
            let Some(planned) = self.client.turn.take(now) else { break };
            self.encode(planned, now, bench);
            sent += 1;
        }
        self.shared.unclaim(may - sent);
        if sent == 0 {
            return Ok(());
        }
        self.left -= sent;
        let output = mem::take(&mut bench.output);
        let written = write(&mut self.stream, cx, &output);
        if let Ok(n) = written
            && n < output.len()
        {
            self.unsent = Unsent { bytes: output[n..].to_vec(), written: 0, first };
        } else if bench.is_open {
            self.note_delays(first, now, bench);
        }
        bench.output = output;
        written.map(|_| ()).map_err(failed)
    }

    #[inline]
    fn encode(&mut self, planned: u64, now: u64, bench: &mut Bench) {
        let len = self.shared.plan.sizes.draw(&mut self.client.sizes);
        let (connection, number) = (self.client.connection, self.client.number);
        bench.output.extend_from_slice(&encode_data_head(len as usize));
        let at = bench.output.len();
        self.shared.payloads.append(connection, number, len as usize, &mut bench.output);
        self.total += u64::from(len);
        self.client.number += 1;
        let crc32c = expected_crc32c(self.terms.kind, &bench.output[at..]);
        let frame = InFlight {
            number,
            planned,
            written: now,
            len,
            crc32c,
            total: self.total,
            is_warmup: planned < bench.warmup,
        };
        self.flight.send(frame);
        bench.sent(&frame);
    }

    /// Writes what the socket would not take before.
    fn flush(&mut self, cx: &mut Context<'_>, bench: &mut Bench) -> Result<(), Ended> {
        if self.unsent.bytes.is_empty() {
            return Ok(());
        }
        let n = write(&mut self.stream, cx, &self.unsent.bytes[self.unsent.written..])
            .map_err(failed)?;
        self.unsent.written += n;
        if self.unsent.written == self.unsent.bytes.len() {
            let first = mem::take(&mut self.unsent).first;
            let now = bench.now();
            self.note_delays(first, now, bench);
        }
        Ok(())
    }

    /// The frames from `first` on that wait are out now.
    fn note_delays(&mut self, first: u64, now: u64, bench: &mut Bench) {
        for frame in self.flight.written_now(first, now) {
            bench.delayed(frame);
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, bench: &mut Bench) -> Result<Poll<()>, Ended> {
        let mut input = mem::take(&mut bench.input);
        let kept = self.kept.len();
        if input.len() < 2 * kept {
            input.resize(2 * kept, 0);
        }
        let mut target = ReadBuf::new(&mut input[kept..]);
        let read = Pin::new(&mut self.stream).poll_read(cx, &mut target);
        let n = target.filled().len();
        let done = match read {
            Poll::Pending => Ok(Poll::Pending),
            Poll::Ready(Err(error)) => Err(failed(error)),
            Poll::Ready(Ok(())) if n == 0 => {
                Err(Ended::Failed(Loss::Closed, "the server closed the connection".to_owned()))
            }
            Poll::Ready(Ok(())) => {
                input[..kept].copy_from_slice(&self.kept);
                self.take(&input[..kept + n], bench).map(Poll::Ready)
            }
        };
        bench.input = input;
        done
    }

    /// Settles the frames to which whole replies have come.
    fn take(&mut self, input: &[u8], bench: &mut Bench) -> Result<(), Ended> {
        let now = bench.now();
        let mut at = 0;
        loop {
            match parse(&input[at..], MaxFrame::CEILING) {
                Ok(Parsed::Data(payload)) => {
                    at += HEAD_LEN + payload.len();
                    bench.interval.bytes_received += payload.len() as u64;
                    let books = &mut bench.interval.books;
                    match self.flight.reply(payload, &self.shared.payloads, books) {
                        Matched::Answer(frame, column) => {
                            bench.answered(&frame, now);
                            if column == Column::Corrupt {
                                self.show(&frame, payload);
                            }
                        }
                        Matched::Extra(stray) => self.stray(stray, bench)?,
                    }
                }
                Ok(Parsed::Control { control, frame_len }) => {
                    at += frame_len;
                    self.obey(control)?;
                }
                Ok(Parsed::Incomplete { .. }) => break,
                Err(error) => return Err(Ended::Failed(Loss::Protocol, error.to_string())),
            }
        }
        self.kept.clear();
        self.kept.extend_from_slice(&input[at..]);
        if self.kept.is_empty() {
            self.kept = Vec::new();
        }
        Ok(())
    }

    #[cold]
    fn stray(&self, stray: Stray, bench: &mut Bench) -> Result<(), Ended> {
        match stray {
            Stray::Duplicate => Ok(()),
            Stray::Misrouted(connection, number) => {
                self.shared.misroute(connection, number);
                Ok(())
            }
            Stray::Unasked => {
                bench.interval.unasked += 1;
                let why = "the server sent a reply to no frame".to_owned();
                Err(Ended::Failed(Loss::Protocol, why))
            }
        }
    }

    #[cold]
    fn obey(&mut self, control: Control) -> Result<(), Ended> {
        match control {
            Control::GoAway { .. } => {
                self.goaway = true;
                Ok(())
            }
            Control::Error { reason, text, .. } => {
                Err(Ended::Failed(Loss::Refused, format!("the server said: {reason}: {text}")))
            }
            Control::Hello { .. } | Control::Welcome { .. } => {
                let why = format!("the server sent {}, which it may not here", control.name());
                Err(Ended::Failed(Loss::Protocol, why))
            }
        }
    }

    #[cold]
    fn show(&self, frame: &InFlight, received: &[u8]) {
        self.shared.show(|| {
            let mut expected = Vec::new();
            if self.terms.kind == ReplyKind::Echo {
                let (connection, len) = (self.client.connection, frame.len as usize);
                self.shared.payloads.append(connection, frame.number, len, &mut expected);
            }
            let lengths = (expected.len(), received.len());
            expected.truncate(SHOWN);
            let received = received[..received.len().min(SHOWN)].to_vec();
            let connection = self.client.connection;
            BadReply { connection, frame: frame.number, expected, received, lengths }
        });
    }

    fn settle_all(&mut self, loss: Loss, bench: &mut Bench) {
        let now = bench.now();
        let Bench { interval, is_open, .. } = bench;
        let (shared, flight) = (&self.shared, &mut self.flight);
        let claimed = |connection, number| shared.was_misrouted(connection, number);
        let (response, service) = (&mut interval.response, &mut interval.service);
        // A frame without a reply took at least as long as it was waited for.
        flight.give_up(loss, &mut interval.books, claimed, |frame| {
            if frame.is_warmup {
                return;
            }
            service.record(now.saturating_sub(frame.written), 1);
            if *is_open {
                response.record(now.saturating_sub(frame.planned), 1);
            }
        });
    }
}

/// Writes until all is out or the socket takes no more. Returns how many bytes it took.
fn write<S: AsyncWrite + Unpin>(
    stream: &mut S,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> io::Result<usize> {
    let mut written = 0;
    while written < bytes.len() {
        match Pin::new(&mut *stream).poll_write(cx, &bytes[written..]) {
            Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(Ok(n)) => written += n,
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => break,
        }
    }
    Ok(written)
}

fn failed(error: io::Error) -> Ended {
    Ended::Failed(Loss::Reset, error.to_string())
}
