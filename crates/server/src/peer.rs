//! Who is at the other end of a connection.

use std::fmt;
use std::net::SocketAddr;

/// Who a connection is with, as far as its transport tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Peer {
    /// An address and a port.
    Socket(SocketAddr),
    /// A process of this machine, which has no address.
    Unix(Credentials),
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
    /// Those of a process of this machine.
    pub const fn credentials(&self) -> Option<Credentials> {
        match self {
            Self::Unix(credentials) => Some(*credentials),
            Self::Socket(_) => None,
        }
    }
}

impl fmt::Display for Peer {
    /// `127.0.0.1:54058`, or `unix`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(address) => address.fmt(f),
            Self::Unix(_) => f.pad("unix"),
        }
    }
}
