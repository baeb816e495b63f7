//! From an endpoint to the sockets on which the admin listener accepts.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::net as unix;

use tokio::net::{TcpListener, UnixListener};
use tracing::{info, warn};
use volley_cli::Exit;
use volley_proto::{Endpoint, UnixAddress};
use volley_server::{UnixAccess, bind};

use super::AdminEndpoint;
use crate::handover::Heirloom;
use crate::inherit::{self, ADMIN, BOUND, Passed};
use crate::listen::{ListenError, bind_unix_and_keep, resolve};
use crate::socket_files;

/// Why the admin listener can't be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminListenError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("cannot listen on the socket that was passed as `{ADMIN}`: {0}")]
    Adopt(#[source] io::Error),
}

impl AdminListenError {
    pub(crate) const fn exit(&self) -> Exit {
        match self {
            Self::Listen(error) => error.exit(),
            Self::Adopt(_) => Exit::Unavailable,
        }
    }
}

/// The admin listener before it answers anybody. Those who connect wait.
#[derive(Debug)]
pub(crate) struct AdminListener {
    place: Place,
    /// Whether somebody else keeps the socket after this process.
    is_kept: bool,
}

#[derive(Debug)]
enum Place {
    /// Where a name has several addresses, one for each.
    Tcp(Vec<(SocketAddr, std::net::TcpListener)>),
    Unix(UnixAddress, unix::UnixListener),
}

/// A socket on which it accepts.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl AdminListener {
    /// Listens at `endpoint`, if there is one, or on what was passed for it: by a service manager,
    /// which needs no endpoint beside it, or by the old process, if it is there that this one
    /// shall listen too. The file of a Unix socket that nobody listens on any more is replaced.
    pub(crate) async fn open(
        endpoint: Option<&AdminEndpoint>,
        passed: Option<Passed>,
    ) -> Result<Option<Self>, AdminListenError> {
        if let Some(Passed { is_kept, socket, .. }) = passed {
            let place = Place::adopt(socket).map_err(AdminListenError::Adopt)?;
            let is_wanted = match endpoint {
                Some(endpoint) => is_kept || place.is_at(endpoint).await?,
                None => is_kept,
            };
            if is_wanted {
                return Ok(Some(Self { place, is_kept }));
            }
        }
        match endpoint {
            Some(endpoint) => {
                Ok(Some(Self { place: Place::bind(endpoint).await?, is_kept: false }))
            }
            None => Ok(None),
        }
    }

    /// The same socket, for the process that takes the place of this one. One of several addresses
    /// of a name: the others are bound anew.
    pub(crate) fn heirloom(&self) -> io::Result<Heirloom> {
        let before = if self.is_kept { "" } else { BOUND };
        let socket = match &self.place {
            Place::Tcp(sockets) => match sockets.first() {
                Some((_, socket)) => socket.as_fd(),
                None => return Err(io::ErrorKind::NotFound.into()),
            },
            Place::Unix(_, socket) => socket.as_fd(),
        };
        Ok(Heirloom { name: format!("{before}{ADMIN}"), socket: socket.try_clone_to_owned()? })
    }

    /// Where it can be reached, port 0 resolved.
    pub(crate) fn endpoints(&self) -> Vec<String> {
        match &self.place {
            Place::Tcp(sockets) => {
                sockets.iter().map(|(address, _)| format!("tcp://{address}")).collect()
            }
            Place::Unix(address, _) => vec![format!("unix:{address}")],
        }
    }

    /// Tells the log where it is, and whether that is a place for something that asks nobody who he
    /// is.
    pub(crate) fn log(&self) {
        let Place::Tcp(sockets) = &self.place else {
            self.endpoints().iter().for_each(|endpoint| info!(endpoint, "admin"));
            return;
        };
        for (address, _) in sockets {
            info!(endpoint = %format_args!("http://{address}"), "admin");
            if is_open(*address) {
                warn!(
                    endpoint = %format_args!("http://{address}"),
                    "the admin listener is open to the network and asks nobody who he is"
                );
            }
        }
    }

    /// For the current runtime.
    pub(super) fn into_sockets(self) -> io::Result<Vec<Socket>> {
        match self.place {
            Place::Tcp(sockets) => sockets
                .into_iter()
                .map(|(_, socket)| TcpListener::from_std(socket).map(Socket::Tcp))
                .collect(),
            Place::Unix(_, socket) => Ok(vec![Socket::Unix(UnixListener::from_std(socket)?)]),
        }
    }
}

impl Place {
    async fn bind(endpoint: &AdminEndpoint) -> Result<Self, AdminListenError> {
        match endpoint.endpoint() {
            Endpoint::Unix(address) => {
                let socket = bind_unix_and_keep(address, &UnixAccess::default())?;
                // It is another runtime that will use it.
                let socket = socket
                    .into_std()
                    .map_err(|source| ListenError::Unix { address: address.clone(), source })?;
                Ok(Self::Unix(address.clone(), socket))
            }
            endpoint => Ok(Self::Tcp(bind_tcp(endpoint).await?)),
        }
    }

    fn adopt(socket: inherit::Socket) -> io::Result<Self> {
        match socket {
            inherit::Socket::Tcp(socket) => {
                socket.set_nonblocking(true)?;
                Ok(Self::Tcp(vec![(socket.local_addr()?, socket)]))
            }
            inherit::Socket::Unix(socket) => {
                socket.set_nonblocking(true)?;
                let address = UnixAddress::of(&socket.local_addr()?);
                Ok(Self::Unix(address.ok_or(io::ErrorKind::AddrNotAvailable)?, socket))
            }
            inherit::Socket::Udp(_) => Err(io::Error::other("HTTP is not spoken over UDP")),
        }
    }

    /// Whether it is there that `endpoint` says. Then the file of a Unix socket is this process's.
    async fn is_at(&self, endpoint: &AdminEndpoint) -> Result<bool, AdminListenError> {
        match (self, endpoint.endpoint()) {
            (Self::Tcp(sockets), endpoint @ Endpoint::Tcp(_)) => {
                let wanted = resolve(endpoint).await?;
                let is_wanted = |address: &SocketAddr| {
                    wanted.iter().any(|wanted| {
                        wanted.ip() == address.ip() && [0, address.port()].contains(&wanted.port())
                    })
                };
                Ok(wanted.len() == 1 && sockets.iter().all(|(address, _)| is_wanted(address)))
            }
            (Self::Unix(address, _), Endpoint::Unix(wanted)) if address == wanted => {
                socket_files::borrow(address, None);
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}

/// Whether others than this machine can reach it.
fn is_open(address: SocketAddr) -> bool {
    !address.ip().to_canonical().is_loopback()
}

async fn bind_tcp(
    endpoint: &Endpoint,
) -> Result<Vec<(SocketAddr, std::net::TcpListener)>, ListenError> {
    let mut sockets = Vec::new();
    for address in resolve(endpoint).await? {
        // It is another runtime that will use it.
        let bound = bind(address).and_then(|socket| Ok((socket.local_addr()?, socket.into_std()?)));
        sockets.push(bound.map_err(|source| ListenError::Bind {
            endpoint: endpoint.clone(),
            address,
            source,
        })?);
    }
    Ok(sockets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_closed_to_others() {
        for closed in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert!(!is_open(closed.parse().unwrap()), "{closed}");
        }
        for open in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "[2001:db8::1]:1"] {
            assert!(is_open(open.parse().unwrap()), "{open}");
        }
    }
}
