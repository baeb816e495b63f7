//! Sockets: how a listener is bound, and the options that its connections carry.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::TcpListener;

/// How many connections the kernel holds for us between two accepts; it cuts this down to
/// net.core.somaxconn, which is 4096 on today's Linux.
pub(crate) const BACKLOG: i32 = 4096;

/// How long a peer may leave sent bytes unacknowledged, or its receive window shut, before the
/// kernel gives it up (`TCP_USER_TIMEOUT`). Without it a peer that was unplugged, or that stopped
/// reading for good, would hold its connection for a quarter of an hour.
const USER_TIMEOUT: Duration = Duration::from_secs(60);

/// When a silent connection is first asked whether its peer is still there, and how often then.
/// Below the five minutes after which many firewalls and balancers forget a silent connection.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(15);

/// Binds a TCP listener that [`serve`](crate::serve) can take, with `SO_REUSEADDR` set, so that a
/// restart need not wait for old connections to leave TIME_WAIT. An IPv6 address takes IPv6 only:
/// listen on `0.0.0.0` too for both.
///
/// # Errors
///
/// What the system says: the address in use, not local, or not allowed.
///
/// # Panics
///
/// Outside a Tokio runtime with I/O enabled.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Sets the options that every connection carries. Linux hands a listener's options on to what it
/// accepts, so there it is enough to set them once, on the listener.
///
/// # Errors
///
/// What the system says; none of these options is one that a TCP socket lacks.
pub(crate) fn tune(socket: &SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    Ok(())
}

/// Whether an accepted socket has to be [`tune`]d itself.
pub(crate) const TUNE_ACCEPTED: bool = !cfg!(any(target_os = "linux", target_os = "android"));

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn accepted_sockets_carry_the_options_of_a_tuned_listener() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = bind(address.parse().unwrap()).unwrap();
            tune(&SockRef::from(&listener)).unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap());
            let (accepted, _client) = tokio::join!(listener.accept(), client);
            let (accepted, _) = accepted.unwrap();
            let socket = SockRef::from(&accepted);
            if TUNE_ACCEPTED {
                tune(&socket).unwrap();
            }
            assert!(socket.tcp_nodelay().unwrap());
            assert!(socket.keepalive().unwrap());
            assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_AFTER);
            #[cfg(target_os = "linux")]
            assert_eq!(socket.tcp_user_timeout().unwrap(), Some(USER_TIMEOUT));
            assert!(SockRef::from(&listener).reuse_address().unwrap());
        }
    }
}
