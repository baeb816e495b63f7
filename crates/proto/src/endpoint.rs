//! Where to listen or connect, as people write it.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;

use crate::UnixAddress;

/// A transport and an address: `127.0.0.1:7007`, `[::1]:7007`, `host:7007`, `tcp://…`, `tls://…`,
/// `udp://…`, `unix:/path`.
///
/// [`fmt::Display`] gives the full form, which parses back to the same endpoint. Whether a program
/// speaks a transport is for the program to say.
///
/// # Examples
///
/// ```
/// use volley_proto::Endpoint;
///
/// let endpoint: Endpoint = "[::1]:7007".parse()?;
/// assert_eq!(endpoint.to_string(), "tcp://[::1]:7007");
/// # Ok::<(), volley_proto::EndpointError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// TCP, the scheme when none is given.
    Tcp(Address),
    /// TLS over TCP.
    Tls(Address),
    /// UDP.
    Udp(Address),
    /// A Unix socket of the stream kind.
    Unix(UnixAddress),
}

impl Endpoint {
    /// The default of all three programs: `tcp://127.0.0.1:7007`.
    pub const DEFAULT: Self = Self::Tcp(Address::Socket(SocketAddr::new(
        std::net::IpAddr::V4(Ipv4Addr::LOCALHOST),
        Self::DEFAULT_PORT,
    )));

    /// The port of [`Endpoint::DEFAULT`], where most servers listen.
    pub const DEFAULT_PORT: u16 = 7007;

    /// What its text begins with: `tcp://`.
    pub const fn scheme(&self) -> &'static str {
        match self {
            Self::Tcp(_) => "tcp://",
            Self::Tls(_) => "tls://",
            Self::Udp(_) => "udp://",
            Self::Unix(_) => UNIX,
        }
    }
}

/// The scheme that needs no slashes: no host stands before a path.
const UNIX: &str = "unix:";

impl Default for Endpoint {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A host and a port. A name is not resolved here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IP address, IPv6 with its zone if it has one, and a port.
    Socket(SocketAddr),
    /// A DNS name and a port.
    Name {
        /// The name as it was written; legal by RFC 1123, underscores allowed.
        host: String,
        /// The port; 0 lets the system choose when listening.
        port: u16,
    },
}

impl Address {
    /// The port.
    pub const fn port(&self) -> u16 {
        match self {
            Self::Socket(address) => address.port(),
            Self::Name { port, .. } => *port,
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Socket(address)
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address.into())
    }
}

impl From<UnixAddress> for Endpoint {
    fn from(address: UnixAddress) -> Self {
        Self::Unix(address)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.scheme())?;
        match self {
            Self::Tcp(address) | Self::Tls(address) | Self::Udp(address) => address.fmt(f),
            Self::Unix(address) => address.fmt(f),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(address) => address.fmt(f),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

/// A text that is no endpoint, and how to write the one that was meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// Nothing, or nothing behind the scheme.
    #[error("empty endpoint: write for example 127.0.0.1:7007")]
    Empty,
    /// A scheme that no version of Volley knows.
    #[error("unknown scheme `{scheme}`: there are tcp://, tls://, udp:// and unix:")]
    UnknownScheme {
        /// What stands before `://`.
        scheme: String,
    },
    /// A path, or an abstract name, without its scheme.
    #[error("`{text}` has no scheme: write unix:{text}")]
    MissingScheme {
        /// What was given.
        text: String,
    },
    /// No `:PORT` at the end.
    #[error("`{address}` has no port: write {address}:7007")]
    MissingPort {
        /// What was given, without its scheme.
        address: String,
    },
    /// Nothing before the port.
    #[error("`:{port}` has no host: write 127.0.0.1:{port}")]
    MissingHost {
        /// What stands behind the colon.
        port: u16,
    },
    /// Something before or behind a host and a port, perhaps another endpoint.
    #[error("`{address}` is more than a host and a port: write for example localhost:7007")]
    MoreThanOne {
        /// What was given, without its scheme.
        address: String,
    },
    /// A port that is no number from 0 to 65535.
    #[error("`{port}` is no port: it must be a number from 0 to 65535")]
    Port {
        /// What stands behind the last colon.
        port: String,
    },
    /// An IPv6 address without brackets, or brackets around something else.
    #[error("`{address}`: write an IPv6 address in brackets and with a port, like [::1]:7007")]
    Brackets {
        /// What was given, without its scheme.
        address: String,
    },
    /// A host that is neither an IP address nor a DNS name.
    #[error("`{host}` is neither an IP address nor a DNS name")]
    Host {
        /// What stands before the port.
        host: String,
    },
    /// Nothing behind `unix:`, or a path that is a directory's.
    #[error("`unix:{text}` names no socket: write for example unix:/run/volley.sock")]
    UnixPath {
        /// What stands behind the scheme.
        text: String,
    },
    /// `unix://` and a path that is not absolute: its first part would be a host.
    #[error("`unix://{path}` has a host: write unix:/{path}, or unix:{path} for a relative path")]
    UnixHost {
        /// What stands behind the slashes.
        path: String,
    },
    /// A path or an abstract name that no Unix socket can have.
    #[error(
        "a Unix socket's {noun} has at most {} bytes, and this one has {len}",
        UnixAddress::LONGEST
    )]
    UnixTooLong {
        /// `path` or `name`.
        noun: &'static str,
        /// Its length in bytes.
        len: usize,
    },
    /// A path or an abstract name that could not be told in one line.
    #[error("a Unix socket's {noun} can't have control characters here")]
    UnixControl {
        /// `path` or `name`.
        noun: &'static str,
    },
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        if let Some((scheme, path)) = text.split_at_checked(UNIX.len())
            && scheme.eq_ignore_ascii_case(UNIX)
        {
            return Ok(Self::Unix(path.parse()?));
        }
        if ["/", "./", "../", "@"].iter().any(|start| text.starts_with(start)) {
            return Err(EndpointError::MissingScheme { text: text.to_owned() });
        }
        let Some((scheme, address)) = text.split_once("://") else {
            return Ok(Self::Tcp(text.parse()?));
        };
        let transport = match scheme.to_ascii_lowercase().as_str() {
            "tcp" => Self::Tcp,
            "tls" => Self::Tls,
            "udp" => Self::Udp,
            _ => return Err(EndpointError::UnknownScheme { scheme: scheme.to_owned() }),
        };
        Ok(transport(address.parse()?))
    }
}

impl FromStr for Address {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        if text.is_empty() {
            return Err(EndpointError::Empty);
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Socket(address));
        }
        let brackets = || EndpointError::Brackets { address: text.to_owned() };
        if text.starts_with('[') {
            // A good one has been taken above, so only a bad port is told apart from the rest.
            return Err(match text.rsplit_once("]:") {
                Some((_, port)) => parse_port(port).err().unwrap_or_else(brackets),
                None => brackets(),
            });
        }
        match text.matches(':').count() {
            0 if is_dns_name(text) || text.parse::<Ipv4Addr>().is_ok() => {
                return Err(EndpointError::MissingPort { address: text.to_owned() });
            }
            0 => return Err(EndpointError::Host { host: text.to_owned() }),
            1 => {}
            _ if looks_like_ipv6(text) => return Err(brackets()),
            _ => return Err(EndpointError::MoreThanOne { address: text.to_owned() }),
        }
        let (host, port) = text.split_once(':').ok_or_else(brackets)?;
        // The port first: an IPv4 address gets here only with a bad one.
        let port = parse_port(port)?;
        if host.is_empty() {
            return Err(EndpointError::MissingHost { port });
        }
        if !is_dns_name(host) {
            return Err(EndpointError::Host { host: host.to_owned() });
        }
        Ok(Self::Name { host: host.to_owned(), port })
    }
}

/// Whether all of it can stand in an IPv6 address, but for its zone.
fn looks_like_ipv6(text: &str) -> bool {
    let (address, _zone) = text.split_once('%').unwrap_or((text, ""));
    address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':' || b == b'.')
}

/// Digits only: `u16::from_str` would take a plus sign as well.
fn parse_port(port: &str) -> Result<u16, EndpointError> {
    let digits = port.bytes().all(|b| b.is_ascii_digit()).then_some(port);
    digits
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| EndpointError::Port { port: port.to_owned() })
}

/// RFC 1123, 2.1, with the underscores that service names use. A last label of digits only is a
/// mistyped IPv4 address.
fn is_dns_name(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.len() <= 253
        && host.split('.').all(is_label)
        && !host.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()))
}
