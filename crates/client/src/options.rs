//! How to connect, and what to expect of the server.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use volley_proto::{MaxFrame, ReplyKind};

use crate::framing::Framing;
use crate::proxy_header::ProxyHeader;
use crate::tap::Tap;
use crate::tls::Tls;

/// How to connect, and what to expect of the server.
///
/// ```
/// use volley_client::Options;
///
/// let mut options = Options::default();
/// options.reply_timeout = std::time::Duration::from_secs(1);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// How long it may take until frames can be sent: resolving, connecting, the TLS handshake and
    /// WELCOME together.
    pub connect_timeout: Duration,
    /// How long the server may take for the next reply, from the moment at which its frame was
    /// sent or [`Receiver::receive`](crate::Receiver::receive) was called for it, whichever is
    /// later.
    pub reply_timeout: Duration,
    /// How frames stand in the bytes of the connection. [`Framing::Raw`] knows no control frames, so
    /// that nobody is greeted, and no receipts.
    pub framing: Framing,
    /// Greets the server. `None` is for servers that know no control frames.
    pub hello: Option<Hello>,
    /// The replies to expect of a server that is not greeted.
    pub reply: ReplyKind,
    /// The longest payload to send to a server that is not greeted; WELCOME tells a greeted one's.
    pub max_frame: MaxFrame,
    /// The address of this machine to connect from; the system chooses the port, and without an
    /// address that too. The endpoint is then tried only at its addresses of the same family; a Unix
    /// socket has none.
    ///
    /// Two connections may have the same local port if they differ in either address or in the
    /// server's port. So each local address brings a whole range of ports for each server.
    pub local: Option<IpAddr>,
    /// How to speak TLS with a `tls://` endpoint; `None` is [`Tls::system`]. Connections with the same
    /// one go on with each other's sessions.
    pub tls: Option<Tls>,
    /// A PROXY header before everything else, the TLS handshake too: for servers that stand behind a
    /// balancer.
    pub proxy_header: Option<ProxyHeader>,
    /// Sees every frame, HELLO and WELCOME included.
    pub tap: Option<Arc<dyn Tap>>,
}

impl Default for Options {
    /// 5 s for each, a HELLO that takes the listener's own reply, any local address, the system's TLS,
    /// no PROXY header, no tap.
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            reply_timeout: Duration::from_secs(5),
            framing: Framing::Frames,
            hello: Some(Hello::default()),
            reply: ReplyKind::Echo,
            max_frame: MaxFrame::CEILING,
            local: None,
            tls: None,
            proxy_header: None,
            tap: None,
        }
    }
}

/// What HELLO says.
#[derive(Clone, Debug, Default)]
pub struct Hello {
    /// The reply to ask for; `None` takes the listener's own.
    pub wanted: Option<ReplyKind>,
    /// A name for the server's log; may be empty.
    pub name: String,
}
