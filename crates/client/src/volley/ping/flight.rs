//! Which reply belongs to which ping of a connection.
//!
//! On a good server the next reply is that of the oldest ping, and nothing has to be found out. Here
//! each reply is looked at for whose it is, so that one that is lost, doubled, late, out of order or
//! damaged is told as what it is, and does not put all that follow it in the wrong.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;
use volley_proto::{Receipt, ReceiptError, ReplyKind, crc32c};

use super::event::Loss;
use super::payload::Payloads;
use crate::render::counted;

/// How many pings are remembered that are overdue, and how many that were answered: a reply to an
/// older one belongs to no ping.
const REMEMBERED: usize = 1024;

/// The pings of one connection whose replies may come.
#[derive(Debug)]
pub(crate) struct Flight {
    kind: ReplyKind,
    /// Whether receipts have numbers, and the sum of all before: those for datagrams have not.
    has_numbers: bool,
    payloads: Payloads,
    /// In the order of sending. The first `overdue` of them are given up, and may still be answered.
    unanswered: VecDeque<Ping>,
    overdue: usize,
    answered: VecDeque<Ping>,
    launched: u64,
    /// The last that was answered in its turn.
    highest: u64,
}

/// A ping that was sent.
#[derive(Clone, Copy, Debug)]
struct Ping {
    seq: u64,
    /// Its number on its connection, from 1.
    number: u64,
    written_at: Instant,
    /// As what it is lost once it is given up.
    loss: Loss,
}

/// What a reply turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Landing {
    /// The right one; `reordered` if that of a later ping came before.
    Reply { seq: u64, rtt: Duration, reordered: bool },
    /// The right one, after the ping had been given up as lost.
    Late { seq: u64, rtt: Duration, was: Loss },
    /// The right one, not for the first time.
    Duplicate { seq: u64, rtt: Duration },
    /// Other bytes than must come.
    Corrupt { seq: u64, damage: Damage },
    /// Nobody's.
    Stray { len: usize },
}

/// What is wrong with a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Damage {
    #[error(
        "{} sent, {received} received, different from byte {at} on",
        counted(*sent as u64, "byte")
    )]
    Echo { sent: usize, received: usize, at: usize },
    #[error("no receipt: {0}")]
    Receipt(ReceiptError),
    #[error("a receipt for other bytes: crc32c {received:08x}, not {sent:08x}")]
    Crc32c { sent: u32, received: u32 },
    #[error("a receipt that counts {} in all, not {sent}", counted(*received, "byte"))]
    Total { sent: u64, received: u64 },
    /// The server answers otherwise than is expected of it.
    #[error("{} (try --reply {received})", other(*received))]
    Kind { received: ReplyKind },
}

/// What came is of this kind, and should be of the other one.
const fn other(received: ReplyKind) -> &'static str {
    match received {
        ReplyKind::Echo => "an echo, not a receipt",
        ReplyKind::Ack => "a receipt, not an echo",
    }
}

impl Flight {
    pub(crate) const fn new(kind: ReplyKind, payloads: Payloads) -> Self {
        Self {
            kind,
            has_numbers: true,
            payloads,
            unanswered: VecDeque::new(),
            overdue: 0,
            answered: VecDeque::new(),
            launched: 0,
            highest: 0,
        }
    }

    /// For pings that are datagrams.
    pub(crate) const fn of_datagrams(kind: ReplyKind, payloads: Payloads) -> Self {
        let mut flight = Self::new(kind, payloads);
        flight.has_numbers = false;
        flight
    }

    /// Ping `seq` is being written.
    pub(crate) fn launch(&mut self, seq: u64, now: Instant) {
        self.launched += 1;
        let (number, loss) = (self.launched, Loss::NoReply);
        self.unanswered.push_back(Ping { seq, number, written_at: now, loss });
    }

    /// A reply with this payload has come.
    pub(crate) fn land(&mut self, payload: &[u8], now: Instant) -> Landing {
        match self.kind {
            ReplyKind::Echo => self.land_echo(payload, now),
            ReplyKind::Ack => match Receipt::parse(payload) {
                Ok(receipt) if self.has_numbers => self.land_receipt(receipt, now),
                Ok(receipt) => self.land_lone_receipt(receipt, now),
                Err(error) => {
                    let payloads = self.payloads.clone();
                    self.land_damaged(payload.len(), |ping| {
                        if payloads.is(ping.seq, payload) {
                            Damage::Kind { received: ReplyKind::Echo }
                        } else {
                            Damage::Receipt(error)
                        }
                    })
                }
            },
        }
    }

    fn land_echo(&mut self, payload: &[u8], now: Instant) -> Landing {
        let is = |ping: &Ping| self.payloads.is(ping.seq, payload);
        if let Some(place) = self.unanswered.iter().position(is) {
            return self.land_right(place, now);
        }
        if let Some(ping) = self.answered.iter().rev().find(|ping| is(ping)) {
            return ping.again(now);
        }
        if Receipt::parse(payload).is_ok() {
            let damage = Damage::Kind { received: ReplyKind::Ack };
            return self.land_damaged(payload.len(), |_| damage);
        }
        let payloads = self.payloads.clone();
        self.land_damaged(payload.len(), |ping| Damage::Echo {
            sent: payloads.len(),
            received: payload.len(),
            at: payloads.first_difference(ping.seq, payload),
        })
    }

    fn land_receipt(&mut self, receipt: Receipt, now: Instant) -> Landing {
        let is = |ping: &Ping| ping.number == receipt.seq;
        let Some(place) = self.unanswered.iter().position(is) else {
            return match self.answered.iter().find(|ping| is(ping)) {
                Some(ping) => ping.again(now),
                None => Landing::Stray { len: Receipt::LEN },
            };
        };
        let ping = self.unanswered[place];
        let total = ping.number * self.payloads.len() as u64;
        let crc = crc32c(&self.payloads.make(ping.seq));
        let damage = if receipt.crc32c != crc {
            Damage::Crc32c { sent: crc, received: receipt.crc32c }
        } else if receipt.total != total {
            Damage::Total { sent: total, received: receipt.total }
        } else {
            return self.land_right(place, now);
        };
        let is_late = place < self.overdue;
        self.answer(place);
        if is_late {
            // Given up already, and so told.
            return Landing::Stray { len: Receipt::LEN };
        }
        Landing::Corrupt { seq: ping.seq, damage }
    }

    /// A receipt that tells by the checksum alone whose it is.
    fn land_lone_receipt(&mut self, receipt: Receipt, now: Instant) -> Landing {
        let len = self.payloads.len() as u64;
        let is = |ping: &Ping| receipt.crc32c == crc32c(&self.payloads.make(ping.seq));
        if receipt.total == len
            && let Some(place) = self.unanswered.iter().position(is)
        {
            return self.land_right(place, now);
        }
        if let Some(ping) = self.answered.iter().rev().find(|ping| is(ping)) {
            return ping.again(now);
        }
        let payloads = self.payloads.clone();
        self.land_damaged(Receipt::LEN, |ping| {
            if receipt.total == len {
                let sent = crc32c(&payloads.make(ping.seq));
                Damage::Crc32c { sent, received: receipt.crc32c }
            } else {
                Damage::Total { sent: len, received: receipt.total }
            }
        })
    }

    /// The right reply to the ping at this place.
    fn land_right(&mut self, place: usize, now: Instant) -> Landing {
        let is_late = place < self.overdue;
        let Ping { seq, number, written_at, loss } = self.answer(place);
        let rtt = now - written_at;
        if is_late {
            return Landing::Late { seq, rtt, was: loss };
        }
        let reordered = number < self.highest;
        self.highest = self.highest.max(number);
        Landing::Reply { seq, rtt, reordered }
    }

    /// A reply that is nobody's. It is taken for the one that is next, as replies come in order.
    fn land_damaged(&mut self, len: usize, damage: impl FnOnce(&Ping) -> Damage) -> Landing {
        if self.awaited() == 0 {
            return Landing::Stray { len };
        }
        let ping = self.answer(self.overdue);
        Landing::Corrupt { seq: ping.seq, damage: damage(&ping) }
    }

    /// Takes the ping at this place for answered.
    fn answer(&mut self, place: usize) -> Ping {
        let ping = self.unanswered[place];
        self.unanswered.remove(place);
        self.overdue -= usize::from(place < self.overdue);
        self.answered.push_back(ping);
        if self.answered.len() > REMEMBERED {
            self.answered.pop_front();
        }
        ping
    }

    /// Gives up the pings that have waited for `longest` as lost in this way, and returns their numbers.
    pub(crate) fn expire(&mut self, now: Instant, longest: Duration, loss: Loss) -> Vec<u64> {
        let mut expired = Vec::new();
        while let Some(ping) = self.unanswered.get_mut(self.overdue)
            && now - ping.written_at >= longest
        {
            ping.loss = loss;
            expired.push(ping.seq);
            self.overdue += 1;
            if self.overdue > REMEMBERED {
                self.unanswered.pop_front();
                self.overdue -= 1;
            }
        }
        expired
    }

    /// Since when the oldest ping that is not given up has waited.
    pub(crate) fn waiting_since(&self) -> Option<Instant> {
        self.unanswered.get(self.overdue).map(|ping| ping.written_at)
    }

    /// How many pings may still be answered in time.
    pub(crate) fn awaited(&self) -> usize {
        self.unanswered.len() - self.overdue
    }

    /// The numbers of these pings.
    pub(crate) fn awaited_pings(&self) -> impl Iterator<Item = u64> {
        self.unanswered.iter().skip(self.overdue).map(|ping| ping.seq)
    }

    /// Whether any ping was answered, whatever with.
    pub(crate) fn has_answers(&self) -> bool {
        !self.answered.is_empty()
    }
}

impl Ping {
    fn again(&self, now: Instant) -> Landing {
        Landing::Duplicate { seq: self.seq, rtt: now - self.written_at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEN: usize = 20;
    const LONGEST: Duration = Duration::from_secs(1);

    /// A flight with pings 1 to 3, all sent at the same instant.
    struct Test {
        flight: Flight,
        payloads: Payloads,
        start: Instant,
    }

    impl Test {
        fn new(kind: ReplyKind) -> Self {
            let (payloads, start) = (Payloads::new(LEN), Instant::now());
            let mut flight = Flight::new(kind, payloads.clone());
            (1..=3).for_each(|seq| flight.launch(seq, start));
            Self { flight, payloads, start }
        }

        /// The echo of ping `seq` comes after so many milliseconds.
        fn echo(&mut self, seq: u64, millis: u64) -> Landing {
            let payload = self.payloads.make(seq);
            self.land(&payload, millis)
        }

        fn land(&mut self, payload: &[u8], millis: u64) -> Landing {
            self.flight.land(payload, self.start + Duration::from_millis(millis))
        }

        fn receipt(&self, seq: u64) -> Receipt {
            let crc32c = crc32c(&self.payloads.make(seq));
            Receipt { crc32c, seq, total: seq * LEN as u64, received_at: 1 }
        }
    }

    fn reply(seq: u64, millis: u64) -> Landing {
        Landing::Reply { seq, rtt: Duration::from_millis(millis), reordered: false }
    }

    #[test]
    fn replies_in_order_are_right() {
        let mut test = Test::new(ReplyKind::Echo);
        for seq in 1..=3 {
            assert_eq!(test.echo(seq, seq), reply(seq, seq));
        }
        assert_eq!(test.flight.awaited(), 0);
    }

    #[test]
    fn receipts_in_order_are_right() {
        let mut test = Test::new(ReplyKind::Ack);
        for seq in 1..=3 {
            let receipt = test.receipt(seq).encode();
            assert_eq!(test.land(&receipt, seq), reply(seq, seq));
        }
    }

    #[test]
    fn receipts_of_datagrams_belong_to_whose_checksum_they_have() {
        let mut test = Test::new(ReplyKind::Ack);
        test.flight.has_numbers = false;
        let lone = |test: &mut Test, seq| {
            let receipt =
                Receipt { seq: 0, total: test.payloads.len() as u64, ..test.receipt(seq) };
            receipt.encode()
        };
        let (second, first) = (lone(&mut test, 2), lone(&mut test, 1));
        assert_eq!(test.land(&second, 5), reply(2, 5));
        let rtt = Duration::from_millis(6);
        assert_eq!(test.land(&first, 6), Landing::Reply { seq: 1, rtt, reordered: true });
        assert_eq!(
            test.land(&second, 7),
            Landing::Duplicate { seq: 2, rtt: Duration::from_millis(7) }
        );
        let third = Receipt::parse(&lone(&mut test, 3)).unwrap();
        let wrong = Receipt { total: 1, ..third };
        let damage = Damage::Total { sent: third.total, received: 1 };
        assert_eq!(test.land(&wrong.encode(), 8), Landing::Corrupt { seq: 3, damage });
    }

    #[test]
    fn a_reply_that_is_lost_puts_no_other_in_the_wrong() {
        let mut test = Test::new(ReplyKind::Echo);
        assert_eq!(test.echo(2, 5), reply(2, 5));
        assert_eq!(test.echo(3, 6), reply(3, 6));
        assert_eq!(test.flight.expire(test.start + LONGEST, LONGEST, Loss::NoReply), [1]);
    }

    #[test]
    fn a_reply_behind_that_of_a_later_ping_is_reordered() {
        let mut test = Test::new(ReplyKind::Echo);
        test.echo(2, 5);
        let rtt = Duration::from_millis(6);
        assert_eq!(test.echo(1, 6), Landing::Reply { seq: 1, rtt, reordered: true });
        assert_eq!(test.echo(3, 7), reply(3, 7));
    }

    #[test]
    fn a_second_reply_is_a_duplicate() {
        let mut test = Test::new(ReplyKind::Echo);
        test.echo(1, 5);
        let rtt = Duration::from_millis(6);
        assert_eq!(test.echo(1, 6), Landing::Duplicate { seq: 1, rtt });
        assert_eq!(test.flight.awaited(), 2);

        let mut test = Test::new(ReplyKind::Ack);
        let receipt = test.receipt(1).encode();
        test.land(&receipt, 5);
        assert_eq!(test.land(&receipt, 6), Landing::Duplicate { seq: 1, rtt });
    }

    #[test]
    fn a_reply_to_a_ping_that_was_given_up_is_late() {
        let mut test = Test::new(ReplyKind::Echo);
        assert_eq!(test.flight.expire(test.start + LONGEST, LONGEST, Loss::NoReply), [1, 2, 3]);
        assert_eq!(test.flight.waiting_since(), None);
        let now = test.start + LONGEST;
        test.flight.launch(4, now);
        assert_eq!(test.flight.waiting_since(), Some(now));
        let rtt = Duration::from_millis(1500);
        assert_eq!(test.echo(2, 1500), Landing::Late { seq: 2, rtt, was: Loss::NoReply });
        assert_eq!(test.echo(4, 1500), reply(4, 500));
        assert_eq!(test.echo(2, 1500), Landing::Duplicate { seq: 2, rtt });
    }

    #[test]
    fn a_damaged_reply_is_that_of_the_oldest_ping() {
        let mut test = Test::new(ReplyKind::Echo);
        let mut payload = test.payloads.make(1);
        payload[18] ^= 1;
        let damage = Damage::Echo { sent: LEN, received: LEN, at: 18 };
        assert_eq!(test.land(&payload, 5), Landing::Corrupt { seq: 1, damage });
        let damage = Damage::Echo { sent: LEN, received: 3, at: 0 };
        assert_eq!(test.land(b"???", 5), Landing::Corrupt { seq: 2, damage });
        assert_eq!(test.echo(3, 6), reply(3, 6));
    }

    #[test]
    fn each_field_of_a_receipt_is_checked() {
        let mut test = Test::new(ReplyKind::Ack);
        let right = test.receipt(1);
        let damage = Damage::Crc32c { sent: right.crc32c, received: 7 };
        let wrong = Receipt { crc32c: 7, ..right }.encode();
        assert_eq!(test.land(&wrong, 5), Landing::Corrupt { seq: 1, damage });

        let right = test.receipt(2);
        let damage = Damage::Total { sent: 2 * LEN as u64, received: 1 };
        let wrong = Receipt { total: 1, ..right }.encode();
        assert_eq!(test.land(&wrong, 5), Landing::Corrupt { seq: 2, damage });

        let wrong = Receipt { seq: 9, ..test.receipt(3) }.encode();
        assert_eq!(test.land(&wrong, 5), Landing::Stray { len: Receipt::LEN });

        let damage = Damage::Receipt(ReceiptError::Length { len: 3 });
        assert_eq!(test.land(b"???", 5), Landing::Corrupt { seq: 3, damage });
    }

    #[test]
    fn a_reply_of_the_other_kind_is_told_as_one() {
        let mut test = Test::new(ReplyKind::Ack);
        let damage = Damage::Kind { received: ReplyKind::Echo };
        assert_eq!(test.echo(1, 5), Landing::Corrupt { seq: 1, damage });
        let mut test = Test::new(ReplyKind::Echo);
        let receipt = test.receipt(1).encode();
        let damage = Damage::Kind { received: ReplyKind::Ack };
        assert_eq!(test.land(&receipt, 5), Landing::Corrupt { seq: 1, damage });
    }

    #[test]
    fn a_reply_to_nothing_is_nobodys() {
        let mut test = Test::new(ReplyKind::Echo);
        assert_eq!(test.flight.expire(test.start + LONGEST, LONGEST, Loss::NoReply), [1, 2, 3]);
        assert_eq!(test.land(b"???", 5), Landing::Stray { len: 3 });
    }

    /// Payloads without a byte say nothing; then the order is all there is.
    #[test]
    fn empty_replies_belong_to_pings_in_their_order() {
        let (payloads, start) = (Payloads::new(0), Instant::now());
        let mut flight = Flight::new(ReplyKind::Echo, payloads);
        flight.launch(1, start);
        assert_eq!(flight.expire(start + LONGEST, LONGEST, Loss::NoReply), [1]);
        flight.launch(2, start + LONGEST);
        let late = Landing::Late { seq: 1, rtt: LONGEST, was: Loss::NoReply };
        assert_eq!(flight.land(b"", start + LONGEST), late);
        assert_eq!(flight.land(b"", start + LONGEST), reply(2, 0));
    }

    #[test]
    fn a_server_that_never_answers_costs_no_memory() {
        let (payloads, start) = (Payloads::new(8), Instant::now());
        let mut flight = Flight::new(ReplyKind::Echo, payloads);
        for seq in 1..=10_000 {
            flight.launch(seq, start);
            assert_eq!(flight.expire(start + LONGEST, LONGEST, Loss::NoReply), [seq]);
        }
        assert_eq!(flight.unanswered.len(), REMEMBERED);
    }
}
