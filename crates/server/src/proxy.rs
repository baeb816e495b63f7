//! The PROXY protocol, versions 1 and 2: a header in which a balancer says whom it connects
//! (haproxy.org, doc/proxy-protocol.txt). A listener requires it or does not know it; it is never
//! guessed, since everybody can write one.

mod header;
mod trusted;

use std::io;
use std::task::{Context, Poll};

use tokio::io::AsyncReadExt;
use volley_proto::{Endpoint, Reason};

use self::header::{Header, LONGEST_LINE, Progress, progress};
use crate::listener::{Accept, Accepted};
use crate::opening::{Arrival, OpenError, Opener, Stage, Unopened, leave};
use crate::peer::Behind;
use crate::transport::{Transport, peek};
use crate::{Listener, Peer};

pub(crate) use header::HeaderError;
pub use trusted::{Trusted, Vouched};

/// A listener that connections reach through balancers, each of which begins with a PROXY header.
/// The peer is then who the header names, in limits, in logs and wherever else it is shown; a
/// header that names nobody (LOCAL, UNKNOWN), as of a health check, leaves it the balancer itself.
///
/// A TLS handshake comes behind the header: `Proxied<Tls<TcpListener>>`.
///
/// # Examples
///
/// ```no_run
/// use volley_server::{Config, Proxied, Trusted, bind, serve};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let listener = bind("0.0.0.0:7007".parse()?)?;
/// let listener = Proxied::new(listener, Trusted::new(["10.0.0.0/8".parse()?]));
/// serve(listener, Config::default(), tokio::signal::ctrl_c()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Proxied<L> {
    inner: L,
    trusted: Trusted,
}

impl<L> Proxied<L> {
    /// Takes headers from those who are `trusted`, and nothing from others.
    pub const fn new(inner: L, trusted: Trusted) -> Self {
        Self { inner, trusted }
    }
}

impl<L: Listener> Listener for Proxied<L> {}

impl<L: Accept> Accept for Proxied<L> {
    type Opener = ProxiedOpener<L::Opener>;

    fn opener(&self) -> Self::Opener {
        ProxiedOpener { inner: self.inner.opener(), trusted: self.trusted.clone() }
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Accepted<Self>> {
        self.inner.poll_accept(cx)
    }

    fn endpoint(&self) -> io::Result<Endpoint> {
        self.inner.endpoint()
    }

    fn tune(&self) -> io::Result<()> {
        self.inner.tune()
    }
}

/// Reads the header, then does what else has to be done.
#[derive(Clone, Debug)]
pub(crate) struct ProxiedOpener<O> {
    inner: O,
    trusted: Trusted,
}

impl<O: Opener> Opener for ProxiedOpener<O> {
    type Raw = O::Raw;
    type Stream = O::Stream;
    const KNOWS_PEER: bool = false;

    fn open_at_once(&self, raw: O::Raw) -> Result<O::Stream, O::Raw> {
        Err(raw)
    }

    fn admit(&self, peer: &Peer) -> Result<(), OpenError> {
        let is_trusted = peer.address().is_some_and(|address| self.trusted.contain(address));
        if is_trusted { Ok(()) } else { Err(OpenError::Untrusted) }
    }

    async fn open(self, mut raw: O::Raw, arrival: &mut Arrival) -> Result<O::Stream, Unopened> {
        arrival.stage = Stage::Header;
        if let Err(error) = take_header(&mut raw, arrival).await {
            let is_told = matches!(error, OpenError::Header(_) | OpenError::Full(_));
            let farewell = O::farewell(error.reason(), &error.to_string(), arrival.has_control);
            let leave = is_told.then(|| leave(raw, farewell));
            return Err(Unopened { error, leave });
        }
        self.inner.open(raw, arrival).await
    }

    fn farewell(reason: Reason, text: &str, has_control: bool) -> Vec<u8> {
        O::farewell(reason, text, has_control)
    }
}

/// Reads the header, and takes who it names for the peer unless that source has too many already.
async fn take_header(raw: &mut impl Transport, arrival: &mut Arrival) -> Result<(), OpenError> {
    if let (Header::Client(client), Peer::Socket(via)) = (read_header(raw).await?, &arrival.peer) {
        arrival.peer = Peer::Behind(Box::new(Behind { client, via: *via }));
    }
    arrival.permit.name(&arrival.peer).map_err(OpenError::Full)
}

/// Reads the header, and not a byte beyond it.
async fn read_header(raw: &mut impl Transport) -> Result<Header, OpenError> {
    let mut bytes = Vec::with_capacity(LONGEST_LINE);
    loop {
        let more = match progress(&bytes).map_err(OpenError::Header)? {
            Progress::Whole(header) => return Ok(header),
            Progress::Needs(more) => more,
            Progress::NeedsLine(least) => line_ahead(raw, LONGEST_LINE - bytes.len()).max(least),
        };
        let mut rest = raw.take(more as u64);
        if rest.read_buf(&mut bytes).await.map_err(OpenError::of_socket)? == 0 {
            return Err(OpenError::Closed);
        }
    }
}

/// How many of the next `most` bytes are there already, and are of the line that they begin with.
fn line_ahead(raw: &impl Transport, most: usize) -> usize {
    let mut ahead = [0; LONGEST_LINE];
    let len = peek(raw, &mut ahead[..most]);
    ahead[..len].iter().position(|&byte| byte == b'\n').map_or(len, |end| end + 1)
}
