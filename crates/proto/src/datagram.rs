//! Datagrams: which reply a payload gets that came alone, with no connection around it. Who is
//! answered at all, and how often, is for the server to say.

use bytes::BufMut;

use crate::{Receipt, ReplyKind, crc32c};

/// The longest payload of a datagram over IPv4, in bytes: 65,535 less the headers of IP (20) and
/// UDP (8). Over IPv6 20 bytes more would fit.
pub const LONGEST_DATAGRAM: usize = 65_507;

/// What is sent back for a datagram; never longer than the datagram itself, so that nobody can
/// have a server send more than he sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatagramReply<'a> {
    /// The same payload.
    Echo(&'a [u8]),
    /// A receipt. Its number is 0, since datagrams are not counted, and its total is the length of
    /// this one.
    Ack(Receipt),
}

impl<'a> DatagramReply<'a> {
    /// The reply of `kind` to `payload`; `received_at` is in nanoseconds since the Unix epoch.
    ///
    /// # Errors
    ///
    /// [`NoReply`]: why there is none.
    ///
    /// # Examples
    ///
    /// ```
    /// use volley_proto::{DatagramReply, NoReply, ReplyKind};
    ///
    /// let reply = DatagramReply::to(b"hello", ReplyKind::Echo, 0);
    /// assert_eq!(reply, Ok(DatagramReply::Echo(b"hello")));
    /// let reply = DatagramReply::to(b"hello", ReplyKind::Ack, 0);
    /// assert_eq!(reply, Err(NoReply::Short { len: 5 }));
    /// ```
    #[inline]
    pub fn to(payload: &'a [u8], kind: ReplyKind, received_at: u64) -> Result<Self, NoReply> {
        if payload.starts_with(&Receipt::MAGIC) {
            return Err(NoReply::Receipt);
        }
        match kind {
            ReplyKind::Echo => Ok(Self::Echo(payload)),
            ReplyKind::Ack if payload.len() < Receipt::LEN => {
                Err(NoReply::Short { len: payload.len() })
            }
            ReplyKind::Ack => Ok(Self::Ack(Receipt {
                crc32c: crc32c(payload),
                seq: 0,
                total: payload.len() as u64,
                received_at,
            })),
        }
    }

    /// Length in bytes.
    pub const fn len(&self) -> usize {
        match self {
            Self::Echo(payload) => payload.len(),
            Self::Ack(_) => Receipt::LEN,
        }
    }

    /// Whether it is the echo of an empty datagram.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends the bytes of the datagram to `out`.
    #[inline]
    pub fn encode(&self, out: &mut impl BufMut) {
        match self {
            Self::Echo(payload) => out.put_slice(payload),
            Self::Ack(receipt) => out.put_slice(&receipt.encode()),
        }
    }
}

/// Why a datagram gets no reply, whoever sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoReply {
    /// It begins as receipts do, so another server may have sent it: they would answer each other
    /// for ever.
    #[error("it begins as a receipt does, and servers never answer each other")]
    Receipt,
    /// It is shorter than its receipt would be.
    #[error("a receipt has {} bytes, and the datagram only {len}", Receipt::LEN)]
    Short {
        /// The datagram's length in bytes.
        len: usize,
    },
}
