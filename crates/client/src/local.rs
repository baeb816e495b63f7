//! The local address of a connection.

use std::io;
use std::net::{IpAddr, SocketAddr};

#[cfg(target_os = "linux")]
use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
use tokio::net::TcpSocket;

/// Makes `socket` connect from `local`, an address of this machine. The port is chosen later, by
/// connect(2).
///
/// # Errors
///
/// What bind(2) says: [`io::ErrorKind::AddrNotAvailable`] if `local` is no address of this machine.
pub(crate) fn bind_address(socket: &TcpSocket, local: IpAddr) -> io::Result<()> {
    // A port chosen here would have to be free towards every server, as it is not known yet where
    // it will lead: all connections from `local` would share one range of ports. connect(2) knows,
    // and with IP_BIND_ADDRESS_NO_PORT it chooses "in a way that allows sharing a source port as
    // long as the 4-tuple is unique" (ip(7)). It holds for IPv6 as well. A system without it still
    // connects, from fewer ports.
    #[cfg(target_os = "linux")]
    let _ = setsockopt(socket, IpBindAddressNoPort, &true);
    socket.bind(SocketAddr::new(local, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn a_bound_address_reserves_no_port() {
        let socket = TcpSocket::new_v4().unwrap();
        bind_address(&socket, "127.0.0.2".parse().unwrap()).unwrap();
        assert_eq!(socket.local_addr().unwrap().to_string(), "127.0.0.2:0");
    }

    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn an_ipv6_address_reserves_no_port_either() {
        // A machine without IPv6 has no such socket, or no such address.
        let Ok(socket) = TcpSocket::new_v6() else { return };
        match bind_address(&socket, "::1".parse().unwrap()) {
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {}
            bound => {
                bound.unwrap();
                assert_eq!(socket.local_addr().unwrap().to_string(), "[::1]:0");
            }
        }
    }
}
