//! Sockets that were there before this process: opened by a service manager, or by the volleyd
//! whose place it takes. Both pass them as sd_listen_fds(3) describes, from descriptor 3 on:
//!
//! ```text
//! LISTEN_FDS=3
//! LISTEN_FDNAMES=public:admin:volleyd-handover
//! ```
//!
//! Which listener a socket serves is decided in [`listen`](mod@crate::listen), what the two
//! processes say to each other in [`handover`](crate::handover).

use std::env;
use std::fmt;
use std::io;
use std::mem;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use listenfd::ListenFd;
use socket2::SockRef;
use volley_cli::Exit;
use volley_proto::{Address, Endpoint, UnixAddress};

/// The name of the admin listener's socket.
pub(crate) const ADMIN: &str = "admin";

/// The name of the stream between a process and the one that takes its place.
pub(crate) const HANDOVER: &str = "volleyd-handover";

/// Stands before the name of a socket that a predecessor has bound itself. Nobody else holds it
/// once the predecessor has gone. It has no such meaning from anyone but a predecessor.
pub(crate) const BOUND: &str = "volleyd-bound.";

/// What has been passed and not been taken yet.
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    sockets: Vec<Passed>,
    predecessor: Option<UnixStream>,
}

/// One socket, as it was passed.
#[derive(Debug)]
pub(crate) struct Passed {
    /// What it is for, as a service manager's `FileDescriptorName=` says; may be empty.
    pub(crate) name: String,
    /// Whether somebody else keeps it after this process: a service manager.
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

/// Why what was passed can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InheritError {
    #[error("descriptor {number}, passed as `{name}`, cannot be listened on: {why}")]
    NotListening { number: usize, name: String, why: io::Error },
    #[error(
        "no listener wants the socket that was passed as `{name}`, {address}: name one of them \
         so, or have one --listen there"
    )]
    Unwanted { name: String, address: String },
}

impl InheritError {
    /// The service manager's configuration and this one don't fit.
    pub(crate) const fn exit(&self) -> Exit {
        match self {
            Self::NotListening { .. } | Self::Unwanted { .. } => Exit::Config,
        }
    }
}

impl Inherited {
    /// Takes what the environment tells of. To be called first of all: it changes the environment,
    /// which other threads may read.
    ///
    /// # Errors
    ///
    /// When something else was passed than listening TCP and Unix sockets, and UDP sockets.
    pub(crate) fn from_environment() -> Result<Self, InheritError> {
        // `ListenFd` knows no names.
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut descriptors = ListenFd::from_env();
        let mut inherited = Self::default();
        for index in 0..descriptors.len() {
            let name = names.next().unwrap_or_default().to_owned();
            let taken = if name == HANDOVER {
                let (family, kind) = (libc::AF_UNIX, libc::SOCK_STREAM);
                let stream = descriptors.take_custom(index, family, kind, "Unix stream");
                stream.map(|stream| inherited.predecessor = stream)
            } else {
                take(&mut descriptors, index).map(|socket| {
                    inherited.sockets.push(Passed { name: name.clone(), is_kept: true, socket });
                })
            };
            taken.map_err(|why| InheritError::NotListening {
                number: FIRST_DESCRIPTOR + index,
                name,
                why,
            })?;
        }
        if inherited.predecessor.is_some() {
            inherited.sockets.iter_mut().for_each(Passed::adopt);
        }
        Ok(inherited)
    }

    /// Takes the stream to the process whose place this one takes, if there is one.
    pub(crate) fn take_predecessor(&mut self) -> Option<UnixStream> {
        self.predecessor.take()
    }

    /// Takes the socket of the admin listener.
    pub(crate) fn take_admin(&mut self) -> Option<Passed> {
        let at = self.sockets.iter().position(|passed| passed.name == ADMIN)?;
        Some(self.sockets.remove(at))
    }

    /// Takes all sockets that are not the admin listener's.
    pub(crate) fn take_all(&mut self) -> Vec<Passed> {
        self.take_where(|_| true)
    }

    /// Takes the sockets that were passed under this name.
    pub(crate) fn take_named(&mut self, name: &str) -> Vec<Passed> {
        self.take_where(|passed| passed.name == name)
    }

    /// Takes the first socket that listens there; for port 0 any port of the address will do.
    pub(crate) fn take_at(&mut self, wanted: &Endpoint) -> Option<Passed> {
        let mut is_taken = false;
        let taken = self
            .take_where(|passed| passed.socket.is_at(wanted) && !mem::replace(&mut is_taken, true));
        taken.into_iter().next()
    }

    fn take_where(&mut self, mut is_wanted: impl FnMut(&Passed) -> bool) -> Vec<Passed> {
        self.sockets.extract_if(.., |passed| passed.name != ADMIN && is_wanted(passed)).collect()
    }

    /// Takes what nobody wanted and a predecessor has bound itself: its configuration may have
    /// been another one.
    pub(crate) fn take_left_over(&mut self) -> Vec<Passed> {
        self.sockets.extract_if(.., |passed| !passed.is_kept).collect()
    }

    /// Looks whether anything is left that nobody wanted.
    ///
    /// # Errors
    ///
    /// The first such socket: connections to it would never be accepted.
    pub(crate) fn finish(self) -> Result<(), InheritError> {
        match self.sockets.first() {
            None => Ok(()),
            Some(Passed { name, socket, .. }) => {
                let address = socket.to_string();
                Err(InheritError::Unwanted { name: name.clone(), address })
            }
        }
    }
}

/// The first descriptor that is passed (sd_listen_fds(3)).
const FIRST_DESCRIPTOR: usize = 3;

fn take(descriptors: &mut ListenFd, index: usize) -> io::Result<Socket> {
    let taken = match descriptors.take_tcp_listener(index) {
        Ok(socket) => socket.map(Socket::Tcp),
        // Of all errors the one about TCP is of use.
        Err(error) => match descriptors.take_unix_listener(index) {
            Ok(socket) => socket.map(Socket::Unix),
            Err(_) => match descriptors.take_udp_socket(index) {
                Ok(socket) => socket.map(Socket::Udp),
                Err(_) => return Err(error),
            },
        },
    };
    let socket = taken.ok_or_else(|| io::Error::other("it was taken already"))?;
    let reference = SockRef::from(&socket);
    match &socket {
        // What is bound receives; what is connected hears one peer alone.
        Socket::Udp(socket) if socket.peer_addr().is_ok() => {
            Err(io::Error::other("it is connected to one peer"))
        }
        Socket::Tcp(_) | Socket::Unix(_) if !reference.is_listener()? => {
            Err(io::Error::other("it is a connection, not a listening socket"))
        }
        _ => Ok(socket),
    }
}

impl Passed {
    /// Takes it from a predecessor.
    fn adopt(&mut self) {
        if let Some(name) = self.name.strip_prefix(BOUND) {
            (self.name, self.is_kept) = (name.to_owned(), false);
        }
    }
}

impl Socket {
    /// Where it listens.
    pub(crate) fn endpoint(&self) -> io::Result<Endpoint> {
        match self {
            Self::Tcp(socket) => socket.local_addr().map(Endpoint::from),
            Self::Udp(socket) => Ok(Endpoint::Udp(socket.local_addr()?.into())),
            Self::Unix(socket) => {
                let address = UnixAddress::of(&socket.local_addr()?);
                Ok(address.ok_or(io::ErrorKind::AddrNotAvailable)?.into())
            }
        }
    }

    fn is_at(&self, wanted: &Endpoint) -> bool {
        let Ok(found) = self.endpoint() else { return false };
        match (&found, wanted) {
            (Endpoint::Tcp(Address::Socket(found)), Endpoint::Tcp(Address::Socket(wanted)))
            | (Endpoint::Udp(Address::Socket(found)), Endpoint::Udp(Address::Socket(wanted))) => {
                found == wanted || wanted.port() == 0 && found.ip() == wanted.ip()
            }
            (found, wanted) => found == wanted,
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

impl fmt::Display for Socket {
    /// Where it listens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.endpoint() {
            Ok(endpoint) => endpoint.fmt(f),
            Err(error) => write!(f, "a socket somewhere: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(name: &str) -> Passed {
        let socket = Socket::Tcp(TcpListener::bind("127.0.0.1:0").unwrap());
        let mut passed = Passed { name: name.to_owned(), is_kept: true, socket };
        passed.adopt();
        passed
    }

    fn inherited(names: &[&str]) -> Inherited {
        Inherited { sockets: names.iter().map(|name| passed(name)).collect(), predecessor: None }
    }

    #[test]
    fn the_admin_socket_is_for_nobody_else() {
        let mut inherited = inherited(&["admin", "public"]);
        let admin = inherited.sockets[0].socket.endpoint().unwrap();
        assert!(inherited.take_at(&admin).is_none());
        assert!(inherited.take_named("admin").is_empty());
        let all: Vec<_> = inherited.take_all().into_iter().map(|passed| passed.name).collect();
        assert_eq!(all, ["public"]);
        assert_eq!(inherited.take_admin().unwrap().name, "admin");
        assert!(inherited.take_admin().is_none());
        inherited.finish().unwrap();
    }

    #[test]
    fn what_a_predecessor_has_bound_is_known_by_its_name_and_kept_by_nobody() {
        let names = ["volleyd-bound.public", "volleyd-bound.", "volleyd.socket"];
        let inherited = inherited(&names);
        let found: Vec<_> =
            inherited.sockets.iter().map(|passed| (&*passed.name, passed.is_kept)).collect();
        assert_eq!(found, [("public", false), ("", false), ("volleyd.socket", true)]);
    }

    #[test]
    fn what_is_left_over_is_an_error_only_if_somebody_else_keeps_it() {
        let mut inherited = inherited(&["volleyd-bound.gone", "stray"]);
        let left: Vec<_> = inherited.take_left_over().into_iter().map(|left| left.name).collect();
        assert_eq!(left, ["gone"]);
        let told = inherited.finish().unwrap_err().to_string();
        assert!(told.starts_with("no listener wants the socket that was passed as `stray`"));
    }

    #[test]
    fn one_socket_is_taken_once() {
        let mut inherited = inherited(&["one", "two"]);
        let any = "127.0.0.1:0".parse().unwrap();
        let names = [(); 3].map(|()| inherited.take_at(&any).map(|passed| passed.name));
        assert_eq!(names, [Some("one".to_owned()), Some("two".to_owned()), None]);
    }

    impl Inherited {
        /// One socket, as a service manager passes it.
        pub(crate) fn one(name: &str, socket: TcpListener) -> Self {
            let socket = Socket::Tcp(socket);
            let passed = Passed { name: name.to_owned(), is_kept: true, socket };
            Self { sockets: vec![passed], predecessor: None }
        }
    }
}
