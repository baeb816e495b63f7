//! What a server can do wrong.

use std::time::Duration;

use volley_proto::Reason;

/// Changes the payload of a reply.
pub(crate) type Change = fn(&mut Vec<u8>);

/// What a server does with a frame instead of answering it.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// It answers it.
    None,
    /// It changes the payload of the reply.
    Change(Change),
    /// It does not answer, and goes on.
    Drop,
    /// It answers so many times.
    Repeat(usize),
    /// It answers behind so many later frames.
    Behind(u64),
    /// It answers so much later, and goes on meanwhile.
    Delay(Duration),
    /// It answers, and sends another reply behind.
    Beside(&'static [u8]),
    /// It answers, and once more when the client has closed.
    Afterwards,
    /// Two connections get each other's reply.
    Misroute,
    /// It answers no more, and ends the connection when the client waits.
    End(End),
}

/// How a server ends a connection.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// It closes.
    Close,
    /// It resets.
    Reset,
    /// It sends so many bytes of the reply, its head included, and closes.
    Cut(usize),
    /// It sends an ERROR and closes.
    Error(Reason, &'static str),
    /// It sends these bytes and closes when the client has.
    Bytes(&'static [u8]),
}
