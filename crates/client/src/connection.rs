//! A connection: a sending half, a receiving half, and what they know of each other.
//!
//! ```text
//!   Sender  --- bytes --->  server  --- bytes --->  Receiver
//!      '------- each frame, before its bytes -------^
//! ```

use std::convert::Infallible;
use std::future::pending;
use std::io;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use volley_proto::{Endpoint, MaxFrame, ReplyKind};

use crate::check::Reply;
use crate::connect::{Opened, open};
use crate::error::Error;
use crate::inbox::Inbox;
use crate::options::Options;
use crate::receiver::Receiver;
use crate::sender::Sender;
use crate::stream::StreamAddress;
use crate::terms::Terms;
use crate::tls::Handshake;

/// A connection to a framed server.
#[derive(Debug)]
pub struct Connection {
    sender: Sender,
    receiver: Receiver,
    handshake: Option<Handshake>,
}

impl Connection {
    /// Connects to the first address of `endpoint` that answers and, unless told not to, greets
    /// the server and awaits its WELCOME.
    ///
    /// # Errors
    ///
    /// As [`open`]; [`Error::Unsupported`] for [`Endpoint::Udp`], where replies have no order.
    pub async fn connect(endpoint: &Endpoint, options: &Options) -> Result<Self, Error> {
        if let Endpoint::Udp(_) = endpoint {
            return Err(Error::Unsupported { endpoint: endpoint.clone() });
        }
        Ok(Self::new(open(endpoint, options).await?, options))
    }

    pub(crate) fn new(opened: Opened, options: &Options) -> Self {
        let Opened { stream, early, reply, max_frame } = opened;
        let terms = Terms { reply, max_frame };
        let handshake = stream.handshake();
        let (read, write) = stream.into_split();
        let (announce, in_flight) = mpsc::unbounded_channel();
        let (goaway_said, goaway) = watch::channel(None);
        let sender = Sender::new(write, announce, goaway, terms, options);
        let inbox = Inbox::new(early, read, options.framing);
        let receiver = Receiver::new(inbox, in_flight, goaway_said, terms, options);
        Self { sender, receiver, handshake }
    }

    /// Sends a frame and awaits its reply. It reads while it writes, so that no frame is too long
    /// for it.
    ///
    /// # Errors
    ///
    /// Those of [`Sender::feed`] and of [`Receiver::receive`].
    ///
    /// # Cancel safety
    ///
    /// The frame is sent all the same, at the latest with the next one. The next request passes
    /// over its reply.
    pub async fn request(&mut self, payload: impl Into<Bytes>) -> Result<Reply, Error> {
        self.sender.enqueue(payload.into())?;
        let seq = self.sender.seq();
        // Never the first to be done: where writing fails or waits for a server that reads
        // nothing, the receiver knows why, or when to give up.
        let write = async {
            let _ = self.sender.flush().await;
            pending::<Infallible>().await
        };
        tokio::select! {
            never = write => match never {},
            reply = self.receiver.receive_from(seq) => reply,
        }
    }

    /// Splits the connection, so that frames can be sent while replies are awaited. Drive both
    /// halves at once, for example with `tokio::join!`: a server that can't get rid of its replies
    /// takes no more frames.
    pub fn split(self) -> (Sender, Receiver) {
        (self.sender, self.receiver)
    }

    /// Where it comes from.
    ///
    /// # Errors
    ///
    /// What getsockname(2) says.
    pub fn local_addr(&self) -> io::Result<StreamAddress> {
        self.sender.stream().local_addr()
    }

    /// Where the server is: of a name's several addresses, the one that answered.
    ///
    /// # Errors
    ///
    /// What getpeername(2) says.
    pub fn peer_addr(&self) -> io::Result<StreamAddress> {
        self.sender.stream().peer_addr()
    }

    /// What came of the TLS handshake, if there was one.
    pub const fn handshake(&self) -> Option<&Handshake> {
        self.handshake.as_ref()
    }

    /// The kind of reply that frames get.
    pub const fn reply_kind(&self) -> ReplyKind {
        self.sender.terms().reply
    }

    /// The longest payload that can be sent.
    pub const fn max_frame(&self) -> MaxFrame {
        self.sender.terms().max_frame
    }
}
