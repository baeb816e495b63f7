//! The PROXY header, which a balancer puts before everything else on a connection: who its client is
//! (<https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>). With one a client can play the
//! balancer before a server that expects it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::str::FromStr;

use ppp::{v1, v2};
use volley_proto::UnixAddress;

use crate::stream::StreamAddress;

/// Bytes of a Unix socket's address in version 2.
const UNIX_LEN: usize = 108;

/// A header to be sent on each connection: `v1`, `v2`, or either with addresses that stand in place of
/// the connection's own, as `v2=192.0.2.1:4711,198.51.100.7:7007`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyHeader {
    version: Version,
    source: Option<SocketAddr>,
    destination: Option<SocketAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// A text that is no [`ProxyHeader`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyHeaderError {
    /// Another version.
    #[error(
        "there are v1 and v2, and v2=SOURCE or v2=SOURCE,DESTINATION with addresses of your own"
    )]
    Version,
    /// What should be an address.
    #[error(
        "`{text}` is no address with a port: write for example 192.0.2.1:4711 or [2001:db8::1]:4711"
    )]
    Address {
        /// What was given.
        text: String,
    },
    /// Addresses of two families: a header has room for one.
    #[error("{source_address} and {destination} are of two families")]
    Families {
        /// The first one.
        source_address: SocketAddr,
        /// The second one.
        destination: SocketAddr,
    },
}

impl ProxyHeader {
    /// The bytes for a connection between these ends.
    ///
    /// # Errors
    ///
    /// None in practice: no header is longer than its length can say.
    pub(crate) fn encode(
        &self,
        local: &StreamAddress,
        peer: &StreamAddress,
    ) -> io::Result<Vec<u8>> {
        let ends = self.ends(local, peer);
        match self.version {
            Version::V1 => {
                // Of Unix sockets it has nothing to say.
                let addresses = ends.map_or(v1::Addresses::Unknown, v1::Addresses::from);
                Ok(addresses.to_string().into_bytes())
            }
            Version::V2 => {
                let addresses = ends.map_or_else(
                    || v2::Unix::new(sun_path(local), sun_path(peer)).into(),
                    v2::Addresses::from,
                );
                let command = v2::Version::Two | v2::Command::Proxy;
                v2::Builder::with_addresses(command, v2::Protocol::Stream, addresses).build()
            }
        }
    }

    /// Source and destination, of one family; `None` if they are Unix sockets.
    fn ends(
        &self,
        local: &StreamAddress,
        peer: &StreamAddress,
    ) -> Option<(SocketAddr, SocketAddr)> {
        let source = self.source.or(local.socket())?;
        // A Unix socket has no address to be reached at.
        let nowhere = SocketAddr::new(unspecified(source.ip()), 0);
        let destination = self.destination.or(peer.socket()).unwrap_or(nowhere);
        if source.is_ipv4() == destination.is_ipv4() {
            return Some((source, destination));
        }
        Some((mapped(source), mapped(destination)))
    }
}

const fn unspecified(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

/// An IPv4 address as one of IPv6 (RFC 4291, 2.5.5.2).
fn mapped(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    }
}

fn sun_path(address: &StreamAddress) -> [u8; UNIX_LEN] {
    let mut bytes = [0; UNIX_LEN];
    if let StreamAddress::Unix(Some(address)) = address {
        let path = UnixAddress::sun_path(address);
        let path = path.as_os_str().as_bytes();
        let len = path.len().min(UNIX_LEN);
        bytes[..len].copy_from_slice(&path[..len]);
    }
    bytes
}

impl FromStr for ProxyHeader {
    type Err = ProxyHeaderError;

    fn from_str(text: &str) -> Result<Self, ProxyHeaderError> {
        let (version, addresses) = text.split_once('=').unzip();
        let version = match version.unwrap_or(text) {
            "v1" => Version::V1,
            "v2" => Version::V2,
            _ => return Err(ProxyHeaderError::Version),
        };
        let parse = |text: &str| {
            text.parse::<SocketAddr>()
                .map_err(|_| ProxyHeaderError::Address { text: text.to_owned() })
        };
        let Some(addresses) = addresses else {
            return Ok(Self { version, source: None, destination: None });
        };
        let (source, destination) = match addresses.split_once(',') {
            Some((source, destination)) => (parse(source)?, Some(parse(destination)?)),
            None => (parse(addresses)?, None),
        };
        match destination {
            Some(destination) if source.is_ipv4() != destination.is_ipv4() => {
                Err(ProxyHeaderError::Families { source_address: source, destination })
            }
            _ => Ok(Self { version, source: Some(source), destination }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_are_no_header_say_how_one_is_written() {
        let told = |text: &str| text.parse::<ProxyHeader>().unwrap_err().to_string();
        assert!(told("v3").starts_with("there are v1 and v2"));
        assert!(told("").starts_with("there are v1 and v2"));
        assert!(told("v1=").starts_with("`` is no address with a port"));
        assert!(told("v1=192.0.2.1").starts_with("`192.0.2.1` is no address with a port"));
        assert_eq!(told("v2=192.0.2.1:1,[::1]:2"), "192.0.2.1:1 and [::1]:2 are of two families");
    }
}
