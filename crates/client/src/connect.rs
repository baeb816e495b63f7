//! From an endpoint to a connection on which frames can be sent.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio::time::{Instant, sleep, timeout_at};
use volley_proto::{Address, Endpoint, MaxFrame, ReplyKind, UnixAddress};

use crate::datagram_stream::DatagramStream;
use crate::datagrams::{LONGEST, connected};
use crate::deadline::deadline;
use crate::error::Error;
use crate::framing::Framing;
use crate::greeting::greet;
use crate::local::bind_address;
use crate::options::Options;
use crate::proxy_header::ProxyHeader;
use crate::resolve::{candidates, no_address, resolve};
use crate::stream::{Stream, StreamAddress};
use crate::tls::{Tls, shake_hands};

/// The pauses before a Unix socket whose backlog is full is tried again, doubled each time: short
/// beside what a server takes to accept, until it seems to be stuck.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// A stream to a server on which frames can be sent, for those who have a frame path of their own.
/// Others use [`Connection`](crate::Connection).
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
