//! TLS 1.3 and 1.2 before the frames, by rustls.
//!
//! ```text
//!   Tls<TcpListener>  accept -> TlsOpener  handshake -> Sealed<TcpStream>  frames
//!                                  ^
//!   LiveTls  ----- certificate, key, client CA, which can be replaced
//! ```
//!
//! The cryptography is ring's: it builds with a C compiler and no more, and is as fast as others at
//! what takes the time here, short AES-GCM records and P-256 signatures.

mod clients;
mod config;
mod error;
mod identity;
mod stream;

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use rustls::{HandshakeKind, ProtocolVersion, ServerConnection};
use tokio_rustls::TlsAcceptor;
use volley_proto::{Endpoint, Foreign, Reason};

use crate::linger::linger;
use crate::listener::{Accept, Accepted};
use crate::opening::{
    Arrival, Direct, Handshake, Instead, OpenError, Opener, Stage, Unopened, leave,
};
use crate::transport::{Socket, peek};
use crate::{Certified, Listener, Peer};

pub use clients::TlsClients;
pub use config::{TlsConfig, TlsConfigError, TlsInput};
pub(crate) use error::TlsError;
pub(crate) use stream::Sealed;

/// The protocol as TLS names it (ALPN, RFC 7301). A client that names none is served as well; one
/// that names only others is not.
const ALPN: &[u8] = b"volley/1";

/// The type of a record that begins a handshake (RFC 8446, 5.1). No frame begins like it.
const HANDSHAKE: u8 = 22;

/// The type of an alert, its level, and what it says (RFC 8446, 5.1 and 6).
const ALERT: u8 = 21;
const FATAL: u8 = 2;
const UNEXPECTED_MESSAGE: u8 = 10;
const ACCESS_DENIED: u8 = 49;
const INTERNAL_ERROR: u8 = 80;

/// How many bytes tell what it is that is not TLS: a frame's head, and a control frame's body.
const TELLING: usize = 16;

/// A listener whose connections begin with a TLS handshake.
///
/// # Examples
///
/// ```no_run
/// use volley_server::{Config, LiveTls, Tls, TlsConfig, bind, serve};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let (cert, key) = (std::fs::read("cert.pem")?, std::fs::read("key.pem")?);
/// let tls = LiveTls::new(TlsConfig::from_pem(&cert, &key, None)?);
/// let listener = Tls::new(bind("0.0.0.0:7007".parse()?)?, tls.clone());
/// serve(listener, Config::default(), tokio::signal::ctrl_c()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Tls<L> {
    inner: L,
    live: LiveTls,
}

impl<L> Tls<L> {
    /// Handshakes are as `live` says when they begin.
    pub const fn new(inner: L, live: LiveTls) -> Self {
        Self { inner, live }
    }
}

/// What TLS listeners show and ask for. Clones are one: what is replaced in one of them is so in
/// all, for the handshakes that begin from then on.
#[derive(Clone)]
pub struct LiveTls {
    config: Arc<Mutex<TlsConfig>>,
}

impl LiveTls {
    /// As `config` has it, to begin with.
    pub fn new(config: TlsConfig) -> Self {
        Self { config: Arc::new(Mutex::new(config)) }
    }

    /// What new handshakes get.
    pub fn config(&self) -> TlsConfig {
        self.lock().clone()
    }

    /// Has `config` hold for new handshakes. Connections that are open stay; sessions from before
    /// are not resumed.
    pub fn replace(&self, config: TlsConfig) {
        *self.lock() = config;
    }

    fn acceptor(&self) -> TlsAcceptor {
        self.lock().server().into()
    }

    fn lock(&self) -> MutexGuard<'_, TlsConfig> {
        self.config.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for LiveTls {
    /// Without keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveTls").finish_non_exhaustive()
    }
}

impl<L: Accept<Opener = Direct<S>>, S: Socket + fmt::Debug> Listener for Tls<L> {}

impl<L: Accept<Opener = Direct<S>>, S: Socket + fmt::Debug> Accept for Tls<L> {
    type Opener = TlsOpener<S>;

    fn opener(&self) -> Self::Opener {
        TlsOpener { live: self.live.clone(), socket: PhantomData }
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Accepted<Self>> {
        self.inner.poll_accept(cx)
    }

    fn endpoint(&self) -> io::Result<Endpoint> {
        Ok(match self.inner.endpoint()? {
            Endpoint::Tcp(address) => Endpoint::Tls(address),
            other => other,
        })
    }

    fn tune(&self) -> io::Result<()> {
        self.inner.tune()
    }
}

/// Shakes hands.
#[derive(Debug)]
pub(crate) struct TlsOpener<S> {
    live: LiveTls,
    socket: PhantomData<fn() -> S>,
}

impl<S> Clone for TlsOpener<S> {
    fn clone(&self) -> Self {
        Self { live: self.live.clone(), socket: PhantomData }
    }
}

impl<S: Socket + fmt::Debug> Opener for TlsOpener<S> {
    type Raw = S;
    type Stream = Sealed<S>;
    const KNOWS_PEER: bool = true;

    fn open_at_once(&self, raw: S) -> Result<Sealed<S>, S> {
        Err(raw)
    }

    async fn open(self, raw: S, arrival: &mut Arrival) -> Result<Sealed<S>, Unopened> {
        arrival.stage = Stage::Handshake;
        let mut first = [0; TELLING];
        let len = peek(&raw, &mut first);
        let first = &first[..len];
        let instead = Instead::of(first);
        // An alert is TLS too.
        let is_tls = instead == Instead::Foreign(Foreign::Tls);
        if first.first().is_some_and(|&kind| kind != HANDSHAKE) && !is_tls {
            // A plain client can read a plain word, and a TLS alert it can't.
            let error = OpenError::Tls(TlsError::Plain(instead));
            let (reason, text) = (Reason::Protocol, error.to_string());
            let farewell = Direct::<S>::farewell(reason, &text, arrival.has_control);
            return Err(Unopened { error, leave: Some(leave(raw, farewell)) });
        }
        match self.live.acceptor().accept(raw).into_fallible().await {
            Ok(stream) => {
                let session = stream.get_ref().1;
                arrival.handshake = Some(told(session));
                if let Some(name) = client_of(session) {
                    let peer = arrival.peer.clone();
                    arrival.peer = Peer::Certified(Box::new(Certified { peer, name }));
                }
                Ok(Sealed::new(stream))
            }
            Err((error, mut raw)) => Err(Unopened {
                error: TlsError::of(error),
                // The alert is on its way, and a reset must not destroy it.
                leave: Some(Box::pin(async move { linger(&mut raw).await })),
            }),
        }
    }

    /// A fatal alert.
    fn farewell(reason: Reason, _text: &str, _has_control: bool) -> Vec<u8> {
        let alert = match reason {
            Reason::Denied => ACCESS_DENIED,
            Reason::Protocol => UNEXPECTED_MESSAGE,
            _ => INTERNAL_ERROR,
        };
        vec![ALERT, 3, 3, 0, 2, FATAL, alert]
    }
}

/// Whom the client's certificate names, if it has shown one. A session that goes on has that of the
/// earlier one.
fn client_of(session: &ServerConnection) -> Option<Box<str>> {
    identity::name_of(session.peer_certificates()?.first()?)
}

/// What was agreed upon, for the log.
fn told(session: &ServerConnection) -> Handshake {
    let version = match session.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "1.3",
        _ => "1.2",
    };
    let cipher = session.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
    Handshake {
        version,
        cipher: cipher.unwrap_or_default(),
        is_resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
    }
}
