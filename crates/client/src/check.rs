//! Whether a reply is the one that its frame must get.

use std::time::Duration;

use bytes::Bytes;
use volley_proto::{Receipt, ReceiptError, ReplyKind, crc32c};

use crate::error::bytes;

/// A reply that passed its checks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reply {
    /// The frame's number on its connection, from 1.
    pub seq: u64,
    /// Length in bytes of the payload that was sent.
    pub sent_len: usize,
    /// The reply's payload: the frame's own, or a receipt's 32 bytes.
    pub payload: Bytes,
    /// The receipt, from a server that answers with receipts.
    pub receipt: Option<Receipt>,
    /// From the moment at which the frame was handed to [`Sender`](crate::Sender) to the reply.
    pub rtt: Duration,
}

/// A reply as it came, with the frame that it answers: the oldest that had none.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Arrival {
    /// The frame's number on its connection, from 1.
    pub seq: u64,
    /// The payload that was sent.
    pub sent: Bytes,
    /// The payload that came.
    pub payload: Bytes,
    /// From the moment at which the frame was handed to [`Sender`](crate::Sender) to the reply.
    pub rtt: Duration,
    kind: ReplyKind,
    /// Payload bytes sent on the connection so far, this frame's included.
    total: u64,
}

impl Arrival {
    /// A reply that came in bytes which are not kept, beside the frame that it answers: for those
    /// who have a frame path of their own. An echo needs no copy: it is its frame.
    pub fn new(sent: Sent, received: &[u8], kind: ReplyKind, rtt: Duration) -> Self {
        let Sent { seq, total, payload: sent } = sent;
        let payload =
            if *received == sent { sent.clone() } else { Bytes::copy_from_slice(received) };
        Self { seq, sent, payload, rtt, kind, total }
    }

    /// Whether it is the reply that the frame must get: the frame itself, or its receipt.
    ///
    /// # Errors
    ///
    /// [`Mismatch`] if it is not.
    pub fn check(&self) -> Result<Reply, Mismatch> {
        let receipt = match self.kind {
            ReplyKind::Echo => self.check_echo().map(|()| None),
            ReplyKind::Ack => self.check_receipt().map(Some),
        }?;
        let (sent_len, payload) = (self.sent.len(), self.payload.clone());
        Ok(Reply { seq: self.seq, sent_len, payload, receipt, rtt: self.rtt })
    }

    /// The payload that must have come. Of a receipt only the server knows when it received the
    /// frame; that is taken from the one that came.
    pub fn due(&self) -> Bytes {
        if self.kind == ReplyKind::Echo {
            return self.sent.clone();
        }
        let (seq, total, crc32c) = (self.seq, self.total, crc32c(&self.sent));
        let received_at = Receipt::parse(&self.payload).map_or(0, |receipt| receipt.received_at);
        Bytes::copy_from_slice(&Receipt { crc32c, seq, total, received_at }.encode())
    }

    fn check_echo(&self) -> Result<(), Mismatch> {
        // Bytes that are the same need no second look: `new` has seen that they are equal.
        let is_same =
            (self.payload.as_ptr(), self.payload.len()) == (self.sent.as_ptr(), self.sent.len());
        if is_same || self.payload == self.sent {
            return Ok(());
        }
        let (sent, received) = (self.sent.clone(), self.payload.clone());
        Err(Mismatch::Echo { seq: self.seq, sent, received })
    }

    fn check_receipt(&self) -> Result<Receipt, Mismatch> {
        let seq = self.seq;
        let receipt =
            Receipt::parse(&self.payload).map_err(|source| Mismatch::Receipt { seq, source })?;
        let sent = crc32c(&self.sent);
        if receipt.seq != seq {
            return Err(Mismatch::Seq { seq, received: receipt.seq });
        }
        if receipt.crc32c != sent {
            return Err(Mismatch::Crc32c { seq, sent, received: receipt.crc32c });
        }
        if receipt.total != self.total {
            return Err(Mismatch::Total { seq, sent: self.total, received: receipt.total });
        }
        Ok(receipt)
    }
}

/// A reply that is not the one its frame must get.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// An echo that is not its frame.
    #[error(
        "{} is not its frame: {} sent, {} received, different from byte {} on",
        numbered("reply", *seq), bytes(sent.len() as u64), received.len(),
        first_difference(sent, received)
    )]
    Echo {
        /// The frame's number on its connection.
        seq: u64,
        /// The payload that was sent.
        sent: Bytes,
        /// The payload that came back.
        received: Bytes,
    },
    /// A reply that is no receipt, from a server that should send them.
    #[error("{} is no receipt: {source}", numbered("reply", *seq))]
    Receipt {
        /// The frame's number on its connection.
        seq: u64,
        /// What is wrong with it.
        source: ReceiptError,
    },
    /// A receipt for other bytes.
    #[error(
        "{} is for other bytes: crc32c {received:08x}, not {sent:08x}", numbered("receipt", *seq)
    )]
    Crc32c {
        /// The frame's number on its connection.
        seq: u64,
        /// The checksum of what was sent.
        sent: u32,
        /// The checksum in the receipt.
        received: u32,
    },
    /// A receipt out of turn.
    #[error("{}", out_of_turn(*seq, *received))]
    Seq {
        /// The frame's number on its connection.
        seq: u64,
        /// The number in the receipt.
        received: u64,
    },
    /// A receipt after bytes were lost or added.
    #[error("{} counts {} in all, not {sent}", numbered("receipt", *seq), bytes(*received))]
    Total {
        /// The frame's number on its connection.
        seq: u64,
        /// Payload bytes sent so far.
        sent: u64,
        /// Payload bytes received so far, says the receipt.
        received: u64,
    },
}

/// What must be known of a frame to check its reply.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The frame's number on its connection, from 1.
    pub seq: u64,
    /// Payload bytes sent on the connection so far, this frame's included.
    pub total: u64,
    /// The payload.
    pub payload: Bytes,
}

impl Sent {
    /// Whether this is the reply that the frame must get, as [`Arrival::check`] says. Nothing is
    /// copied: for those who look for the frame that a reply belongs to.
    pub fn is_answered_by(&self, received: &[u8], kind: ReplyKind) -> bool {
        match kind {
            ReplyKind::Echo => self.payload == received,
            ReplyKind::Ack => Receipt::parse(received).is_ok_and(|receipt| {
                // The checksum comes last: it has to be computed.
                (receipt.seq, receipt.total) == (self.seq, self.total)
                    && receipt.crc32c == crc32c(&self.payload)
            }),
        }
    }
}

/// A reply or receipt by its number. Those to datagrams have none.
fn numbered(noun: &str, seq: u64) -> String {
    if seq == 0 { format!("the {noun}") } else { format!("{noun} {seq}") }
}

fn out_of_turn(seq: u64, received: u64) -> String {
    if seq == 0 {
        format!("the receipt has the number {received}, and those for datagrams have 0")
    } else {
        format!("receipt {received} came in place of receipt {seq}")
    }
}

/// Where two payloads that are not equal begin to differ, in bytes from 0.
fn first_difference(sent: &[u8], received: &[u8]) -> usize {
    sent.iter().zip(received).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt() -> Receipt {
        Receipt { crc32c: 0x9a71_bb4c, seq: 2, total: 12, received_at: 1 }
    }

    fn arrival(kind: ReplyKind, payload: &[u8]) -> Arrival {
        let sent = Sent { seq: 2, total: 12, payload: Bytes::from_static(b"hello") };
        Arrival::new(sent, payload, kind, Duration::ZERO)
    }

    fn check(kind: ReplyKind, payload: &[u8]) -> Result<Option<Receipt>, Mismatch> {
        arrival(kind, payload).check().map(|reply| reply.receipt)
    }

    #[test]
    fn takes_the_reply_that_the_frame_must_get() {
        assert_eq!(check(ReplyKind::Echo, b"hello"), Ok(None));
        assert_eq!(check(ReplyKind::Ack, &receipt().encode()), Ok(Some(receipt())));
    }

    #[test]
    fn an_echo_that_differs_says_where() {
        let message = |payload: &[u8]| check(ReplyKind::Echo, payload).unwrap_err().to_string();
        assert_eq!(
            message(b"heLlo"),
            "reply 2 is not its frame: 5 bytes sent, 5 received, different from byte 2 on"
        );
        assert_eq!(
            message(b"hello!"),
            "reply 2 is not its frame: 5 bytes sent, 6 received, different from byte 5 on"
        );
        assert!(message(b"").contains("0 received, different from byte 0 on"));
    }

    #[test]
    fn a_reply_to_a_datagram_has_no_number() {
        let told = |kind, payload: &[u8]| {
            let sent = Sent { seq: 0, total: 1, payload: Bytes::from_static(b"x") };
            Arrival::new(sent, payload, kind, Duration::ZERO).check().unwrap_err().to_string()
        };
        let not_its_frame =
            "the reply is not its frame: 1 byte sent, 2 received, different from byte 1 on";
        assert_eq!(told(ReplyKind::Echo, b"xy"), not_its_frame);
        assert!(told(ReplyKind::Ack, b"xy").starts_with("the reply is no receipt: "));
        let receipt = Receipt { crc32c: crc32c(b"x"), seq: 0, total: 1, received_at: 1 };
        let told = |receipt: Receipt| told(ReplyKind::Ack, &receipt.encode());
        let crc = told(Receipt { crc32c: 1, ..receipt });
        assert!(crc.starts_with("the receipt is for other bytes: crc32c 00000001, not "), "{crc}");
        let total = told(Receipt { total: 7, ..receipt });
        assert_eq!(total, "the receipt counts 7 bytes in all, not 1");
        let number = told(Receipt { seq: 3, ..receipt });
        assert_eq!(number, "the receipt has the number 3, and those for datagrams have 0");
    }

    #[test]
    fn each_field_of_a_receipt_is_checked() {
        let wrong = |receipt: Receipt| check(ReplyKind::Ack, &receipt.encode()).unwrap_err();
        let (seq, sent) = (2, 0x9a71_bb4c);
        let crc = wrong(Receipt { crc32c: 1, ..receipt() });
        assert_eq!(crc, Mismatch::Crc32c { seq, sent, received: 1 });
        let number = wrong(Receipt { seq: 3, ..receipt() });
        assert_eq!(number, Mismatch::Seq { seq, received: 3 });
        let total = wrong(Receipt { total: 7, ..receipt() });
        assert_eq!(total, Mismatch::Total { seq, sent: 12, received: 7 });
        let echo = check(ReplyKind::Ack, b"hello").unwrap_err();
        assert_eq!(echo, Mismatch::Receipt { seq, source: ReceiptError::Length { len: 5 } });
    }

    #[test]
    fn a_frame_knows_its_reply_without_a_copy() {
        let sent = Sent { seq: 2, total: 12, payload: Bytes::from_static(b"hello") };
        assert!(sent.is_answered_by(b"hello", ReplyKind::Echo));
        assert!(!sent.is_answered_by(b"hallo", ReplyKind::Echo));
        let is_receipt = |receipt: Receipt| sent.is_answered_by(&receipt.encode(), ReplyKind::Ack);
        assert!(is_receipt(receipt()) && is_receipt(Receipt { received_at: 77, ..receipt() }));
        for wrong in [
            Receipt { crc32c: 1, ..receipt() },
            Receipt { seq: 3, ..receipt() },
            Receipt { total: 7, ..receipt() },
        ] {
            assert!(!is_receipt(wrong));
        }
        assert!(!sent.is_answered_by(b"hello", ReplyKind::Ack));
    }

    #[test]
    fn an_echo_shares_the_memory_of_its_frame() {
        let echo = arrival(ReplyKind::Echo, b"hello");
        assert_eq!(echo.payload.as_ptr(), echo.sent.as_ptr());
    }

    #[test]
    fn tells_what_was_due() {
        assert_eq!(arrival(ReplyKind::Echo, b"hallo").due(), "hello");
        // The time is the server's to say, and no reason to differ.
        let late = Receipt { crc32c: 1, seq: 9, received_at: 77, ..receipt() };
        let due = Receipt { received_at: 77, ..receipt() };
        assert_eq!(arrival(ReplyKind::Ack, &late.encode()).due(), due.encode()[..]);
        let due = Receipt { received_at: 0, ..receipt() };
        assert_eq!(arrival(ReplyKind::Ack, b"none").due(), due.encode()[..]);
    }
}
