//! From endpoints to listeners, all or none. A socket that was passed to this process serves the
//! listener of its name, else the one whose address it has; the others are bound.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

use tokio::net::{TcpListener, UdpSocket, UnixListener, lookup_host};
use tracing::warn;
use volley_cli::Exit;
use volley_proto::{Address, Endpoint, UnixAddress};
use volley_server::{UnixAccess, bind, bind_udp, bind_unix};

use crate::handover::Heirloom;
use crate::inherit::{self, BOUND, InheritError, Inherited, Passed};
use crate::socket_files;

/// A listener that is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) endpoint: Endpoint,
    /// By which a service manager's socket can be meant for it.
    pub(crate) name: Option<String>,
    /// Who may connect, if it is a Unix socket.
    pub(crate) access: UnixAccess,
}

/// A socket that accepts connections, or receives datagrams.
#[derive(Debug)]
pub(crate) struct Listener {
    /// Which of those that were asked for it is; their order is kept.
    pub(crate) wanted: usize,
    /// Where it listens, port 0 resolved.
    pub(crate) endpoint: Endpoint,
    /// What a service manager calls its socket, or its own name; may be empty.
    pub(crate) name: String,
    /// Whether somebody else keeps the socket after this process.
    pub(crate) is_kept: bool,
    pub(crate) socket: Socket,
}

/// What kind it is.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpListener),
    Udp(UdpSocket),
    Unix(UnixListener),
}

/// Why the daemon can't listen where it was told to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    #[error("cannot listen on {endpoint}: the name is not known: {source}")]
    Resolve { endpoint: Endpoint, source: io::Error },
    #[error("cannot listen on {endpoint}{}: {source}", at(endpoint, *address))]
    Bind { endpoint: Endpoint, address: SocketAddr, source: io::Error },
    #[error("cannot listen on unix:{address}: {source}")]
    Unix { address: UnixAddress, source: io::Error },
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
            Self::Bind { .. } | Self::Unix { .. } | Self::Adopt { .. } => Exit::Unavailable,
            Self::Unsupported { .. } => Exit::Usage,
            Self::Inherit(error) => error.exit(),
        }
    }
}

impl Listener {
    /// Takes a socket that was passed; `access` says who may connect from now on, if that is for
    /// this process to say.
    fn adopt(
        wanted: usize,
        passed: Passed,
        access: Option<UnixAccess>,
    ) -> Result<Self, ListenError> {
        let Passed { name, is_kept, socket } = passed;
        let adopted = socket.endpoint().and_then(|endpoint| Ok((endpoint, Socket::adopt(socket)?)));
        let (endpoint, socket) = match adopted {
            Ok(adopted) => adopted,
            Err(source) => return Err(ListenError::Adopt { name, source }),
        };
        if let Endpoint::Unix(address) = &endpoint
            && !is_kept
        {
            socket_files::borrow(address, access);
        }
        Ok(Self { wanted, endpoint, name, is_kept, socket })
    }

    /// A socket of TCP does not tell that TLS was asked for.
    fn speaking_as(mut self, wanted: &Endpoint) -> Self {
        if let (Endpoint::Tls(_), Endpoint::Tcp(address)) = (wanted, &self.endpoint) {
            self.endpoint = Endpoint::Tls(address.clone());
        }
        self
    }

    /// The same socket, for the process that takes the place of this one.
    pub(crate) fn heirloom(&self) -> io::Result<Heirloom> {
        let before = if self.is_kept { "" } else { BOUND };
        let socket = self.socket.as_fd().try_clone_to_owned()?;
        Ok(Heirloom { name: format!("{before}{}", self.name), socket })
    }
}

impl Socket {
    fn adopt(socket: inherit::Socket) -> io::Result<Self> {
        match socket {
            inherit::Socket::Tcp(socket) => {
                socket.set_nonblocking(true)?;
                TcpListener::from_std(socket).map(Self::Tcp)
            }
            inherit::Socket::Udp(socket) => {
                socket.set_nonblocking(true)?;
                UdpSocket::from_std(socket).map(Self::Udp)
            }
            inherit::Socket::Unix(socket) => {
                socket.set_nonblocking(true)?;
                UnixListener::from_std(socket).map(Self::Unix)
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Udp(socket) => socket.as_fd(),
            Self::Unix(socket) => socket.as_fd(),
        }
    }
}

/// A socket that is going to be served.
#[derive(Debug)]
enum Place {
    Passed(Passed),
    Tcp(SocketAddr),
    Udp(SocketAddr),
    Unix(UnixAddress),
}

impl Place {
    /// Where it is to be bound, if it is, and whether any port will do.
    fn to_bind(&self) -> Option<(Endpoint, bool)> {
        match self {
            Self::Passed(_) => None,
            Self::Tcp(address) => Some(((*address).into(), address.port() == 0)),
            Self::Udp(address) => Some((Endpoint::Udp((*address).into()), address.port() == 0)),
            Self::Unix(address) => Some((address.clone().into(), false)),
        }
    }
}

/// Listens where it is `wanted`, at a name at each of its addresses; when nothing is, on all
/// sockets that were passed, or else on [`Endpoint::DEFAULT`].
pub(crate) async fn listen(
    wanted: &[Wanted],
    mut inherited: Inherited,
) -> Result<Vec<Listener>, ListenError> {
    let access = UnixAccess::default();
    let default = [Wanted { endpoint: Endpoint::DEFAULT, name: None, access }];
    let is_asked_for = !wanted.is_empty();
    let mut places = Vec::new();
    if !is_asked_for {
        places.extend(inherited.take_all().into_iter().map(|passed| (0, Place::Passed(passed))));
    }
    let wanted = if is_asked_for { wanted } else { &default };
    if places.is_empty() {
        places = find_places(wanted, &mut inherited).await?;
    }
    for Passed { name, socket, .. } in inherited.take_left_over() {
        warn!(name, %socket, "closing a listener of the old process: nothing wants it any more");
        if let Ok(Endpoint::Unix(address)) = socket.endpoint() {
            socket_files::borrow(&address, None);
        }
    }
    inherited.finish()?;
    let listener = |(index, place)| {
        let wanted: &Wanted = &wanted[index];
        let listener = match place {
            Place::Passed(passed) => {
                Listener::adopt(index, passed, is_asked_for.then_some(wanted.access))
            }
            Place::Tcp(address) => bind_tcp_at(wanted, index, address),
            Place::Udp(address) => bind_udp_at(wanted, index, address),
            Place::Unix(address) => bind_unix_at(wanted, index, address),
        };
        listener.map(|listener| listener.speaking_as(&wanted.endpoint))
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
    for (index, Wanted { endpoint, name, .. }) in wanted.iter().enumerate() {
        let named = name.as_deref().map(|name| inherited.take_named(name)).unwrap_or_default();
        if !named.is_empty() {
            places.extend(named.into_iter().map(|passed| (index, Place::Passed(passed))));
        } else if let Endpoint::Unix(address) = endpoint {
            places.push((index, Place::Unix(address.clone())));
        } else {
            let place = match endpoint {
                Endpoint::Udp(_) => Place::Udp,
                _ => Place::Tcp,
            };
            let addresses = resolve(endpoint).await?.into_iter();
            places.extend(addresses.map(|address| (index, place(address))));
        }
    }
    // Whoever takes any port must not take one that another asks for.
    for any_port in [false, true] {
        for (_, place) in &mut places {
            if let Some((endpoint, takes_any)) = place.to_bind()
                && takes_any == any_port
                && let Some(passed) = inherited.take_at(&endpoint)
            {
                *place = Place::Passed(passed);
            }
        }
    }
    Ok(places)
}

fn bind_tcp_at(
    wanted: &Wanted,
    index: usize,
    address: SocketAddr,
) -> Result<Listener, ListenError> {
    let bound = bind(address).and_then(|socket| Ok((socket.local_addr()?, socket)));
    let (address, socket) = bound.map_err(|source| wanted.unbound(address, source))?;
    Ok(wanted.bound(index, address.into(), Socket::Tcp(socket)))
}

fn bind_udp_at(
    wanted: &Wanted,
    index: usize,
    address: SocketAddr,
) -> Result<Listener, ListenError> {
    let bound = bind_udp(address).and_then(|socket| Ok((socket.local_addr()?, socket)));
    let (address, socket) = bound.map_err(|source| wanted.unbound(address, source))?;
    Ok(wanted.bound(index, Endpoint::Udp(address.into()), Socket::Udp(socket)))
}

fn bind_unix_at(
    wanted: &Wanted,
    index: usize,
    address: UnixAddress,
) -> Result<Listener, ListenError> {
    let socket = bind_unix_and_keep(&address, &wanted.access)?;
    Ok(wanted.bound(index, address.into(), Socket::Unix(socket)))
}

/// Binds a Unix socket, whose file is removed when the process exits.
pub(crate) fn bind_unix_and_keep(
    address: &UnixAddress,
    access: &UnixAccess,
) -> Result<UnixListener, ListenError> {
    let bound = bind_unix(address, access);
    let socket = bound.map_err(|source| ListenError::Unix { address: address.clone(), source })?;
    socket_files::keep(address);
    Ok(socket)
}

impl Wanted {
    /// The listener that was asked for as the `index`th, bound.
    fn bound(&self, index: usize, endpoint: Endpoint, socket: Socket) -> Listener {
        let name = self.name.clone().unwrap_or_default();
        Listener { wanted: index, endpoint, name, is_kept: false, socket }
    }

    fn unbound(&self, address: SocketAddr, source: io::Error) -> ListenError {
        ListenError::Bind { endpoint: self.endpoint.clone(), address, source }
    }
}

/// The addresses that an endpoint stands for: several where a name has several.
pub(crate) async fn resolve(endpoint: &Endpoint) -> Result<Vec<SocketAddr>, ListenError> {
    match endpoint {
        Endpoint::Tcp(Address::Socket(address))
        | Endpoint::Tls(Address::Socket(address))
        | Endpoint::Udp(Address::Socket(address)) => Ok(vec![*address]),
        Endpoint::Tcp(Address::Name { host, port })
        | Endpoint::Tls(Address::Name { host, port })
        | Endpoint::Udp(Address::Name { host, port }) => {
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
        Endpoint::Tcp(Address::Name { .. })
        | Endpoint::Tls(Address::Name { .. })
        | Endpoint::Udp(Address::Name { .. }) => {
            format!(" ({address})")
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(endpoint: &str, name: Option<&str>) -> Wanted {
        let (endpoint, name) = (endpoint.parse().unwrap(), name.map(str::to_owned));
        Wanted { endpoint, name, access: UnixAccess::default() }
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
        assert_eq!((listeners.len(), &listeners[0].endpoint), (1, &address.into()));
        assert!(listeners[0].is_kept);
        assert_eq!(listeners[0].heirloom().unwrap().name, "public");
    }

    #[tokio::test]
    async fn a_socket_speaks_what_was_asked_for_whoever_has_bound_it() {
        let (inherited, address) = passed("public");
        let wanted = [
            wanted(&format!("tls://{address}"), None),
            wanted("tls://127.0.0.1:0", None),
            wanted("127.0.0.1:0", None),
        ];
        let listeners = listen(&wanted, inherited).await.unwrap();
        assert_eq!(listeners[0].endpoint, Endpoint::Tls(address.into()));
        let schemes: Vec<_> = listeners.iter().map(|listener| listener.endpoint.scheme()).collect();
        assert_eq!(schemes, ["tls://", "tls://", "tcp://"]);
    }

    #[tokio::test]
    async fn what_is_bound_is_left_to_nobody_but_a_successor() {
        let wanted = [wanted("127.0.0.1:0", Some("public"))];
        let listeners = listen(&wanted, Inherited::default()).await.unwrap();
        assert!(!listeners[0].is_kept);
        assert_eq!(listeners[0].heirloom().unwrap().name, "volleyd-bound.public");
    }
}
