//! What is sent back for a data frame: the one replaceable thing.

use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

use volley_proto::{HEAD_LEN, Receipt, ReplyKind, crc32c, encode_data, encode_data_head};

use crate::answer::Batch;

/// Answers the data frames of one connection. Each connection has its own clone, so a responder
/// may keep state; the compiler sees to it that every frame gets exactly one reply.
///
/// # Examples
///
/// A server that shouts:
///
/// ```
/// use volley_server::{Replied, Request, Responder, Slot};
///
/// #[derive(Clone)]
/// struct Shout;
///
/// impl Responder for Shout {
///     fn respond(&mut self, request: &Request<'_>, slot: Slot<'_, '_>) -> Replied {
///         slot.send(&request.payload().to_ascii_uppercase())
///     }
/// }
/// ```
pub trait Responder: Clone + Send + 'static {
    /// Answers one frame. It runs on the connection's task: it must neither block nor take long.
    fn respond(&mut self, request: &Request<'_>, slot: Slot<'_, '_>) -> Replied;

    /// Called when a client says HELLO: `wanted` is the reply it asks for, `None` being the
    /// listener's own. What this returns is what WELCOME grants, and clients check their replies
    /// by it. The default grants echo whatever is asked for.
    fn grant(&mut self, wanted: Option<ReplyKind>) -> ReplyKind {
        let _ = wanted;
        ReplyKind::Echo
    }
}

/// A data frame that waits for its reply.
#[derive(Debug)]
pub struct Request<'a> {
    pub(crate) payload: &'a [u8],
    pub(crate) seq: u64,
    pub(crate) total: u64,
    pub(crate) clock: &'a Clock,
}

impl Request<'_> {
    /// The frame's payload; may be empty.
    pub const fn payload(&self) -> &[u8] {
        self.payload
    }

    /// The frame's number on its connection, from 1.
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// Payload bytes received on this connection so far, this frame's included.
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// When the frame was received, in nanoseconds since the Unix epoch. Frames that one read
    /// brought in share an instant.
    pub fn received_at(&self) -> u64 {
        self.clock.read()
    }
}

/// Where a frame's reply goes.
#[derive(Debug)]
pub struct Slot<'s, 'b> {
    pub(crate) batch: &'s mut Batch<'b>,
    /// The request with its head: from here to `frame_end` of the batch's input.
    pub(crate) frame_start: usize,
    pub(crate) frame_end: usize,
}

impl Slot<'_, '_> {
    /// Sends the request back as it came, without copying it.
    #[inline]
    pub fn echo(self) -> Replied {
        self.batch.echo(self.frame_start, self.frame_end);
        Replied(())
    }

    /// Sends `payload`.
    ///
    /// # Panics
    ///
    /// If `payload` is 2 GiB or longer: no frame holds it.
    #[inline]
    pub fn send(self, payload: &[u8]) -> Replied {
        encode_data(payload, self.batch.gathered());
        Replied(())
    }

    /// Sends a payload of `len` bytes that `fill` writes in place; it begins as zeros.
    ///
    /// # Panics
    ///
    /// If `len` is 2 GiB or more: no frame holds it.
    #[inline]
    pub fn send_with(self, len: usize, fill: impl FnOnce(&mut [u8])) -> Replied {
        let head = encode_data_head(len);
        let replies = self.batch.gathered();
        let start = replies.len();
        replies.resize(start + HEAD_LEN + len, 0);
        let (head_bytes, payload) = replies[start..].split_at_mut(HEAD_LEN);
        head_bytes.copy_from_slice(&head);
        fill(payload);
        Replied(())
    }
}

/// Proof that a [`Slot`] was used.
#[derive(Debug)]
#[must_use]
pub struct Replied(());

/// Sends each frame back as it came.
#[derive(Clone, Copy, Debug, Default)]
pub struct Echo;

impl Responder for Echo {
    #[inline]
    fn respond(&mut self, _request: &Request<'_>, slot: Slot<'_, '_>) -> Replied {
        slot.echo()
    }
}

/// Answers each frame with a [`Receipt`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Ack;

impl Responder for Ack {
    #[inline]
    fn respond(&mut self, request: &Request<'_>, slot: Slot<'_, '_>) -> Replied {
        let receipt = Receipt {
            crc32c: crc32c(request.payload()),
            seq: request.seq(),
            total: request.total(),
            received_at: request.received_at(),
        };
        slot.send_with(Receipt::LEN, |payload| receipt.encode_into(payload))
    }

    fn grant(&mut self, _wanted: Option<ReplyKind>) -> ReplyKind {
        ReplyKind::Ack
    }
}

/// Echo or receipt: the listener's own, until HELLO asks for the other.
#[derive(Clone, Copy, Debug)]
pub struct Negotiated {
    kind: ReplyKind,
}

impl Negotiated {
    /// Begins with `kind`, which a client that says no HELLO gets.
    pub const fn new(kind: ReplyKind) -> Self {
        Self { kind }
    }
}

impl Responder for Negotiated {
    #[inline]
    fn respond(&mut self, request: &Request<'_>, slot: Slot<'_, '_>) -> Replied {
        match self.kind {
            ReplyKind::Echo => Echo.respond(request, slot),
            ReplyKind::Ack => Ack.respond(request, slot),
        }
    }

    fn grant(&mut self, wanted: Option<ReplyKind>) -> ReplyKind {
        self.kind = wanted.unwrap_or(self.kind);
        self.kind
    }
}

/// The wall clock, read at most once per batch and only if somebody asks.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    /// Nanoseconds since the Unix epoch; 0 until it has been read.
    now: Cell<u64>,
}

impl Clock {
    fn read(&self) -> u64 {
        if self.now.get() == 0 {
            let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            // Overflows in the year 2554.
            self.now.set(u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX));
        }
        self.now.get()
    }
}
