//! The connection of a shell: opened when it is needed, and again after it was lost.

use std::future::pending;

use bytes::Bytes;
use volley_client::{Arrival, Connection, Error, Options, Receiver, Sender};
use volley_proto::{Endpoint, MaxFrame, ReplyKind};

use crate::failure::Failure;
use crate::patience::connecting;
use crate::terms::Terms;

/// How to reach the server, and the connection to it while there is one.
#[derive(Debug)]
pub(super) struct Link {
    endpoint: Endpoint,
    terms: Terms,
    options: Options,
    halves: Option<Halves>,
}

#[derive(Debug)]
struct Halves {
    sender: Sender,
    receiver: Receiver,
}

/// What server and client have agreed on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Agreed {
    pub(super) reply: ReplyKind,
    pub(super) max_frame: MaxFrame,
}

impl Link {
    pub(super) fn new(endpoint: Endpoint, terms: Terms, options: Options) -> Self {
        Self { endpoint, terms, options, halves: None }
    }

    /// Opens a connection.
    ///
    /// # Errors
    ///
    /// Those of [`Connection::connect`], and that the server does not grant what was asked for.
    pub(super) async fn open(&mut self) -> Result<Agreed, Failure> {
        let connect = Connection::connect(&self.endpoint, &self.options);
        let connection = connecting(&self.endpoint, self.options.connect_timeout, connect).await?;
        let agreed = Agreed { reply: connection.reply_kind(), max_frame: connection.max_frame() };
        self.terms.check(agreed.reply)?;
        let (sender, receiver) = connection.split();
        self.halves = Some(Halves { sender, receiver });
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
        self.halves = self.halves.take().filter(|halves| halves.sender.goaway().is_none());
        if self.halves.is_none() {
            self.open().await?;
        }
        let outcome = match &mut self.halves {
            Some(halves) => halves.exchange(payload).await,
            // It has just been opened.
            None => Err(Error::Closed { answered: 0, outstanding: 0, part: None }),
        };
        if !matches!(outcome, Ok(_) | Err(Error::TooLarge { .. })) {
            self.halves = None;
        }
        Ok(outcome?)
    }

    /// Waits until something happens to the connection while no reply is awaited: why it is of no
    /// more use.
    ///
    /// # Cancel safety
    ///
    /// Nothing is missed.
    pub(super) async fn lost(&mut self) -> Error {
        let Some(halves) = &mut self.halves else { return pending().await };
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
        self.halves = None;
        why
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
