//! From endpoints to listeners, all or none. A socket that was passed to this process serves the
//! listener of its name, else the one whose address it has; the others are bound.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use tokio::net::{TcpListener, lookup_host};
use tracing::warn;
use volley_cli::Exit;
use volley_proto::{Address, Endpoint};
use volley_server::bind;

use crate::handover::Heirloom;
use crate::inherit::{BOUND, InheritError, Inherited, Passed};

/// A listener that is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) endpoint: Endpoint,
    /// By which a service manager's socket can be meant for it.
    pub(crate) name: Option<String>,
}

/// A socket that accepts connections.
#[derive(Debug)]
pub(crate) struct Listener {
    /// Which of those that were asked for it is; their order is kept.
    pub(crate) wanted: usize,
    pub(crate) address: SocketAddr,
    /// What a service manager calls its socket, or its own name; may be empty.
    pub(crate) name: String,
    /// Whether somebody else keeps the socket after this process.
    pub(crate) is_kept: bool,
    pub(crate) socket: TcpListener,
}

/// Why the daemon can't listen where it was told to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    #[error("cannot listen on {endpoint}: the name is not known: {source}")]
    Resolve { endpoint: Endpoint, source: io::Error },
    #[error("cannot listen on {endpoint}{}: {source}", at(endpoint, *address))]
    Bind { endpoint: Endpoint, address: SocketAddr, source: io::Error },
    #[error("cannot listen on {endpoint}: the transport is not supported")]
    Unsupported { endpoint: Endpoint },
    #[error("cannot listen on the socket that was passed as `{name}`: {source}")]
    Adopt { name: String, source: io::Error },
    #[error(transparent)]
    Inherit(#[from] InheritError),
}

impl ListenError {
    pub(crate) const fn exit(&self) -> Exit {
        match self {
            Self::Resolve { .. } => Exit::NoHost,
            Self::Bind { .. } | Self::Adopt { .. } => Exit::Unavailable,
            Self::Unsupported { .. } => Exit::Usage,
            Self::Inherit(error) => error.exit(),
        }
    }
}

impl Listener {
    fn adopt(wanted: usize, passed: Passed<std::net::TcpListener>) -> Result<Self, ListenError> {
        let Passed { name, is_kept, socket } = passed;
        let adopted = socket
            .set_nonblocking(true)
            .and_then(|()| Ok((socket.local_addr()?, TcpListener::from_std(socket)?)));
        match adopted {
            Ok((address, socket)) => Ok(Self { wanted, address, name, is_kept, socket }),
            Err(source) => Err(ListenError::Adopt { name, source }),
        }
    }

    /// The same socket, for the process that takes the place of this one.
    pub(crate) fn heirloom(&self) -> io::Result<Heirloom> {
        let before = if self.is_kept { "" } else { BOUND };
        let socket = self.socket.as_fd().try_clone_to_owned()?;
        Ok(Heirloom { name: format!("{before}{}", self.name), socket })
    }
}

/// A socket that is going to accept connections.
#[derive(Debug)]
enum Place {
    Passed(Passed<std::net::TcpListener>),
    ToBind(SocketAddr),
}

/// Listens where it is `wanted`, at a name at each of its addresses; when nothing is, on all
/// sockets that were passed, or else on [`Endpoint::DEFAULT`].
pub(crate) async fn listen(
    wanted: &[Wanted],
    mut inherited: Inherited,
) -> Result<Vec<Listener>, ListenError> {
    let default = [Wanted { endpoint: Endpoint::DEFAULT, name: None }];
    let mut places = Vec::new();
    if wanted.is_empty() {
        places.extend(inherited.take_all().into_iter().map(|passed| (0, Place::Passed(passed))));
    }
    let wanted = if wanted.is_empty() { &default } else { wanted };
    if places.is_empty() {
        places = find_places(wanted, &mut inherited).await?;
    }
    for Passed { name, socket, .. } in inherited.take_left_over() {
        warn!(name, %socket, "closing a listener of the old process: nothing wants it any more");
    }
    inherited.finish()?;
    let listener = |(index, place)| match place {
        Place::Passed(passed) => Listener::adopt(index, passed),
        Place::ToBind(address) => bind_at(&wanted[index], index, address),
    };
    places.into_iter().map(listener).collect()
}

/// Finds out where to listen, for each of those that are `wanted`, and with which of the passed
/// sockets.
async fn find_places(
    wanted: &[Wanted],
    inherited: &mut Inherited,
) -> Result<Vec<(usize, Place)>, ListenError> {
    let mut places = Vec::new();
    for (index, Wanted { endpoint, name }) in wanted.iter().enumerate() {
        let named = name.as_deref().map(|name| inherited.take_named(name)).unwrap_or_default();
        if named.is_empty() {
            let addresses = resolve(endpoint).await?.into_iter();
            places.extend(addresses.map(|address| (index, Place::ToBind(address))));
        }
        places.extend(named.into_iter().map(|passed| (index, Place::Passed(passed))));
    }
    // Whoever takes any port must not take one that another asks for.
    for any_port in [false, true] {
        for (_, place) in &mut places {
            if let Place::ToBind(address) = *place
                && (address.port() == 0) == any_port
                && let Some(passed) = inherited.take_at(address)
            {
                *place = Place::Passed(passed);
            }
        }
    }
    Ok(places)
}

fn bind_at(wanted: &Wanted, index: usize, address: SocketAddr) -> Result<Listener, ListenError> {
    let bound = bind(address).and_then(|socket| Ok((socket.local_addr()?, socket)));
    match bound {
        Ok((address, socket)) => {
            let name = wanted.name.clone().unwrap_or_default();
            Ok(Listener { wanted: index, address, name, is_kept: false, socket })
        }
        Err(source) => {
            Err(ListenError::Bind { endpoint: wanted.endpoint.clone(), address, source })
        }
    }
}

/// The addresses that an endpoint stands for: several where a name has several.
pub(crate) async fn resolve(endpoint: &Endpoint) -> Result<Vec<SocketAddr>, ListenError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(endpoint: &str, name: Option<&str>) -> Wanted {
        Wanted { endpoint: endpoint.parse().unwrap(), name: name.map(str::to_owned) }
    }

    fn passed(name: &str) -> (Inherited, SocketAddr) {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        (Inherited::one(name, socket), address)
    }

    #[tokio::test]
    async fn a_passed_socket_serves_the_listener_of_its_name_wherever_it_is() {
        let (inherited, address) = passed("public");
        // The other one would take it for its address.
        let wanted = [
            wanted(&address.to_string(), Some("private")),
            wanted("192.0.2.1:7007", Some("public")),
        ];
        // So it can't be bound any more.
        assert!(matches!(listen(&wanted, inherited).await, Err(ListenError::Bind { .. })));
        let (inherited, address) = passed("public");
        let listeners = listen(&wanted[1..], inherited).await.unwrap();
        assert_eq!((listeners.len(), listeners[0].address), (1, address));
        assert!(listeners[0].is_kept);
        assert_eq!(listeners[0].heirloom().unwrap().name, "public");
    }

    #[tokio::test]
    async fn what_is_bound_is_left_to_nobody_but_a_successor() {
        let wanted = [wanted("127.0.0.1:0", Some("public"))];
        let listeners = listen(&wanted, Inherited::default()).await.unwrap();
        assert!(!listeners[0].is_kept);
        assert_eq!(listeners[0].heirloom().unwrap().name, "volleyd-bound.public");
    }
}
