//! A look at a listener as its clients see it: does a frame come back?

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use volley_proto::{Control, FrameError, MaxFrame, Parsed, Text, encode_data, parse};

/// What a probe calls itself in HELLO, so that the log and the list of connections tell it from
/// clients.
pub(crate) const NAME: &str = "probe";

/// Why a listener is taken for dead.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProbeError {
    #[error("no reply within {0:?}")]
    TimedOut(Duration),
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    #[error("the connection failed: {0}")]
    Io(#[source] io::Error),
    #[error("the connection was closed before the reply came")]
    Closed,
    #[error("what came is no frame: {0}")]
    NoFrame(#[source] FrameError),
}

/// Connects to the listener at `address`, says HELLO, sends an empty frame and awaits its reply.
/// An ERROR will do as well: a server that says that it is busy is alive.
///
/// # Errors
///
/// [`ProbeError`] when no reply came within `limit`.
pub(crate) async fn round_trip(address: SocketAddr, limit: Duration) -> Result<(), ProbeError> {
    timeout(limit, exchange(reachable(address))).await.unwrap_or(Err(ProbeError::TimedOut(limit)))
}

async fn exchange(address: SocketAddr) -> Result<(), ProbeError> {
    let mut stream = TcpStream::connect(address).await.map_err(ProbeError::Connect)?;
    let mut bytes = Vec::new();
    Control::Hello { wanted: None, name: Text::new(NAME) }.encode(&mut bytes);
    // Empty, as no listener has a limit below that.
    encode_data(b"", &mut bytes);
    // A server that refuses may have closed already; what it said counts.
    let written = stream.write_all(&bytes).await;
    bytes.clear();
    loop {
        if is_answered(&mut bytes)? {
            return Ok(());
        }
        match (stream.read_buf(&mut bytes).await, &written) {
            (Ok(0), Ok(())) => return Err(ProbeError::Closed),
            (Ok(1..), _) => {}
            (Err(error), _) => return Err(ProbeError::Io(error)),
            (Ok(0), Err(error)) => return Err(ProbeError::Io(error.kind().into())),
        }
    }
}

/// Takes whole frames off the front, up to the one that ends the probe.
fn is_answered(bytes: &mut Vec<u8>) -> Result<bool, ProbeError> {
    loop {
        match parse(bytes, MaxFrame::DEFAULT).map_err(ProbeError::NoFrame)? {
            Parsed::Data(_) | Parsed::Control { control: Control::Error { .. }, .. } => {
                return Ok(true);
            }
            // WELCOME, and GOAWAY where the listener drains: its reply still comes.
            Parsed::Control { frame_len, .. } => drop(bytes.drain(..frame_len)),
            Parsed::Incomplete { .. } => return Ok(false),
        }
    }
}

/// Where a listener at `address` is reached from its own machine.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}
