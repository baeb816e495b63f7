//! What passes over the wire, for whoever wants to see it.

use std::fmt;

use volley_proto::Control;

use crate::stream::Stream;

/// Sees every frame of a connection, in both directions, control frames included. Set it as
/// [`Options::tap`](crate::Options::tap), to show a conversation or to record it.
///
/// It is called where a frame is handed over to be written, and where a whole frame has come in;
/// the connection waits for it.
pub trait Tap: fmt::Debug + Send + Sync {
    /// A connection has been made, TLS included, and nothing has passed over it yet.
    fn connected(&self, stream: &Stream) {
        let _ = stream;
    }

    /// A frame, or the end of all frames in this direction.
    fn pass(&self, direction: Direction, passing: Passing<'_>);
}

/// Which way something passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the server.
    Out,
    /// From the server.
    In,
}

/// What passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passing<'a> {
    /// A data frame.
    Data {
        /// Its number among those of its direction on this connection, from 1.
        seq: u64,
        /// Its payload.
        payload: &'a [u8],
    },
    /// A control frame.
    Control(&'a Control),
    /// Nothing will follow.
    End,
}
