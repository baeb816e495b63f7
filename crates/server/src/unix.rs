//! Unix sockets: how a listener is bound where another may have been before.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixListener;
use volley_proto::UnixAddress;

use crate::bind::BACKLOG;
use crate::socket_file::{SocketFile, UnixAccess, no_socket};

/// Binds a Unix listener of the stream kind that [`serve`](crate::serve) can take. The file of a
/// socket that nobody listens on any more is replaced; at no time does the file let anyone connect
/// whom `access` keeps out.
///
/// Closing the listener leaves its file. [`SocketFile::at`] removes it in the end.
///
/// # Errors
///
/// What the system says: the address in use, by a listener that is alive; not allowed; no such
/// directory. A file that is no socket is left alone.
///
/// # Panics
///
/// Outside a Tokio runtime with I/O enabled.
///
/// # Examples
///
/// ```no_run
/// use volley_server::{Config, SocketFile, UnixAccess, bind_unix, serve};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let listener = bind_unix(&"/run/volley.sock".parse()?, &UnixAccess::default())?;
/// let _file = SocketFile::at("/run/volley.sock")?;
/// serve(listener, Config::default(), tokio::signal::ctrl_c()).await?;
/// # Ok(())
/// # }
/// ```
pub fn bind_unix(address: &UnixAddress, access: &UnixAccess) -> io::Result<UnixListener> {
    if let Some(path) = address.path() {
        make_way(path)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    // The file will have the mode of the socket, less the umask: never more than it shall have.
    #[cfg(target_os = "linux")]
    rustix::fs::fchmod(&socket, rustix::fs::Mode::from_raw_mode(access.mode))?;
    socket.bind(&SockAddr::unix(address.sun_path())?)?;
    let file = address.path().map(SocketFile::at).transpose()?;
    if let Some(file) = &file {
        file.admit(access)?;
    }
    // From here on connections are taken, and none was before.
    socket.listen(BACKLOG)?;
    if let Some(file) = file {
        if !file.is_there() {
            // Whoever started in the same instant took this one for an old one.
            return Err(io::ErrorKind::AddrInUse.into());
        }
        file.leave();
    }
    UnixListener::from_std(socket.into())
}

/// Removes the file of a socket that nobody listens on; a process that was killed leaves one.
fn make_way(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(file) if file.file_type().is_socket() => {}
        Ok(_) => return Err(no_socket()),
        // Binding will say what is wrong, if anything is.
        Err(_) => return Ok(()),
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Whoever listens there may be too busy to accept: that is no reason to wait.
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        // It will be told as in use.
        _ => Ok(()),
    }
}
