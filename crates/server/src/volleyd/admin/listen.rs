//! From an endpoint to the sockets on which the admin listener accepts.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net as unix;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::Mode;
use rustix::process::umask;
use socket2::{Domain, SockAddr, Type};
use tokio::net::{TcpListener, UnixListener};
use tracing::{info, warn};
use volley_cli::Exit;
use volley_proto::{Endpoint, UnixAddress};
use volley_server::bind;

use super::AdminEndpoint;
use crate::handover::Heirloom;
use crate::inherit::{self, ADMIN, BOUND, Passed};
use crate::listen::{ListenError, resolve};

/// What a Unix socket must not allow: anything to others, and executing it, which means nothing.
const MASK: Mode = Mode::from_raw_mode(0o117);

/// How many may wait to be accepted, as in the standard library.
const BACKLOG: i32 = 128;

/// The file of the Unix socket, to be removed at exit.
static SOCKET_FILE: Mutex<Option<SocketFile>> = Mutex::new(None);

/// Why the admin listener can't be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminListenError {
    #[error(transparent)]
    Tcp(#[from] ListenError),
    #[error("cannot listen on unix:{address}: {source}")]
    Unix { address: UnixAddress, source: io::Error },
    #[error("cannot listen on the socket that was passed as `{ADMIN}`: {0}")]
    Adopt(#[source] io::Error),
}

impl AdminListenError {
    pub(crate) const fn exit(&self) -> Exit {
        match self {
            Self::Tcp(error) => error.exit(),
            Self::Unix { .. } | Self::Adopt(_) => Exit::Unavailable,
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
            Endpoint::Unix(address) => match bind_unix(address) {
                Ok(socket) => Ok(Self::Unix(address.clone(), socket)),
                Err(source) => Err(AdminListenError::Unix { address: address.clone(), source }),
            },
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
                // Gone, if somebody has removed it; then there is none to remove.
                *socket_file() = address.path().and_then(|path| SocketFile::of(path).ok());
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

fn bind_unix(address: &UnixAddress) -> io::Result<unix::UnixListener> {
    address.path().map_or(Ok(()), remove_stale)?;
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // For the process, but nobody else makes files now; a chmod afterwards would be too late.
    let before = umask(MASK);
    let bound = socket.bind(&SockAddr::unix(address.sun_path())?);
    umask(before);
    bound?;
    *socket_file() = address.path().map(SocketFile::of).transpose()?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Removes the file of a socket that nobody listens on; a process that was killed leaves one.
fn remove_stale(path: &Path) -> io::Result<()> {
    if !fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket()) {
        return Ok(());
    }
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Whoever listens there may be too busy to accept: that is no reason to wait.
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        // It will be told as in use.
        _ => Ok(()),
    }
}

/// A socket's file, by what tells it from one that another process has put in its place.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        let file = fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_owned(), device: file.dev(), inode: file.ino() })
    }

    fn is_there(&self) -> bool {
        fs::symlink_metadata(&self.path)
            .is_ok_and(|file| (file.dev(), file.ino()) == (self.device, self.inode))
    }
}

/// Removes the file of the Unix socket, if there is one. To be called before the process exits.
pub(crate) fn remove_socket() {
    if let Some(file) = socket_file().take().filter(SocketFile::is_there)
        && let Err(error) = fs::remove_file(&file.path)
    {
        warn!(path = %file.path.display(), %error, "cannot remove the admin socket");
    }
}

/// Leaves the file to another process, which has the same socket.
pub(crate) fn leave_socket() {
    *socket_file() = None;
}

fn socket_file() -> MutexGuard<'static, Option<SocketFile>> {
    SOCKET_FILE.lock().unwrap_or_else(PoisonError::into_inner)
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
