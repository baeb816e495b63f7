//! What a listener's owner can set.

use std::time::Duration;

use volley_proto::{MaxFrame, ReplyKind};

use crate::{BufferLimit, ConnectionLimit, Deadlines};

/// The settings of one listener.
///
/// A clone shares its [`ConnectionLimit`] and its [`BufferLimit`]: listeners that are served with
/// clones of one `Config` count their connections and bytes together.
///
/// ```
/// use volley_server::Config;
///
/// let mut config = Config::default();
/// config.drain = std::time::Duration::from_secs(30);
/// config.deadlines.idle = None;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The reply that a data frame gets, unless HELLO asks for another one. [`serve_with`] leaves
    /// this to its responder.
    ///
    /// [`serve_with`]: crate::serve_with
    pub reply: ReplyKind,
    /// The longest payload that is taken. A longer one ends its connection.
    pub max_frame: MaxFrame,
    /// How many connections may be open at once, in all and from one source. Further ones are
    /// refused as busy.
    pub connections: ConnectionLimit,
    /// How many PROXY headers and TLS handshakes may be under way at once; the others wait for
    /// their turn. It bounds the memory that they take, and how long one of them waits for the
    /// processor.
    pub max_handshakes: usize,
    /// How many bytes all connections together may keep. One that needs more ends with an ERROR.
    pub buffers: BufferLimit,
    /// Connections per second that are accepted, with a tenth of a second's worth at once; the
    /// others wait in the system's backlog. `None` is without limit.
    pub accept_rate: Option<f64>,
    /// Data frames per second that a connection is read at, likewise.
    pub frame_rate: Option<f64>,
    /// Bytes per second that a connection is read at, likewise.
    pub byte_rate: Option<f64>,
    /// How long peers may take.
    pub deadlines: Deadlines,
    /// How long connections may go on after the shutdown was asked for.
    pub drain: Duration,
}

impl Default for Config {
    /// Echo, 1 MiB, as many connections as the process has descriptors for, 256 handshakes at once,
    /// 1 GiB, no rates, the default deadlines, 10 s.
    fn default() -> Self {
        Self {
            reply: ReplyKind::Echo,
            max_frame: MaxFrame::DEFAULT,
            connections: ConnectionLimit::from_descriptors(),
            max_handshakes: 256,
            buffers: BufferLimit::default(),
            accept_rate: None,
            frame_rate: None,
            byte_rate: None,
            deadlines: Deadlines::default(),
            drain: Duration::from_secs(10),
        }
    }
}
