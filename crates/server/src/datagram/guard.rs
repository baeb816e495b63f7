//! Who gets no reply, whatever he sends: a source whose answer to it would come back here, or on
//! which somebody has it pile up who forged it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use volley_proto::Endpoint;

use super::books::Dropped;

/// Ports below this are those of services (RFC 6335, 6: system ports); clients don't send from
/// them. Echo (7), QOTD (17), chargen (19), DNS (53), TFTP (69), portmap (111), NTP (123), NetBIOS
/// (137), SNMP (161), CLDAP (389) and RIP (520) are among them.
const FIRST_USER_PORT: u16 = 1024;

/// The ports from there on of services that answer a datagram with more than they were sent. The
/// first list is of the alert TA14-017A, "UDP-Based Amplification Attacks", of US-CERT, now CISA
/// (2014, revised until 2019); the second is of the reports of the Shadowserver Foundation on UDP
/// services that are open to the world. Here they are merged, in ascending order.
///
/// None is one from which Linux, a BSD or Windows sends unless told to (32768 and above).
const REFLECTORS: [u16; 15] = [
    1434,  // Microsoft SQL Server's resolution service; Shadowserver
    1900,  // SSDP; TA14-017A
    3283,  // Apple Remote Desktop; Shadowserver
    3389,  // Remote Desktop; Shadowserver
    3478,  // STUN; Shadowserver
    3702,  // WS-Discovery; TA14-017A
    4672,  // Kad; TA14-017A
    5351,  // NAT-PMP; Shadowserver
    5353,  // Multicast DNS; TA14-017A
    5683,  // CoAP; Shadowserver
    6881,  // BitTorrent; TA14-017A
    10001, // Ubiquiti's discovery; Shadowserver
    11211, // memcached; TA14-017A
    27015, // Steam; TA14-017A
    27960, // Quake; TA14-017A
];

/// Why a datagram from `source` that was sent to `destination`, if the system told, is not
/// answered by a listener on `own_port`.
pub(crate) fn refusal(
    source: SocketAddr,
    destination: Option<IpAddr>,
    own_port: u16,
) -> Option<Dropped> {
    match source.port() {
        ..FIRST_USER_PORT => Some(Dropped::LowPort),
        port if port == own_port || port == Endpoint::DEFAULT_PORT => Some(Dropped::Server),
        port if REFLECTORS.binary_search(&port).is_ok() => Some(Dropped::Reflector),
        _ if destination.is_some_and(is_group) => Some(Dropped::Group),
        _ => None,
    }
}

/// Whether more than one host receives what is sent to an address. Of the broadcast address of one
/// network only the system knows; it refuses to send from there.
fn is_group(address: IpAddr) -> bool {
    address.is_multicast() || address == Ipv4Addr::BROADCAST
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a client's datagram but for its port.
    fn from_port(port: u16) -> Option<Dropped> {
        refusal(SocketAddr::new([192, 0, 2, 1].into(), port), Some([192, 0, 2, 2].into()), 40_000)
    }

    #[test]
    fn the_list_is_in_order_between_the_system_ports_and_those_of_clients() {
        assert!(REFLECTORS.is_sorted_by(|a, b| a < b));
        assert!(REFLECTORS.iter().all(|port| (FIRST_USER_PORT..32_768).contains(port)));
    }

    #[test]
    fn only_ports_that_clients_send_from_are_answered() {
        for port in 0..FIRST_USER_PORT {
            assert_eq!(from_port(port), Some(Dropped::LowPort), "{port}");
        }
        for port in REFLECTORS {
            assert_eq!(from_port(port), Some(Dropped::Reflector), "{port}");
        }
        for port in [7007, 40_000] {
            assert_eq!(from_port(port), Some(Dropped::Server), "{port}");
        }
        // The ephemeral ports of Linux, of the BSDs and Windows, and where address translation
        // may begin.
        for port in (32_768..40_000).chain(40_001..=65_535).chain([1024]) {
            assert_eq!(from_port(port), None, "{port}");
        }
    }

    #[test]
    fn what_more_than_one_receive_is_not_answered() {
        let source = "192.0.2.1:50000".parse().unwrap();
        for group in ["255.255.255.255", "224.0.0.1", "239.255.255.250", "ff02::1"] {
            let refused = refusal(source, Some(group.parse().unwrap()), 7007);
            assert_eq!(refused, Some(Dropped::Group), "{group}");
        }
        for one in ["192.0.2.2", "127.0.0.1", "::1"] {
            assert_eq!(refusal(source, Some(one.parse().unwrap()), 7007), None, "{one}");
        }
        assert_eq!(refusal(source, None, 7007), None);
    }
}
