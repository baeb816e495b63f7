//! One connection's frames in flight: which reply belongs to which frame, and what that says.
//!
//! Replies must come in the order of their frames, so the usual case is the comparison of a reply
//! with the oldest frame. Everything else is sorted out here, without any I/O and without a clock.

use std::collections::VecDeque;

use volley_proto::{Receipt, ReplyKind, crc32c};

use crate::ledger::{Books, Column, Loss};
use crate::payload::Payloads;

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
    /// In the order in which they were sent.
    waiting: VecDeque<InFlight>,
    /// Overtaken by the replies to later frames.
    overtaken: Vec<InFlight>,
    /// Waited for longer than the time-out; a reply may still come.
    overdue: VecDeque<InFlight>,
    /// The last frames that were settled as something else than ok, for when a second reply comes.
    odd: VecDeque<Odd>,
    /// The number of the first frame behind the warm-up's.
    warm: u64,
    /// Number of the frame that the connection's first one has: a reconnected connection goes on
    /// counting, its receipts begin again.
    first: u64,
    /// Number that the next frame will have.
    sent: u64,
}

/// A frame that was settled as something else than ok.
#[derive(Debug)]
struct Odd {
    number: u64,
    is_warmup: bool,
    column: Column,
}

/// How many odd frames a connection remembers.
const REMEMBERED: usize = 4096;

impl Flight {
    /// No frames yet; the next will have `first` as its number.
    pub const fn new(connection: u32, kind: ReplyKind, first: u64) -> Self {
        Self {
            connection,
            kind,
            waiting: VecDeque::new(),
            overtaken: Vec::new(),
            overdue: VecDeque::new(),
            odd: VecDeque::new(),
            warm: first,
            first,
            sent: first,
        }
    }

    /// Enters a frame that is being sent.
    pub fn send(&mut self, frame: InFlight) {
        self.sent = frame.number + 1;
        if frame.is_warmup {
            self.warm = self.sent;
        }
        self.waiting.push_back(frame);
    }

    /// Frames that take a place in the pipeline: those whose reply may come in time.
    pub fn places(&self) -> usize {
        self.waiting.len() + self.overtaken.len()
    }

    /// Whether every frame has been settled.
    pub fn is_empty(&self) -> bool {
        self.places() == 0 && self.overdue.is_empty()
    }

    /// When the frame was written that has waited longest and is not overdue.
    pub fn oldest(&self) -> Option<u64> {
        let overtaken = self.overtaken.iter().map(|frame| frame.written).min();
        overtaken.or_else(|| self.waiting.front().map(|frame| frame.written))
    }

    /// The waiting frames from `first` on are out now, and were not before.
    pub fn written_now(&mut self, first: u64, now: u64) -> impl Iterator<Item = &InFlight> {
        let from = self.waiting.partition_point(|frame| frame.number < first);
        self.waiting.range_mut(from..).map(move |frame| {
            frame.written = now;
            &*frame
        })
    }

    /// Frames that were written up to `instant` no longer take a place in the pipeline. If their
    /// replies come after all they are late.
    pub fn expire(&mut self, instant: u64) {
        let is_over = |frame: &InFlight| frame.written <= instant;
        self.overdue.extend(self.overtaken.extract_if(.., |frame| is_over(frame)));
        let waiting = self.waiting.partition_point(is_over);
        self.overdue.extend(self.waiting.drain(..waiting));
    }

    /// Finds the frame to which a reply belongs, and settles it.
    #[inline]
    pub fn reply(&mut self, payload: &[u8], payloads: &Payloads, books: &mut Books) -> Matched {
        if let Some(&frame) = self.waiting.front()
            && self.is_right(&frame, payload, payloads)
        {
            self.waiting.pop_front();
            books.of(frame.is_warmup).settle(Column::Ok);
            return Matched::Answer(frame, Column::Ok);
        }
        self.sort_out(payload, payloads, books)
    }

    /// Settles every frame that still waits as lost. `claimed` says which of them came out on
    /// another connection.
    pub fn give_up(
        &mut self,
        loss: Loss,
        books: &mut Books,
        mut claimed: impl FnMut(u32, u64) -> bool,
        mut each: impl FnMut(&InFlight),
    ) {
        let overdue = self.overdue.drain(..).map(|frame| (frame, Loss::TimedOut));
        let overtaken = self.overtaken.drain(..).map(|frame| (frame, Loss::Skipped));
        let waiting = self.waiting.drain(..).map(|frame| (frame, loss));
        for (frame, loss) in overdue.chain(overtaken).chain(waiting) {
            let misrouted = claimed(self.connection, frame.number);
            let column = if misrouted { Column::Misrouted } else { Column::Lost(loss) };
            books.of(frame.is_warmup).settle(column);
            each(&frame);
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
                receipt.seq == frame.number - self.first + 1
                    && receipt.crc32c == frame.crc32c
                    && receipt.total == frame.total
            }),
        }
    }

    #[cold]
    fn sort_out(&mut self, payload: &[u8], payloads: &Payloads, books: &mut Books) -> Matched {
        if let Some(at) = self.overtaken.iter().position(|f| self.is_right(f, payload, payloads)) {
            let frame = self.overtaken.remove(at);
            return self.settle(frame, Column::Reordered, books);
        }
        if let Some(at) = self.waiting.iter().position(|f| self.is_right(f, payload, payloads)) {
            self.overtaken.extend(self.waiting.drain(..at));
            // `position` found it, so it is at the front now.
            if let Some(frame) = self.waiting.pop_front() {
                books.of(frame.is_warmup).settle(Column::Ok);
                return Matched::Answer(frame, Column::Ok);
            }
        }
        if let Some(at) = self.overdue.iter().position(|f| self.is_right(f, payload, payloads))
            && let Some(frame) = self.overdue.remove(at)
        {
            return self.settle(frame, Column::Late, books);
        }
        match self.owner(payload, payloads) {
            Some((connection, number)) if connection == self.connection => {
                self.settle_again(number, books);
                return Matched::Extra(Stray::Duplicate);
            }
            Some((connection, number)) => {
                return Matched::Extra(Stray::Misrouted(connection, number));
            }
            None => {}
        }
        // It says nothing of itself, so it stands for the frame whose turn it is.
        match self.waiting.pop_front() {
            Some(frame) => self.settle(frame, Column::Corrupt, books),
            None => Matched::Extra(Stray::Unasked),
        }
    }

    fn settle(&mut self, frame: InFlight, column: Column, books: &mut Books) -> Matched {
        books.of(frame.is_warmup).settle(column);
        self.remember(frame.number, frame.is_warmup, column);
        Matched::Answer(frame, column)
    }

    /// A second reply has come to a frame that was settled before. The first time that moves it to
    /// the duplicates.
    fn settle_again(&mut self, number: u64, books: &mut Books) {
        match self.odd.iter_mut().find(|odd| odd.number == number) {
            Some(odd) if odd.column == Column::Duplicate => {}
            Some(odd) => {
                books.of(odd.is_warmup).resettle(odd.column, Column::Duplicate);
                odd.column = Column::Duplicate;
            }
            None => {
                let is_warmup = number < self.warm;
                books.of(is_warmup).resettle(Column::Ok, Column::Duplicate);
                self.remember(number, is_warmup, Column::Duplicate);
            }
        }
    }

    fn remember(&mut self, number: u64, is_warmup: bool, column: Column) {
        if self.odd.len() == REMEMBERED {
            self.odd.pop_front();
        }
        self.odd.push_back(Odd { number, is_warmup, column });
    }

    /// Whose frame a whole reply belongs to, as far as it says so, if it is none in flight here.
    fn owner(&self, payload: &[u8], payloads: &Payloads) -> Option<(u32, u64)> {
        match self.kind {
            ReplyKind::Echo => payloads.identify(payload),
            ReplyKind::Ack => {
                // A receipt says only its number: of a frame before all that wait, it is a second.
                let number = self.first + Receipt::parse(payload).ok()?.seq.checked_sub(1)?;
                let next = self.waiting.front().map_or(self.sent, |frame| frame.number);
                (number < next).then_some((self.connection, number))
            }
        }
    }
}

/// The checksum that a frame's receipt must have.
pub fn expected_crc32c(kind: ReplyKind, payload: &[u8]) -> u32 {
    match kind {
        ReplyKind::Echo => 0,
        ReplyKind::Ack => crc32c(payload),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Ledger;

    const LEN: u32 = 64;

    /// A connection with `frames` frames in flight, and what was sent.
    fn flight(kind: ReplyKind, frames: u64) -> (Flight, Payloads, Books, Vec<Vec<u8>>) {
        let payloads = Payloads::new(1, 2, LEN as usize);
        let mut flight = Flight::new(3, kind, 0);
        let (mut ledger, mut sent) = (Books::default(), Vec::new());
        for number in 0..frames {
            let mut payload = Vec::new();
            payloads.append(3, number, LEN as usize, &mut payload);
            let crc32c = expected_crc32c(kind, &payload);
            let total = (number + 1) * u64::from(LEN);
            flight.send(InFlight {
                number,
                planned: 0,
                written: 0,
                len: LEN,
                crc32c,
                total,
                is_warmup: false,
            });
            ledger.run.send(1);
            sent.push(match kind {
                ReplyKind::Echo => payload,
                ReplyKind::Ack => {
                    Receipt { crc32c, seq: number + 1, total, received_at: 1 }.encode().to_vec()
                }
            });
        }
        (flight, payloads, ledger, sent)
    }

    /// Replies in the order of `order`, then nothing more; returns the ledger.
    fn settle(kind: ReplyKind, frames: u64, order: &[usize]) -> Ledger {
        let (mut flight, payloads, mut ledger, replies) = flight(kind, frames);
        for &at in order {
            flight.reply(&replies[at], &payloads, &mut ledger);
        }
        flight.give_up(Loss::Closed, &mut ledger, |_, _| false, |_| {});
        assert_eq!(ledger.run.imbalance(), 0, "{order:?}");
        ledger.run
    }

    fn counts(ledger: &Ledger) -> [u64; 6] {
        [
            ledger.count(Column::Ok),
            ledger.count(Column::Duplicate),
            ledger.count(Column::Reordered),
            ledger.count(Column::Corrupt),
            ledger.count(Column::Lost(Loss::Skipped)),
            ledger.count(Column::Lost(Loss::Closed)),
        ]
    }

    #[test]
    fn each_order_of_replies_lands_in_its_columns() {
        let cases: [(&[usize], [u64; 6]); 8] = [
            (&[0, 1, 2, 3], [4, 0, 0, 0, 0, 0]),
            (&[0, 1], [2, 0, 0, 0, 0, 2]),
            (&[0, 2, 3], [3, 0, 0, 0, 1, 0]),
            (&[1, 0, 3, 2], [2, 0, 2, 0, 0, 0]),
            (&[0, 0, 1, 2, 3], [3, 1, 0, 0, 0, 0]),
            (&[0, 0, 0, 1, 2, 3], [3, 1, 0, 0, 0, 0]),
            (&[1, 0, 0, 2, 3], [3, 1, 0, 0, 0, 0]),
            (&[3, 2, 1, 0], [1, 0, 3, 0, 0, 0]),
        ];
        for kind in [ReplyKind::Echo, ReplyKind::Ack] {
            for (order, expected) in cases {
                assert_eq!(counts(&settle(kind, 4, order)), expected, "{kind} {order:?}");
            }
        }
    }

    #[test]
    fn a_wrong_reply_stands_for_the_frame_whose_turn_it_is() {
        for kind in [ReplyKind::Echo, ReplyKind::Ack] {
            let (mut flight, payloads, mut ledger, mut replies) = flight(kind, 3);
            replies[1][5] ^= 1;
            for reply in &replies {
                flight.reply(reply, &payloads, &mut ledger);
            }
            assert_eq!(counts(&ledger.run), [2, 0, 0, 1, 0, 0], "{kind}");
            assert!(flight.is_empty() && ledger.run.imbalance() == 0);
            let stray = flight.reply(b"no reply to anything", &payloads, &mut ledger);
            assert!(matches!(stray, Matched::Extra(Stray::Unasked)));
        }
    }

    #[test]
    fn a_reply_of_another_connection_is_told_and_its_frame_misrouted() {
        let (mut flight, payloads, mut ledger, _) = flight(ReplyKind::Echo, 2);
        let mut foreign = Vec::new();
        payloads.append(9, 77, LEN as usize, &mut foreign);
        let stray = flight.reply(&foreign, &payloads, &mut ledger);
        assert!(matches!(stray, Matched::Extra(Stray::Misrouted(9, 77))));
        flight.give_up(Loss::TimedOut, &mut ledger, |_, number| number == 1, |_| {});
        assert_eq!(ledger.run.count(Column::Misrouted), 1);
        assert_eq!(ledger.run.count(Column::Lost(Loss::TimedOut)), 1);
        assert_eq!(ledger.run.imbalance(), 0);
    }

    #[test]
    fn a_reply_after_the_time_out_is_late_and_the_rest_timed_out() {
        for kind in [ReplyKind::Echo, ReplyKind::Ack] {
            let (mut flight, payloads, mut ledger, replies) = flight(kind, 4);
            flight.expire(0);
            assert_eq!((flight.places(), flight.is_empty()), (0, false));
            flight.reply(&replies[1], &payloads, &mut ledger);
            flight.reply(&replies[0], &payloads, &mut ledger);
            assert_eq!(ledger.run.count(Column::Late), 2, "{kind}");
            flight.give_up(Loss::Closed, &mut ledger, |_, _| false, |_| {});
            assert_eq!(ledger.run.count(Column::Lost(Loss::TimedOut)), 2, "{kind}");
            assert_eq!(ledger.run.imbalance(), 0);
        }
    }

    #[test]
    fn receipts_begin_again_on_a_new_connection() {
        let payloads = Payloads::new(1, 2, 64);
        let mut flight = Flight::new(3, ReplyKind::Ack, 500);
        let mut ledger = Books::default();
        flight.send(InFlight {
            number: 500,
            planned: 0,
            written: 0,
            len: 0,
            crc32c: 0,
            total: 0,
            is_warmup: false,
        });
        let receipt = Receipt { crc32c: 0, seq: 1, total: 0, received_at: 1 }.encode();
        let answer = flight.reply(&receipt, &payloads, &mut ledger);
        assert!(matches!(answer, Matched::Answer(frame, Column::Ok) if frame.number == 500));
    }
}
