//! Who is at the other end of a connection.

use std::fmt;
use std::net::SocketAddr;

/// Who a connection is with, as far as its transport tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Peer {
    /// An address and a port.
    Socket(SocketAddr),
    /// A process of this machine, which has no address.
    Unix(Credentials),
    /// Somebody behind a balancer. In a box: it would be twice as large as the others.
    Behind(Box<Behind>),
    /// Somebody who has shown a certificate. In a box, as above.
    Certified(Box<Certified>),
}

/// A client that a balancer has named in its PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Behind {
    /// The client itself, as far as the balancer is to be believed.
    pub client: SocketAddr,
    /// The balancer.
    pub via: SocketAddr,
}

/// A peer with the certificate that it has shown in its TLS handshake, and had to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Certified {
    /// Who it is besides.
    pub peer: Peer,
    /// Whom the certificate names: its subject, as RFC 4514 writes it, or, where that has no common
    /// name, another one with its kind before it (`URI:`, `DNS:`, `email:`). Of a longer one the
    /// first 256 bytes.
    pub name: Box<str>,
}

/// A process, as the system saw it when it connected (`SO_PEERCRED`, unix(7)). It may have ended
/// since, or have handed its end of the connection to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Credentials {
    /// Its number, if it has one here: in another namespace of processes it has not.
    pub pid: Option<u32>,
    /// Its effective user.
    pub uid: u32,
    /// Its effective group.
    pub gid: u32,
}

impl Peer {
    /// The client's own, if it has one.
    pub const fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Socket(address) => Some(*address),
            Self::Behind(behind) => Some(behind.client),
            Self::Certified(certified) => certified.peer.address(),
            Self::Unix(_) => None,
        }
    }

    /// The balancer's, if the client came through one.
    pub const fn via(&self) -> Option<SocketAddr> {
        match self {
            Self::Behind(behind) => Some(behind.via),
            Self::Certified(certified) => certified.peer.via(),
            Self::Socket(_) | Self::Unix(_) => None,
        }
    }

    /// Those of a process of this machine.
    pub const fn credentials(&self) -> Option<Credentials> {
        match self {
            Self::Unix(credentials) => Some(*credentials),
            Self::Certified(certified) => certified.peer.credentials(),
            Self::Socket(_) | Self::Behind(_) => None,
        }
    }

    /// Whom its certificate names, if it has shown one.
    pub const fn certificate(&self) -> Option<&str> {
        match self {
            Self::Certified(certified) => Some(&certified.name),
            Self::Socket(_) | Self::Unix(_) | Self::Behind(_) => None,
        }
    }
}

impl fmt::Display for Peer {
    /// `127.0.0.1:54058`, or `unix`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(address) => address.fmt(f),
            Self::Behind(behind) => behind.client.fmt(f),
            Self::Certified(certified) => certified.peer.fmt(f),
            Self::Unix(_) => f.pad("unix"),
        }
    }
}
