//! What a listener's owner can set.

use std::time::Duration;

use volley_proto::{MaxFrame, ReplyKind};

use crate::ConnectionLimit;

/// The settings of one listener.
///
/// A clone shares its [`ConnectionLimit`]: listeners that are served with clones of one `Config`
/// count their connections together.
///
/// ```
/// use volley_server::Config;
///
/// let mut config = Config::default();
/// config.drain = std::time::Duration::from_secs(30);
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
    /// How many connections may be open at once. Further ones are refused as busy.
    pub connections: ConnectionLimit,
    /// How long connections may go on after the shutdown was asked for.
    pub drain: Duration,
}

impl Default for Config {
    /// Echo, 1 MiB, as many connections as the process has descriptors for, 10 s.
    fn default() -> Self {
        Self {
            reply: ReplyKind::Echo,
            max_frame: MaxFrame::DEFAULT,
            connections: ConnectionLimit::from_descriptors(),
            drain: Duration::from_secs(10),
        }
    }
}
