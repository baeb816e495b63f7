//! What carries the frames of a shell: a connection, opened when it is needed, and again after it
//! was lost; or datagrams.

use std::future::pending;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::time::{Instant, timeout};
use volley_client::{Arrival, Connection, Datagrams, Error, Options, Receiver, Sender, Sent};
use volley_proto::{Endpoint, LONGEST_DATAGRAM, ReplyKind};

use crate::failure::Failure;
use crate::patience::connecting;
use crate::terms::Terms;

/// How to reach the server, and the way to it while there is one.
#[derive(Debug)]
pub(super) struct Link {
    endpoint: Endpoint,
    terms: Terms,
    options: Options,
    way: Option<Way>,
}

#[derive(Debug)]
enum Way {
    Stream(Box<Halves>),
    Datagrams(Socket),
}

/// A connection.
#[derive(Debug)]
struct Halves {
    sender: Sender,
    receiver: Receiver,
}

/// A socket of UDP.
#[derive(Debug)]
struct Socket {
    datagrams: Datagrams,
    /// How long to wait for a reply.
    timeout: Duration,
    /// Frames that were sent.
    sent: u64,
}

/// What server and client have agreed on, or what is expected of a server that is not greeted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Agreed {
    pub(super) reply: ReplyKind,
    /// The longest frame, in bytes.
    pub(super) longest: usize,
}

impl Link {
    pub(super) fn new(endpoint: Endpoint, terms: Terms, options: Options) -> Self {
        Self { endpoint, terms, options, way: None }
    }

    /// Whether each frame is a datagram.
    pub(super) const fn is_of_datagrams(&self) -> bool {
        matches!(self.endpoint, Endpoint::Udp(_))
    }

    /// Opens a connection, or a socket.
    ///
    /// # Errors
    ///
    /// Those of [`Connection::connect`] and [`Datagrams::open`], and that the server does not grant
    /// what was asked for.
    pub(super) async fn open(&mut self) -> Result<Agreed, Failure> {
        let (endpoint, longest) = (&self.endpoint, self.options.connect_timeout);
        if self.is_of_datagrams() {
            let open = Datagrams::open(endpoint, &self.options);
            let datagrams = connecting(endpoint, longest, open).await?;
            let agreed = Agreed { reply: datagrams.reply_kind(), longest: LONGEST_DATAGRAM };
            let timeout = self.options.reply_timeout;
            self.way = Some(Way::Datagrams(Socket { datagrams, timeout, sent: 0 }));
            return Ok(agreed);
        }
        let connect = Connection::connect(endpoint, &self.options);
        let connection = connecting(endpoint, longest, connect).await?;
        let longest = connection.max_frame().get() as usize;
        let agreed = Agreed { reply: connection.reply_kind(), longest };
        self.terms.check(agreed.reply)?;
        let (sender, receiver) = connection.split();
        self.way = Some(Way::Stream(Box::new(Halves { sender, receiver })));
        Ok(agreed)
    }

    /// Sends a frame and awaits its reply. A connection on which that fails is given up; the next
    /// frame is sent on another.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open), [`Sender::feed`] and [`Receiver::receive_unchecked`].
    pub(super) async fn exchange(&mut self, payload: Bytes) -> Result<Arrival, Failure> {
        // The server may have said so behind the last reply.
        self.way = self.way.take().filter(|way| !way.is_going_away());
        if self.way.is_none() {
            self.open().await?;
        }
        let outcome = match &mut self.way {
            Some(Way::Stream(halves)) => halves.exchange(payload).await,
            Some(Way::Datagrams(socket)) => socket.exchange(payload).await,
            // It has just been opened.
            None => Err(Error::Closed { answered: 0, outstanding: 0, part: None }),
        };
        if !matches!(outcome, Ok(_) | Err(Error::TooLarge { .. })) {
            self.way = None;
        }
        Ok(outcome?)
    }

    /// Waits until something happens to the connection while no reply is awaited: why it is of no
    /// more use. Nothing happens to a socket of UDP.
    ///
    /// # Cancel safety
    ///
    /// Nothing is missed.
    pub(super) async fn lost(&mut self) -> Error {
        let Some(Way::Stream(halves)) = &mut self.way else { return pending().await };
        let going_away = halves.sender.going_away();
        // Both branches are cancel safe.
        let why = tokio::select! {
            received = halves.receiver.receive_unchecked() => match received {
                Err(error) => error,
                // No frame is in flight, and the sender is there.
                Ok(_) => Error::Closed { answered: 0, outstanding: 0, part: None },
            },
            goaway = going_away => Error::GoingAway { reason: goaway.reason },
        };
        // A server that takes no more waits for the end of the connection.
        self.way = None;
        why
    }
}

impl Way {
    fn is_going_away(&self) -> bool {
        matches!(self, Self::Stream(halves) if halves.sender.goaway().is_some())
    }
}

impl Halves {
    async fn exchange(&mut self, payload: Bytes) -> Result<Arrival, Error> {
        self.sender.feed(payload).await?;
        // It reads while it writes, so that no frame is too long for it.
        let write = async {
            let _ = self.sender.flush().await;
            // The receiver knows why it failed, or when to give up.
            pending::<std::convert::Infallible>().await
        };
        tokio::select! {
            never = write => match never {},
            arrival = self.receiver.receive_unchecked() => match arrival? {
                Some(arrival) => Ok(arrival),
                // The sender is there.
                None => Err(Error::Closed { answered: 0, outstanding: 1, part: None }),
            },
        }
    }
}

impl Socket {
    /// The next datagram that comes is the reply.
    async fn exchange(&mut self, payload: Bytes) -> Result<Arrival, Error> {
        let Self { datagrams, timeout: longest, sent } = self;
        // A second reply to a frame before is none to this one.
        while let Some(Ok(_)) = datagrams.receive().now_or_never() {}
        let sent_at = Instant::now();
        datagrams.send(&payload).await?;
        *sent += 1;
        let Ok(received) = timeout(*longest, datagrams.receive()).await else {
            return Err(Error::TimedOut { seq: *sent, after: *longest, part: None });
        };
        let (received, rtt) = (Bytes::copy_from_slice(received?), sent_at.elapsed());
        let kind = datagrams.reply_kind();
        // A receipt is for one datagram alone, and has no number.
        let seq = if kind == ReplyKind::Echo { *sent } else { 0 };
        let sent = Sent { seq, total: payload.len() as u64, payload };
        Ok(Arrival::new(sent, &received, kind, rtt))
    }
}
