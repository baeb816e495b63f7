//! One connection's frames in flight: which reply belongs to which frame, and what that says.
//!
//! Replies must come in the order of their frames, so the usual case is the comparison of a reply
//! with the oldest frame. Everything else is sorted out here, without any I/O and without a clock.

use std::collections::VecDeque;

use volley_proto::{LONGEST_DATAGRAM, Receipt, ReplyKind, crc32c};

use crate::measure::interval::Interval;
use crate::measure::ledger::{Column, Loss};
use crate::plan::Plan;
use crate::run::payload::Payloads;
use crate::run::trouble::{Trouble, most_trouble};

/// A frame whose reply is awaited. Instants are in nanoseconds after the run's beginning.
#[derive(Clone, Copy, Debug)]
pub struct InFlight {
    /// The frame's number on its connection, from 0.
    pub number: u64,
    /// When it was to be sent.
    pub planned: u64,
    /// When it was handed to the kernel.
    pub written: u64,
    /// Length of its payload in bytes.
    pub len: u32,
    /// CRC-32C of its payload, where receipts are expected.
    pub crc32c: u32,
    /// Payload bytes sent on the connection before it and with it.
    pub total: u64,
    /// Whether it is one of the warm-up's.
    pub is_warmup: bool,
}

impl InFlight {
    /// What its latencies are counted from.
    #[inline]
    pub const fn times(&self) -> Times {
        Times { planned: self.planned, written: self.written, is_warmup: self.is_warmup }
    }
}

/// A frame as it is entered and kept: what can't be told from its place in the order. There are
/// many of them, so this is as small as can be.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// When it was to be sent, in nanoseconds after the run's beginning.
    pub planned: u64,
    /// When it was handed to the kernel, likewise.
    pub written: u64,
    /// Length of its payload in bytes.
    pub len: u32,
    /// CRC-32C of its payload, where receipts are expected.
    pub crc32c: u32,
}

/// What the latencies of a frame are counted from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// When it was to be sent, in nanoseconds after the run's beginning.
    pub planned: u64,
    /// When it was handed to the kernel, likewise.
    pub written: u64,
    /// Whether it is one of the warm-up's.
    pub is_warmup: bool,
}

/// What a reply turned out to be.
#[derive(Clone, Copy, Debug)]
pub enum Matched {
    /// The reply to this frame, in time or not: its latency counts.
    Answer(InFlight, Column),
    /// Of no frame that still waits: a second reply, or one that belongs to another connection.
    Extra(Stray),
}

/// A reply without a frame on its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stray {
    /// A second reply to a frame that has had one.
    Duplicate,
    /// The reply to a frame of which it is not known any more what became of it.
    Forgotten,
    /// The reply to a frame of another connection of this run: its connection and number.
    Misrouted(u32, u64),
    /// Nothing was in flight.
    Unasked,
}

/// The frames of one connection that wait for their replies.
#[derive(Debug)]
pub struct Flight {
    connection: u32,
    kind: ReplyKind,
    /// Whether receipts have a number and the sum of all before; those for datagrams have not.
    are_counted: bool,
    /// How much trouble is remembered.
    most_trouble: u32,
    /// In the order in which they were sent, without a gap, up to the last.
    waiting: VecDeque<Sent>,
    /// Payload bytes sent on the connection before the first of them.
    total: u64,
    /// The frames that were not answered in their turn. Most connections have none, and there may
    /// be thousands.
    trouble: Option<Box<Trouble>>,
    /// The number of the first frame behind the warm-up's.
    warm: u64,
    /// Number of the frame that the connection's first one has: a reconnected connection goes on
    /// counting, its receipts begin again.
    first: u64,
    /// Number that the next frame will have.
    sent: u64,
    /// The number behind the last frame that got a reply.
    answered: u64,
}

/// How far back a second echo is looked for that does not say whose it is.
const RECENT: usize = 64;

/// How long such an echo must be, so that a wrong one hardly ever looks like one of those.
const TELLING: usize = 4;

impl Flight {
    /// No frames yet; the next will have `first` as its number.
    pub fn new(plan: &Plan, connection: u32, kind: ReplyKind, first: u64) -> Self {
        // What a deque takes by itself at first would be four times what most need.
        let places = plan.pipeline.min(4) as usize;
        Self {
            connection,
            kind,
            are_counted: true,
            most_trouble: most_trouble(plan),
            waiting: VecDeque::with_capacity(places),
            total: 0,
            trouble: None,
            warm: first,
            first,
            sent: first,
            answered: first,
        }
    }

    /// The same for frames that are datagrams.
    #[must_use]
    pub const fn of_datagrams(mut self) -> Self {
        self.are_counted = false;
        self
    }

    /// Enters the next frame, which is being sent.
    #[inline]
    pub fn send(&mut self, frame: Sent, is_warmup: bool) {
        self.sent += 1;
        if is_warmup {
            self.warm = self.sent;
        }
        self.waiting.push_back(frame);
    }

    /// The number of the first frame that waits.
    #[inline]
    fn next(&self) -> u64 {
        self.sent - self.waiting.len() as u64
    }

    /// The frames that wait.
    fn frames(&self) -> impl Iterator<Item = InFlight> {
        let mut total = self.total;
        (self.next()..).zip(&self.waiting).map(
            move |(number, &Sent { planned, written, len, crc32c })| {
                total += u64::from(len);
                let is_warmup = number < self.warm;
                InFlight { number, planned, written, len, crc32c, total, is_warmup }
            },
        )
    }

    /// Takes out the first `count` frames that wait.
    fn drain(&mut self, count: usize) -> Vec<InFlight> {
        let drained: Vec<_> = self.frames().take(count).collect();
        self.waiting.drain(..drained.len());
        self.total = drained.last().map_or(self.total, |last| last.total);
        drained
    }

    /// Frames that take a place in the pipeline: those whose reply may come in time.
    pub fn places(&self) -> usize {
        self.waiting.len() + self.trouble.as_ref().map_or(0, |trouble| trouble.places())
    }

    /// How many bytes the next echo has, if one is awaited and nothing lost it. Bytes come in the
    /// order of their frames, also to those that are overdue.
    pub fn due(&self) -> Option<u32> {
        let trouble = self.trouble.as_ref();
        let overdue = trouble.and_then(|trouble| trouble.oldest_overdue());
        let waiting = self.waiting.front().map(|frame| frame.len);
        overdue.or(waiting).or_else(|| trouble.and_then(|trouble| trouble.oldest_overtaken()))
    }

    /// Whether frames were given up of which a reply may still come.
    pub fn is_beyond_memory(&self) -> bool {
        self.trouble.as_ref().is_some_and(|trouble| trouble.is_beyond_memory())
    }

    /// Whether every frame has been settled.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.trouble.as_ref().is_none_or(|trouble| trouble.is_settled())
    }

    /// When the frame was written that has waited longest and is not overdue.
    pub fn oldest(&self) -> Option<u64> {
        let overtaken = self.trouble.as_ref().and_then(|trouble| trouble.oldest());
        overtaken.or_else(|| self.waiting.front().map(|frame| frame.written))
    }

    /// The waiting frames from `first` on are out now, and were not before.
    pub fn written_now(&mut self, first: u64, now: u64) -> impl Iterator<Item = Times> {
        let from = first.max(self.next());
        let skipped = self.waiting.len() - usize::try_from(self.sent - from).unwrap_or(0);
        let warm = self.warm;
        (from..).zip(self.waiting.range_mut(skipped..)).map(move |(number, frame)| {
            frame.written = now;
            Times { planned: frame.planned, written: now, is_warmup: number < warm }
        })
    }

    /// Frames that were written up to `instant` no longer take a place in the pipeline. If their
    /// replies come after all they are late. Returns those that are to be given up, because there
    /// are too many, and why they are lost.
    pub fn expire(&mut self, instant: u64) -> Vec<(InFlight, Loss)> {
        let waiting = self.waiting.partition_point(|frame| frame.written <= instant);
        let mut trouble = self.take_trouble();
        let given_up = trouble.expire(instant, self.drain(waiting).into_iter());
        self.trouble = Some(trouble);
        let answered = self.answered;
        given_up.into_iter().map(|frame| (frame, unanswered(&frame, answered))).collect()
    }

    /// Takes out the frame whose turn it is if this is the right reply to it: all but always. It is
    /// for the caller to settle as ok, many at a time.
    #[inline]
    pub fn in_turn(&mut self, payload: &[u8], payloads: &Payloads) -> Option<Times> {
        let number = self.next();
        let &Sent { planned, written, len, crc32c } = self.waiting.front()?;
        let total = self.total + u64::from(len);
        let is_warmup = number < self.warm;
        let frame = InFlight { number, planned, written, len, crc32c, total, is_warmup };
        if !self.is_right(&frame, payload, payloads) {
            return None;
        }
        self.answered = number + 1;
        self.total = total;
        self.waiting.pop_front();
        Some(frame.times())
    }

    /// Gives up every frame that still waits: returns each with the reason for which it is lost.
    pub fn give_up(&mut self, loss: Loss) -> impl Iterator<Item = (InFlight, Loss)> + use<> {
        let answered = self.answered;
        let trouble = self.trouble.as_mut().map(|trouble| trouble.give_up(answered));
        let waiting = self.drain(self.waiting.len()).into_iter().map(move |frame| (frame, loss));
        trouble.into_iter().flatten().chain(waiting)
    }

    /// Settles a frame that has been given up.
    pub fn lose(&mut self, frame: &InFlight, column: Column, measured: &mut Interval) {
        let mut trouble = self.take_trouble();
        trouble.settle(frame, column, measured);
        self.trouble = Some(trouble);
    }

    fn take_trouble(&mut self) -> Box<Trouble> {
        let most = self.most_trouble as usize;
        self.trouble.take().unwrap_or_else(|| Box::new(Trouble::new(most)))
    }

    /// The reply that a frame must get; a receipt's time is the server's to say.
    pub fn expected(&self, frame: &InFlight, payloads: &Payloads) -> Vec<u8> {
        match self.kind {
            ReplyKind::Echo => {
                let mut echo = Vec::new();
                payloads.append(self.connection, frame.number, frame.len as usize, &mut echo);
                echo
            }
            ReplyKind::Ack => {
                let (seq, total) = self.count(frame);
                let crc32c = frame.crc32c;
                Receipt { crc32c, seq, total, received_at: 0 }.encode().to_vec()
            }
        }
    }

    #[inline]
    fn is_right(&self, frame: &InFlight, payload: &[u8], payloads: &Payloads) -> bool {
        match self.kind {
            ReplyKind::Echo => {
                payload.len() == frame.len as usize
                    && payloads.matches(self.connection, frame.number, payload)
            }
            ReplyKind::Ack => Receipt::parse(payload).is_ok_and(|receipt| {
                let (seq, total) = self.count(frame);
                receipt.seq == seq && receipt.crc32c == frame.crc32c && receipt.total == total
            }),
        }
    }

    /// The number and the total that the frame's receipt must have.
    #[inline]
    const fn count(&self, frame: &InFlight) -> (u64, u64) {
        if self.are_counted {
            (frame.number - self.first + 1, frame.total)
        } else {
            (0, frame.len as u64)
        }
    }

    /// Finds the frame to which a reply belongs that is not the one whose turn it is, and settles
    /// it.
    #[cold]
    pub fn sort_out(
        &mut self,
        payload: &[u8],
        payloads: &Payloads,
        measured: &mut Interval,
    ) -> Matched {
        let mut trouble = self.take_trouble();
        let matched = self.match_with(&mut trouble, payload, payloads, measured);
        self.trouble = Some(trouble);
        matched
    }

    fn match_with(
        &mut self,
        trouble: &mut Trouble,
        payload: &[u8],
        payloads: &Payloads,
        measured: &mut Interval,
    ) -> Matched {
        let is_right = |frame: &InFlight| self.is_right(frame, payload, payloads);
        if let Some(frame) = trouble.take_overtaken(is_right) {
            return self.settle(frame, Column::Reordered, trouble, measured);
        }
        let at = self.frames().position(|frame| is_right(&frame));
        if let Some(frame) = at.and_then(|at| self.overtake(at, trouble)) {
            return self.settle_right(frame, measured);
        }
        let is_right = |frame: &InFlight| self.is_right(frame, payload, payloads);
        if let Some(frame) = trouble.take_overdue(is_right) {
            return self.settle(frame, Column::Late, trouble, measured);
        }
        let wrong = match self.owner(payload, payloads) {
            Owner::Frame(number) => match self.take(number, trouble) {
                // It names a frame in flight and is not what that one must get.
                Some(frame) => Some(frame),
                None => {
                    let is_warmup = number < self.warm;
                    return Matched::Extra(trouble.settle_again(number, is_warmup, measured));
                }
            },
            Owner::Other(connection, number) => {
                return Matched::Extra(Stray::Misrouted(connection, number));
            }
            // It says nothing of itself, so it stands for the frame whose turn it is.
            Owner::Unknown => self.drain(1).pop(),
        };
        match wrong {
            Some(frame) => self.settle(frame, Column::Corrupt, trouble, measured),
            None => Matched::Extra(Stray::Unasked),
        }
    }

    fn settle(
        &mut self,
        frame: InFlight,
        column: Column,
        trouble: &mut Trouble,
        measured: &mut Interval,
    ) -> Matched {
        self.answered = self.answered.max(frame.number + 1);
        trouble.settle(&frame, column, measured);
        Matched::Answer(frame, column)
    }

    /// Takes out the frame of this number, wherever it waits.
    fn take(&mut self, number: u64, trouble: &mut Trouble) -> Option<InFlight> {
        let is_it = |frame: &InFlight| frame.number == number;
        trouble.take_overtaken(is_it).or_else(|| trouble.take_overdue(is_it)).or_else(|| {
            let at = self.frames().position(|frame| is_it(&frame))?;
            self.overtake(at, trouble)
        })
    }

    /// Takes out the waiting frame at `at`: its reply has overtaken those of the frames before it.
    fn overtake(&mut self, at: usize, trouble: &mut Trouble) -> Option<InFlight> {
        let mut frames = self.drain(at + 1);
        let frame = frames.pop();
        trouble.overtake(frames.into_iter());
        frame
    }

    /// The reply came in its place, if some before it didn't.
    fn settle_right(&mut self, frame: InFlight, measured: &mut Interval) -> Matched {
        self.answered = frame.number + 1;
        measured.of(frame.is_warmup).ledger.settle(Column::Ok);
        Matched::Answer(frame, Column::Ok)
    }

    /// Whose frame a reply belongs to that is not right for any in flight here, as far as it says.
    fn owner(&self, payload: &[u8], payloads: &Payloads) -> Owner {
        match self.kind {
            ReplyKind::Echo => match payloads.identify(payload) {
                // The client's connection before this one is another too.
                Some((connection, number))
                    if connection != self.connection || number < self.first =>
                {
                    Owner::Other(connection, number)
                }
                Some((_, number)) if self.was_sent(number) => Owner::Frame(number),
                Some(_) => Owner::Unknown,
                None => self.recent(payload, payloads).map_or(Owner::Unknown, Owner::Frame),
            },
            ReplyKind::Ack if !self.are_counted => {
                let receipt = Receipt::parse(payload).ok();
                let owner = receipt.and_then(|receipt| self.recent_of(&receipt, payloads));
                owner.map_or(Owner::Unknown, Owner::Frame)
            }
            ReplyKind::Ack => {
                let Ok(receipt) = Receipt::parse(payload) else { return Owner::Unknown };
                // An empty frame has the total of the one before, and that one perhaps its checksum.
                let is_front = self.frames().next().is_some_and(|frame| {
                    frame.crc32c == receipt.crc32c && frame.total == receipt.total && frame.len > 0
                });
                match receipt.seq.checked_sub(1).map(|seq| self.first.saturating_add(seq)) {
                    // All but the number is the front frame's, so the number is what is wrong.
                    Some(number) if !is_front && self.was_sent(number) => Owner::Frame(number),
                    _ => Owner::Unknown,
                }
            }
        }
    }

    /// Which of the last frames an echo belongs to that does not say whose it is.
    fn recent(&self, payload: &[u8], payloads: &Payloads) -> Option<u64> {
        // With nothing in flight there is no frame whose wrong echo it could be.
        let shortest = if self.waiting.is_empty() { 1 } else { TELLING };
        let behind = self.next();
        let mut recent = (self.first..behind).rev().take(RECENT);
        let is_its = |number: &u64| payloads.matches(self.connection, *number, payload);
        recent.find(is_its).filter(|_| payload.len() >= shortest)
    }

    /// Which of the last frames this is the receipt for, as far as its checksum tells.
    fn recent_of(&self, receipt: &Receipt, payloads: &Payloads) -> Option<u64> {
        let len = usize::try_from(receipt.total).ok().filter(|&len| len <= LONGEST_DATAGRAM)?;
        let mut payload = Vec::new();
        (self.first..self.next()).rev().take(RECENT).find(|&number| {
            payload.clear();
            payloads.append(self.connection, number, len, &mut payload);
            crc32c(&payload) == receipt.crc32c
        })
    }

    /// Whether the frame of this number was sent on this connection.
    fn was_sent(&self, number: u64) -> bool {
        (self.first..self.sent).contains(&number)
    }
}

/// Why a frame is lost that was waited for longer than the time-out. It does not matter whether a
/// reply to a later one came before the time-out or after.
pub(crate) fn unanswered(frame: &InFlight, answered: u64) -> Loss {
    if frame.number < answered { Loss::Skipped } else { Loss::TimedOut }
}

/// Whose frame a reply belongs to.
enum Owner {
    /// One of this connection's.
    Frame(u64),
    /// Another connection's.
    Other(u32, u64),
    /// It doesn't say.
    Unknown,
}

/// The checksum that a frame's receipt must have.
pub fn expected_crc32c(kind: ReplyKind, payload: &[u8]) -> u32 {
    match kind {
        ReplyKind::Echo => 0,
        ReplyKind::Ack => crc32c(payload),
    }
}

#[cfg(test)]
mod tests;
