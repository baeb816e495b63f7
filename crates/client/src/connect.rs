//! From an endpoint to a connection on which frames can be sent.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::StreamExt;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UnixStream, lookup_host};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::codec::FramedRead;
use volley_proto::{
    Address, CodecError, Control, Endpoint, Frame, FrameCodec, MaxFrame, ReplyKind, Text,
    UnixAddress,
};

use crate::connection::{Connection, Terms};
use crate::datagram_stream::DatagramStream;
use crate::datagrams::{LONGEST, connected};
use crate::deadline::deadline;
use crate::error::{Error, ProtocolError};
use crate::framing::Framing;
use crate::local::bind_address;
use crate::proxy_header::ProxyHeader;
use crate::stream::{Stream, StreamAddress};
use crate::tap::{Direction, Passing, Tap};
use crate::tls::{Tls, shake_hands};

/// The pauses before a Unix socket whose backlog is full is tried again, doubled each time: short
/// beside what a server takes to accept, until it seems to be stuck.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

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
}

/// A stream to a server on which frames can be sent, for those who have a frame path of their own.
/// Others use [`Connection`].
///
/// To [`Endpoint::Udp`] each frame goes as a datagram, and each datagram that comes is a frame: in
/// any order, twice or never. Such a stream takes whole data frames only, and wants 129 KiB of room
/// to be read into. HELLO is not sent.
#[derive(Debug)]
#[non_exhaustive]
pub struct Opened {
    /// The connected stream, of TCP with `TCP_NODELAY` set, behind HELLO and WELCOME.
    pub stream: Stream,
    /// What came behind WELCOME already.
    pub early: BytesMut,
    /// The replies to expect.
    pub reply: ReplyKind,
    /// The longest payload that can be sent.
    pub max_frame: MaxFrame,
}

/// Connects to the first address of `endpoint` that answers and, unless told not to, greets the
/// server and awaits its WELCOME.
///
/// # Errors
///
/// [`Error::Resolve`], [`Error::Bind`], [`Error::Family`], [`Error::Connect`],
/// [`Error::ConnectTimedOut`], [`Error::Tls`], [`Error::Refused`] by a server that says why, [`Error::NoWelcome`]
/// from one that does not know HELLO, [`Error::Protocol`] from one that speaks something else.
pub async fn open(endpoint: &Endpoint, options: &Options) -> Result<Opened, Error> {
    let deadline = deadline(Instant::now(), options.connect_timeout);
    let late = |awaited| Error::ConnectTimedOut {
        endpoint: endpoint.clone(),
        awaited,
        after: options.connect_timeout,
    };
    let mut stream = match endpoint {
        Endpoint::Tcp(address) | Endpoint::Tls(address) => {
            let resolve = resolve(endpoint, address);
            let addresses = timeout_at(deadline, resolve).await.map_err(|_| late("address"))??;
            let connect = connect_to_any(endpoint, &addresses, options.local);
            let mut stream =
                timeout_at(deadline, connect).await.map_err(|_| late("connection"))??;
            // A lost delay is no reason to give up a connection that works.
            let _ = stream.set_nodelay(true);
            if let Some(header) = &options.proxy_header {
                let ends = (stream.local_addr(), stream.peer_addr());
                let announce = announce(&mut stream, ends, header);
                timeout_at(deadline, announce).await.map_err(|_| late("connection"))??;
            }
            if let Endpoint::Tls(_) = endpoint {
                let secure = secure(endpoint, address, stream, options);
                timeout_at(deadline, secure).await.map_err(|_| late("TLS handshake"))??
            } else {
                Stream::from(stream)
            }
        }
        Endpoint::Unix(address) => {
            let connect = connect_to_path(endpoint, address, options.local);
            let connected = timeout_at(deadline, connect).await;
            let mut stream = connected.map_err(|_| late("connection"))??;
            if let Some(header) = &options.proxy_header {
                let ends = (stream.local_addr(), stream.peer_addr());
                let announce = announce(&mut stream, ends, header);
                timeout_at(deadline, announce).await.map_err(|_| late("connection"))??;
            }
            stream.into()
        }
        Endpoint::Udp(_) => {
            let (socket, _) = connected(endpoint, options).await?;
            let stream = DatagramStream::new(socket);
            let stream = stream.map_err(|source| Error::Send { source })?.into();
            let (early, reply) = (BytesMut::new(), options.reply);
            return Ok(Opened { stream, early, reply, max_frame: LONGEST });
        }
        _ => return Err(Error::Unsupported { endpoint: endpoint.clone() }),
    };
    if let Some(tap) = &options.tap {
        tap.connected(&stream);
    }
    let hello = options.hello.as_ref().filter(|_| options.framing == Framing::Frames);
    let Some(hello) = hello else {
        let (reply, max_frame) = (options.reply, options.max_frame);
        return Ok(Opened { stream, early: BytesMut::new(), reply, max_frame });
    };
    let greeting = greet(&mut stream, hello, options.tap.as_deref());
    let greeted = timeout_at(deadline, greeting).await.map_err(|_| late("WELCOME"))?;
    let (terms, early) = greeted.map_err(|error| of_tls(error, endpoint))?;
    Ok(Opened { stream, early, reply: terms.reply, max_frame: terms.max_frame })
}

/// Sends the PROXY header of a connection between these ends.
async fn announce<A: Into<StreamAddress>>(
    stream: &mut (impl AsyncWrite + Unpin),
    ends: (io::Result<A>, io::Result<A>),
    header: &ProxyHeader,
) -> Result<(), Error> {
    let send = async {
        let bytes = header.encode(&ends.0?.into(), &ends.1?.into())?;
        stream.write_all(&bytes).await
    };
    send.await.map_err(|source| Error::Send { source })
}

/// Makes a TLS connection of one of TCP.
async fn secure(
    endpoint: &Endpoint,
    address: &Address,
    stream: TcpStream,
    options: &Options,
) -> Result<Stream, Error> {
    let tls = match &options.tls {
        Some(tls) => tls.clone(),
        None => Tls::system()?,
    };
    let host = match address {
        Address::Socket(address) => address.ip().to_string(),
        Address::Name { host, .. } => host.clone(),
    };
    let secured = shake_hands(&tls, &host, stream).await;
    secured.map(Stream::from).map_err(|fault| Error::Tls { endpoint: endpoint.clone(), fault })
}

/// In TLS 1.3 a server looks at the client's certificate when the client takes the handshake for
/// done: what it says of it comes in place of WELCOME.
fn of_tls(error: Error, endpoint: &Endpoint) -> Error {
    match error {
        Error::Io { source, answered, outstanding } => match source.downcast() {
            Ok(fault) => Error::Tls { endpoint: endpoint.clone(), fault },
            Err(source) => Error::Io { source, answered, outstanding },
        },
        error => error,
    }
}

/// Sends HELLO and awaits WELCOME; returns what came behind it too.
async fn greet(
    stream: &mut Stream,
    hello: &Hello,
    tap: Option<&dyn Tap>,
) -> Result<(Terms, BytesMut), Error> {
    let name = Text::new(hello.name.as_str());
    let mut bytes = Vec::new();
    let hello = Control::Hello { wanted: hello.wanted, name };
    hello.encode(&mut bytes);
    if let Some(tap) = tap {
        tap.pass(Direction::Out, Passing::Control(&hello));
    }
    // If it can't be written the server may still have said why.
    let sent = async {
        stream.write_all(&bytes).await?;
        stream.flush().await
    };
    let sent = sent.await;
    let mut frames = FramedRead::new(stream, FrameCodec::new(MaxFrame::CEILING));
    let answer = frames.next().await;
    if let Some(tap) = tap {
        show_answer(tap, answer.as_ref());
    }
    let terms = read_welcome(answer, sent)?;
    Ok((terms, std::mem::take(frames.read_buffer_mut())))
}

pub(crate) async fn resolve(
    endpoint: &Endpoint,
    address: &Address,
) -> Result<Vec<SocketAddr>, Error> {
    let unknown = |source| Error::Resolve { endpoint: endpoint.clone(), source };
    match address {
        Address::Socket(address) => Ok(vec![*address]),
        Address::Name { host, port } => {
            Ok(lookup_host((host.as_str(), *port)).await.map_err(unknown)?.collect())
        }
    }
}

async fn connect_to_any(
    endpoint: &Endpoint,
    addresses: &[SocketAddr],
    local: Option<IpAddr>,
) -> Result<TcpStream, Error> {
    let mut failed = no_address(endpoint, addresses, local);
    for address in candidates(addresses, local) {
        match connect_to(endpoint, address, local).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// The addresses that can be reached from `local`, if that is given: those of its family.
pub(crate) fn candidates(
    addresses: &[SocketAddr],
    local: Option<IpAddr>,
) -> impl Iterator<Item = SocketAddr> {
    let fits = move |to: &SocketAddr| local.is_none_or(|local| local.is_ipv4() == to.is_ipv4());
    addresses.iter().copied().filter(fits)
}

/// Why no address is tried, if none is.
pub(crate) fn no_address(
    endpoint: &Endpoint,
    addresses: &[SocketAddr],
    local: Option<IpAddr>,
) -> Error {
    let endpoint = endpoint.clone();
    match local {
        Some(local) if !addresses.is_empty() => Error::Family { endpoint, local },
        _ => {
            let source = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            Error::Resolve { endpoint, source }
        }
    }
}

async fn connect_to(
    endpoint: &Endpoint,
    address: SocketAddr,
    local: Option<IpAddr>,
) -> Result<TcpStream, Error> {
    let failed =
        |source| Error::Connect { endpoint: endpoint.clone(), address: Some(address), source };
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let socket = socket.map_err(failed)?;
    if let Some(local) = local {
        bind_address(&socket, local).map_err(|source| Error::Bind { local, source })?;
    }
    socket.connect(address).await.map_err(failed)
}

/// Connects to a Unix socket. A backlog that is full is told at once there, where TCP tries again
/// by itself: so it is tried again here, until the deadline.
async fn connect_to_path(
    endpoint: &Endpoint,
    address: &UnixAddress,
    local: Option<IpAddr>,
) -> Result<UnixStream, Error> {
    if let Some(local) = local {
        return Err(Error::Family { endpoint: endpoint.clone(), local });
    }
    let path = address.sun_path();
    let mut pause = FIRST_PAUSE;
    loop {
        match UnixStream::connect(&path).await {
            Ok(stream) => return Ok(stream),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                sleep(pause).await;
                pause = (2 * pause).min(LONGEST_PAUSE);
            }
            Err(source) => {
                return Err(Error::Connect { endpoint: endpoint.clone(), address: None, source });
            }
        }
    }
}

fn show_answer(tap: &dyn Tap, answer: Option<&Result<Frame, CodecError>>) {
    let passing = match answer {
        Some(Ok(Frame::Control(control))) => Passing::Control(control),
        Some(Ok(Frame::Data(payload))) => Passing::Data { seq: 1, payload },
        Some(Err(_)) => return,
        None => Passing::End,
    };
    tap.pass(Direction::In, passing);
}

fn read_welcome(
    answer: Option<Result<Frame, CodecError>>,
    sent: io::Result<()>,
) -> Result<Terms, Error> {
    let no_welcome = |answer| Err(Error::NoWelcome { answer });
    match answer {
        Some(Ok(Frame::Control(Control::Welcome { granted, max_frame, .. }))) => {
            Ok(Terms { reply: granted, max_frame })
        }
        Some(Ok(Frame::Control(Control::Error { reason, last_seq, text }))) => {
            Err(Error::Refused { reason, last_seq, text: text.to_string() })
        }
        Some(Ok(Frame::Control(Control::Hello { .. }))) => no_welcome("an echo of it"),
        Some(Ok(Frame::Control(Control::GoAway { .. }))) => no_welcome("GOAWAY"),
        Some(Ok(Frame::Data(_))) => no_welcome("a data frame"),
        Some(Err(CodecError::Frame(error))) => Err(ProtocolError::from(error).into()),
        Some(Err(CodecError::Io(error))) if error.kind() != io::ErrorKind::ConnectionReset => {
            Err(Error::Io { answered: 0, outstanding: 0, source: error })
        }
        end @ (None | Some(Err(_))) => match sent {
            Ok(()) => no_welcome(if end.is_none() { "a close" } else { "a reset" }),
            Err(source) => Err(Error::Send { source }),
        },
    }
}
