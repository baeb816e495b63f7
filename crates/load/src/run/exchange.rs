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
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use volley_client::{Framing, Opened, ProtocolError, Stream};
use volley_proto::{Control, Parsed, Reason, ReplyKind};

use crate::measure::ledger::{Column, Loss};
use crate::run::bench::Bench;
use crate::run::client::Client;
use crate::run::cut::{Cut, Framed, Raw};
use crate::run::flight::{Flight, InFlight, Matched, Sent, Stray, expected_crc32c};
use crate::run::shared::{BadReply, Phase, Shared};

/// Bytes that are encoded before they are written.
const BATCH: usize = 256 * 1024;

/// Bytes of a wrong reply that are kept to be shown.
const SHOWN: usize = 32;

/// Where the time stands in a receipt.
const RECEIVED_AT: usize = 24;

/// How often a connection reads before the others of its worker get their turn.
const READS_PER_POLL: usize = 4;

/// Why an exchange ended.
#[derive(Debug)]
pub enum Ended {
    /// Nothing is left to send and nothing in flight, or the run is over.
    Done,
    /// It has sent as many frames as a connection may, and all are answered.
    Spent,
    /// The server asked for no new frames, for this reason, and all are answered.
    GoAway(Reason),
    /// The connection is over, for this reason; what is in flight is lost.
    Failed(Loss, String),
}

/// One connection between connect and close.
#[derive(Debug)]
pub struct Exchange<'c> {
    stream: Stream,
    shared: &'c Shared,
    client: &'c mut Client,
    kind: ReplyKind,
    flight: Flight,
    /// Frames that this connection may still send.
    left: u64,
    /// Encoded and not taken by the socket.
    unsent: Option<Box<Unsent>>,
    /// Why nothing can be written any more. What came before can still be read.
    broken: Option<io::Error>,
    /// Received and not a whole frame.
    kept: Box<[u8]>,
    /// Whether `kept` came before the first read, and has not been looked at.
    is_early: bool,
    /// Why the server takes no new frames.
    goaway: Option<Reason>,
    /// Whether any reply has been right.
    answered: bool,
    /// Whether all places of the pipeline are taken.
    is_full: bool,
    /// When there was a place again after they had all been taken, in nanoseconds after the run's
    /// beginning.
    free_since: u64,
}

/// What the socket would not take.
#[derive(Debug)]
struct Unsent {
    /// Empty if the stream has taken all and keeps some of it back.
    bytes: Vec<u8>,
    written: usize,
    /// The number of the first frame of the batch.
    first: u64,
}

impl<'c> Exchange<'c> {
    /// A connection that has just been opened.
    pub fn new(opened: Opened, shared: &'c Shared, client: &'c mut Client) -> Self {
        let Opened { stream, reply, early, .. } = opened;
        let flight = Flight::new(&shared.plan, client.connection, reply, client.number);
        let flight = if stream.is_of_datagrams() { flight.of_datagrams() } else { flight };
        let left = shared.plan.life.frames.unwrap_or(u64::MAX);
        Self {
            stream,
            shared,
            client,
            kind: reply,
            flight,
            left,
            unsent: None,
            broken: None,
            is_early: !early.is_empty(),
            kept: early[..].into(),
            goaway: None,
            answered: false,
            is_full: false,
            free_since: 0,
        }
    }

    /// Exchanges frames until nothing is left to do, or the connection is.
    pub fn poll(&mut self, cx: &mut Context<'_>, bench: &mut Bench) -> Poll<Ended> {
        let polled = match self.poll_exchange(cx, bench) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(ended) | Err(ended)) => {
                let loss = match &ended {
                    Ended::Failed(loss, _) => *loss,
                    _ if self.shared.phase() == Phase::Expired => Loss::TimedOut,
                    _ => Loss::Aborted,
                };
                for (frame, loss) in self.flight.give_up(loss) {
                    self.lose(&frame, loss, bench);
                }
                Poll::Ready(ended)
            }
        };
        bench.settle();
        polled
    }

    fn poll_exchange(
        &mut self,
        cx: &mut Context<'_>,
        bench: &mut Bench,
    ) -> Poll<Result<Ended, Ended>> {
        if let Some(expired) = bench.expired {
            self.expire(expired, bench);
        }
        if mem::take(&mut self.is_early) {
            let early = mem::take(&mut self.kept);
            self.take(&early, bench)?;
        }
        for _ in 0..READS_PER_POLL {
            // Without lengths a reply is known by those before it.
            if self.flight.is_beyond_memory() && self.shared.plan.framing == Framing::Raw {
                let why = "more replies are overdue than are remembered".to_owned();
                return Poll::Ready(Err(Ended::Failed(Loss::TimedOut, why)));
            }
            let phase = self.shared.phase();
            if phase > Phase::Finishing {
                return Poll::Ready(Ok(Ended::Done));
            }
            if self.broken.is_none() {
                self.flush(cx, bench);
            }
            if self.may_send(phase) {
                self.send(cx, bench);
            }
            if let Some(ended) = self.is_over(phase) {
                return Poll::Ready(Ok(ended));
            }
            if self.poll_read(cx, bench)?.is_pending() {
                return match self.broken_for_good() {
                    Some(ended) => Poll::Ready(Err(ended)),
                    None => Poll::Pending,
                };
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Closes this side and reads until the server has closed the other. Nothing but its close may
    /// come, or replies to frames that were given up; returns what should not have.
    pub fn poll_behind(&mut self, cx: &mut Context<'_>, bench: &mut Bench) -> Poll<Option<Ended>> {
        let ended = loop {
            // It may have been closed before.
            let _ = Pin::new(&mut self.stream).poll_shutdown(cx);
            match self.poll_read(cx, bench) {
                Ok(Poll::Pending) => break Poll::Pending,
                Ok(Poll::Ready(())) => {}
                Err(ended @ Ended::Failed(Loss::Protocol, _)) => break Poll::Ready(Some(ended)),
                Err(_) => break Poll::Ready(None),
            }
        };
        bench.settle();
        ended
    }

    /// Whether any reply has been right.
    pub const fn was_answered(&self) -> bool {
        self.answered
    }

    /// When it has to be woken for its next frame, if that can be sent then. What else it waits for
    /// wakes it without an alarm.
    pub fn alarm(&self) -> Option<u64> {
        let has_room = self.flight.places() < self.shared.plan.pipeline as usize && self.left > 0;
        let may_send = has_room && self.may_send(self.shared.phase()) && !self.shared.is_spent();
        self.client.turn.next().filter(|_| may_send)
    }

    /// Whether new frames may be sent.
    fn may_send(&self, phase: Phase) -> bool {
        let is_writable = self.unsent.is_none() && self.broken.is_none();
        phase == Phase::Sending && self.goaway.is_none() && is_writable
    }

    fn is_over(&self, phase: Phase) -> Option<Ended> {
        // A frame that is overdue is waited for no longer than the run lasts.
        // Of a connection that failed the reading side says what came of it.
        if self.flight.places() > 0 || self.unsent.is_some() || self.broken.is_some() {
            return None;
        }
        let is_done = self.client.turn.is_over() || self.shared.is_spent();
        if phase == Phase::Finishing || (phase == Phase::Sending && is_done) {
            return Some(Ended::Done);
        }
        if let Some(reason) = self.goaway {
            return Some(Ended::GoAway(reason));
        }
        (self.left == 0).then_some(Ended::Spent)
    }

    /// Sends the frames that are due and for which there is room.
    fn send(&mut self, cx: &mut Context<'_>, bench: &mut Bench) {
        match self.shared.plan.framing {
            Framing::Frames => self.send_as::<Framed>(cx, bench),
            Framing::Raw => self.send_as::<Raw>(cx, bench),
        }
    }

    fn send_as<C: Cut>(&mut self, cx: &mut Context<'_>, bench: &mut Bench) {
        let room = u64::from(self.shared.plan.pipeline).saturating_sub(self.flight.places() as u64);
        let may = room.min(self.left);
        if may == 0 {
            return;
        }
        let now = bench.now();
        let first = self.client.number;
        let mut sent = 0;
        bench.encoded = 0;
        while sent < may && bench.encoded < BATCH {
            let Some(planned) = self.client.turn.take(now) else { break };
            let is_warmup = planned < bench.warmup;
            if !is_warmup && !self.shared.claim() {
                break;
            }
            self.encode::<C>(planned, now, is_warmup, bench);
            sent += 1;
        }
        if sent == 0 {
            return;
        }
        self.is_full = sent == room;
        bench.wrote(now);
        self.left -= sent;
        let batch = &bench.output[..bench.encoded];
        match write(&mut self.stream, cx, batch) {
            Ok(Written { taken, is_out: false }) => {
                let unsent = Unsent { bytes: batch[taken..].to_vec(), written: 0, first };
                self.unsent = Some(Box::new(unsent));
            }
            written => {
                self.broken = written.err();
                if bench.is_open {
                    self.note_delays(first, now, bench);
                }
            }
        }
    }

    #[inline]
    fn encode<C: Cut>(&mut self, planned: u64, now: u64, is_warmup: bool, bench: &mut Bench) {
        let len = self.shared.plan.draw_len(&mut self.client.sizes);
        let (connection, number) = (self.client.connection, self.client.number);
        let (head, payload) = bench.room(C::HEAD_LEN, len as usize);
        C::put_head(head, len as usize);
        self.shared.payloads.write(connection, number, payload);
        let crc32c = expected_crc32c(self.kind, payload);
        self.client.number += 1;
        if planned < self.free_since {
            bench.interval.of(is_warmup).waited += 1;
        }
        self.flight.send(Sent { planned, written: now, len, crc32c }, is_warmup);
        bench.sent(len, is_warmup);
    }

    /// Writes what the socket would not take before.
    fn flush(&mut self, cx: &mut Context<'_>, bench: &mut Bench) {
        let Some(unsent) = &mut self.unsent else { return };
        let is_out = match write(&mut self.stream, cx, &unsent.bytes[unsent.written..]) {
            Ok(Written { taken, is_out }) => {
                unsent.written += taken;
                is_out
            }
            Err(error) => {
                self.broken = Some(error);
                false
            }
        };
        if is_out {
            let first = unsent.first;
            self.unsent = None;
            let now = bench.now();
            self.note_delays(first, now, bench);
        }
    }

    /// The frames from `first` on that wait are out now.
    fn note_delays(&mut self, first: u64, now: u64, bench: &mut Bench) {
        for times in self.flight.written_now(first, now) {
            bench.delayed(times);
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
            Poll::Ready(Ok(())) if n == 0 => Err(self.closed()),
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
        match self.shared.plan.framing {
            Framing::Frames => self.take_as::<Framed>(input, bench),
            Framing::Raw => self.take_as::<Raw>(input, bench),
        }
    }

    fn take_as<C: Cut>(&mut self, input: &[u8], bench: &mut Bench) -> Result<(), Ended> {
        let now = bench.now();
        // A reply is late from its time-out on, not from when overdue frames are next looked for.
        if let Some(expired) = now.checked_sub(bench.timeout) {
            self.expire(expired, bench);
        }
        let mut at = 0;
        loop {
            match C::front(&input[at..], || self.flight.due()) {
                Ok(Parsed::Data(payload)) => {
                    at += C::HEAD_LEN + payload.len();
                    match self.flight.in_turn(payload, &self.shared.payloads) {
                        Some(times) => {
                            bench.right(times, payload.len(), now);
                            self.note_answer();
                        }
                        None => self.sort_out(payload, now, bench)?,
                    }
                }
                Ok(Parsed::Control { control, frame_len }) => {
                    at += frame_len;
                    self.obey(control)?;
                }
                Ok(Parsed::Incomplete { .. }) => break,
                Err(error) => {
                    let why = ProtocolError::from(error).to_string();
                    return Err(Ended::Failed(Loss::Protocol, why));
                }
            }
        }
        self.note_free(now);
        if !self.kept.is_empty() || at < input.len() {
            self.kept = input[at..].into();
        }
        Ok(())
    }

    /// A reply is not the right one for the frame whose turn it is.
    #[cold]
    fn sort_out(&mut self, payload: &[u8], now: u64, bench: &mut Bench) -> Result<(), Ended> {
        match self.flight.sort_out(payload, &self.shared.payloads, &mut bench.interval) {
            Matched::Answer(frame, column) => {
                bench.answered(frame.times(), 1, payload.len() as u64, now);
                if column == Column::Corrupt {
                    self.show(&frame, payload);
                } else {
                    self.note_answer();
                }
                Ok(())
            }
            Matched::Extra(stray) => self.stray(stray, bench),
        }
    }

    #[inline]
    fn note_answer(&mut self) {
        if !self.answered {
            self.answered = true;
            self.shared.note_answer();
        }
    }

    #[cold]
    fn stray(&self, stray: Stray, bench: &mut Bench) -> Result<(), Ended> {
        match stray {
            Stray::Duplicate => Ok(()),
            Stray::Misrouted(connection, number) => {
                self.shared.misroute(connection, number);
                Ok(())
            }
            Stray::Forgotten => {
                count_stray(bench);
                Ok(())
            }
            Stray::Unasked => {
                count_stray(bench);
                let why = "the server sent a reply to no frame".to_owned();
                Err(Ended::Failed(Loss::Protocol, why))
            }
        }
    }

    /// Nothing can be written, and nothing that came before is left to be read: datagrams have no
    /// end that could say more.
    fn broken_for_good(&mut self) -> Option<Ended> {
        self.broken.take_if(|_| self.stream.is_of_datagrams()).map(failed)
    }

    fn closed(&mut self) -> Ended {
        // A broken pipe says no more than that the server had closed.
        if let Some(error) = self.broken.take_if(|error| error.kind() != io::ErrorKind::BrokenPipe)
        {
            return failed(error);
        }
        let (loss, why) = if self.kept.is_empty() {
            (Loss::Closed, "the server closed the connection")
        } else {
            (Loss::Truncated, "the server closed the connection in the middle of a frame")
        };
        Ended::Failed(loss, why.to_owned())
    }

    #[cold]
    fn obey(&mut self, control: Control) -> Result<(), Ended> {
        match control {
            Control::GoAway { reason, .. } => {
                self.goaway = Some(reason);
                Ok(())
            }
            Control::Error { reason, text, .. } => {
                // Why is for a person, and may be left out.
                let text = if text.is_empty() { String::new() } else { format!(": {text}") };
                let why = format!("the server said: {reason}{text}");
                Err(Ended::Failed(Loss::Refused, why))
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
            let connection = self.client.connection;
            let expected = self.flight.expected(frame, &self.shared.payloads);
            let lengths = (expected.len(), received.len());
            let shown = match self.kind {
                ReplyKind::Echo => SHOWN,
                // Whenever the server says that it received the frame is right.
                ReplyKind::Ack => RECEIVED_AT,
            };
            let expected = expected[..expected.len().min(shown)].to_vec();
            let received = received[..received.len().min(SHOWN)].to_vec();
            BadReply { connection, frame: frame.number, expected, received, lengths }
        });
    }

    /// Frames that were written up to this instant are overdue.
    #[inline]
    fn expire(&mut self, instant: u64, bench: &mut Bench) {
        if self.flight.oldest().is_some_and(|oldest| oldest <= instant) {
            for (frame, loss) in self.flight.expire(instant) {
                self.lose(&frame, loss, bench);
            }
            self.note_free(bench.now());
        }
    }

    /// Frames may have left their places by `now`.
    #[inline]
    fn note_free(&mut self, now: u64) {
        if self.is_full && self.flight.places() < self.shared.plan.pipeline as usize {
            self.is_full = false;
            self.free_since = now;
        }
    }

    /// A frame got no reply here: it took at least as long as it was waited for.
    fn lose(&mut self, frame: &InFlight, loss: Loss, bench: &mut Bench) {
        bench.took(frame.times(), 1, bench.now());
        let is_misrouted = self.shared.was_misrouted(self.client.connection, frame.number);
        let column = if is_misrouted { Column::Misrouted } else { Column::Lost(loss) };
        self.flight.lose(frame, column, &mut bench.interval);
    }
}

/// How far a write has come.
struct Written {
    /// Bytes that the stream took.
    taken: usize,
    /// Whether all of them are out.
    is_out: bool,
}

/// Writes until all is out or the socket takes no more.
fn write(stream: &mut Stream, cx: &mut Context<'_>, bytes: &[u8]) -> io::Result<Written> {
    let mut taken = 0;
    while taken < bytes.len() {
        match Pin::new(&mut *stream).poll_write(cx, &bytes[taken..]) {
            Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(Ok(n)) => taken += n,
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => return Ok(Written { taken, is_out: false }),
        }
    }
    // TLS may keep back what it has taken; for all others there is nothing to do.
    match Pin::new(stream).poll_flush(cx) {
        Poll::Ready(Ok(())) => Ok(Written { taken, is_out: true }),
        Poll::Ready(Err(error)) => Err(error),
        Poll::Pending => Ok(Written { taken, is_out: false }),
    }
}

/// Counts a reply that no frame was waiting for.
fn count_stray(bench: &mut Bench) {
    let is_warmup = bench.is_warming_up();
    bench.interval.of(is_warmup).strays += 1;
}

fn failed(error: io::Error) -> Ended {
    // Of a datagram nobody hears before it is sent that there is no one to receive it.
    let hint = match error.kind() {
        io::ErrorKind::ConnectionRefused => " (is volleyd running there?)",
        _ => "",
    };
    Ended::Failed(Loss::Reset, format!("{error}{hint}"))
}

#[cfg(test)]
mod tests;
