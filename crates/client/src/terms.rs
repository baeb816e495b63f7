//! What a server says of the connection as a whole: what it grants, and that it takes no more.

use std::time::Duration;

use volley_proto::{MaxFrame, Reason, ReplyKind};

/// What server and client have agreed on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) reply: ReplyKind,
    pub(crate) max_frame: MaxFrame,
}

/// The server has asked for no new frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GoAway {
    /// Why.
    pub reason: Reason,
    /// How long until the server closes, from when it said so.
    pub closes_in: Duration,
}
