//! Where peers come from: those of one source share its limits.

use std::net::IpAddr;

use crate::Peer;

/// An IPv4 address, or the first 64 bits of an IPv6 address, which are what one host is commonly
/// given (RFC 4291, 2.5.4), or a user of this machine at a Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    V4([u8; 4]),
    /// The first 64 bits.
    V6([u8; 8]),
    /// The user's number.
    User([u8; 4]),
}

impl Source {
    pub(crate) fn of(peer: &Peer) -> Self {
        match peer {
            Peer::Socket(address) => address.ip().into(),
            Peer::Behind(behind) => behind.client.ip().into(),
            Peer::Certified(certified) => Self::of(&certified.peer),
            Peer::Unix(credentials) => Self::User(credentials.uid.to_ne_bytes()),
        }
    }
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.octets()),
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}
