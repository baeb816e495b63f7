//! From endpoints to bound listeners, all or none.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, lookup_host};
use volley_cli::Exit;
use volley_proto::{Address, Endpoint};
use volley_server::bind;

/// Why the daemon can't listen where it was told to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    #[error("cannot listen on {endpoint}: the name is not known: {source}")]
    Resolve { endpoint: Endpoint, source: io::Error },
    #[error("cannot listen on {endpoint}{}: {source}", at(endpoint, *address))]
    Bind { endpoint: Endpoint, address: SocketAddr, source: io::Error },
    #[error("cannot listen on {endpoint}: the transport is not supported")]
    Unsupported { endpoint: Endpoint },
}

impl ListenError {
    pub(crate) const fn exit(&self) -> Exit {
        match self {
            Self::Resolve { .. } => Exit::NoHost,
            Self::Bind { .. } => Exit::Unavailable,
            Self::Unsupported { .. } => Exit::Usage,
        }
    }
}

/// Binds every endpoint, a name at each of its addresses.
pub(crate) async fn bind_all(endpoints: &[Endpoint]) -> Result<Vec<TcpListener>, ListenError> {
    let mut listeners = Vec::new();
    for endpoint in endpoints {
        for address in resolve(endpoint).await? {
            let listener = bind(address).map_err(|source| ListenError::Bind {
                endpoint: endpoint.clone(),
                address,
                source,
            })?;
            listeners.push(listener);
        }
    }
    Ok(listeners)
}

async fn resolve(endpoint: &Endpoint) -> Result<Vec<SocketAddr>, ListenError> {
    match endpoint {
        Endpoint::Tcp(Address::Socket(address)) => Ok(vec![*address]),
        Endpoint::Tcp(Address::Name { host, port }) => {
            let unknown = |source| ListenError::Resolve { endpoint: endpoint.clone(), source };
            let mut addresses = Vec::new();
            for address in lookup_host((host.as_str(), *port)).await.map_err(unknown)? {
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
            Ok(addresses)
        }
        _ => Err(ListenError::Unsupported { endpoint: endpoint.clone() }),
    }
}

/// Behind a name, the address that could not be had.
fn at(endpoint: &Endpoint, address: SocketAddr) -> String {
    match endpoint {
        Endpoint::Tcp(Address::Name { .. }) => format!(" ({address})"),
        _ => String::new(),
    }
}
