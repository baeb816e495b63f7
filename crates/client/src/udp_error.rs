//! What the system tells of a UDP socket beside what has come.

use std::io;

use tokio::io::Interest;
use tokio::net::UdpSocket;

/// The error that the runtime says a socket has, unless it has been told.
pub(crate) fn take_error(socket: &UdpSocket) -> io::Result<Option<io::Error>> {
    // Forgotten before it is asked for: another may come meanwhile.
    let _ = socket.try_io(Interest::ERROR, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
    socket.take_error()
}

/// Whether the system says that no datagram of this length gets there.
#[cfg(target_os = "linux")]
pub(crate) fn is_too_long(error: &io::Error) -> bool {
    error.raw_os_error() == Some(nix::libc::EMSGSIZE)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn is_too_long(_: &io::Error) -> bool {
    false
}
