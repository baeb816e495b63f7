//! From an address as people write it to those of the network that can be tried.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::net::lookup_host;
use volley_proto::{Address, Endpoint};

use crate::error::Error;

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
