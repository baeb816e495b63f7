//! Whose PROXY headers are believed.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;

/// The networks in which the balancers are. Clones are one: what is changed in one of them is so in
/// all.
#[derive(Clone, Debug, Default)]
pub struct Trusted {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    networks: Vec<IpNet>,
    vouched: Vec<SocketAddr>,
}

impl Trusted {
    /// Those of `networks`. An IPv4 network is the same when a connection from it comes to an IPv6
    /// listener (`::ffff:10.0.0.1`).
    pub fn new(networks: impl IntoIterator<Item = IpNet>) -> Self {
        let trusted = Self::default();
        trusted.replace(networks);
        trusted
    }

    /// Has `networks` be trusted in place of those before, by who connects from now on.
    pub fn replace(&self, networks: impl IntoIterator<Item = IpNet>) {
        self.lock().networks = networks.into_iter().collect();
    }

    /// Trusts the one connection that comes from `address` as well, for as long as the guard lives:
    /// one of this process itself, which looks whether the listener answers.
    pub fn vouch_for(&self, address: SocketAddr) -> Vouched {
        self.lock().vouched.push(address);
        Vouched { trusted: self.clone(), address }
    }

    pub(super) fn contain(&self, address: SocketAddr) -> bool {
        let (inner, ip) = (self.lock(), address.ip().to_canonical());
        inner.networks.iter().any(|network| network.contains(&ip))
            || inner.vouched.contains(&address)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Trust in one connection, while this lives.
#[derive(Debug)]
#[must_use = "the trust ends with it"]
pub struct Vouched {
    trusted: Trusted,
    address: SocketAddr,
}

impl Drop for Vouched {
    fn drop(&mut self) {
        let vouched = &mut self.trusted.lock().vouched;
        if let Some(at) = vouched.iter().position(|&address| address == self.address) {
            vouched.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn who_is_in_none_of_the_networks_is_not_trusted() {
        let networks = ["10.0.0.0/8", "2001:db8::/64", "192.0.2.7/32"];
        let trusted = Trusted::new(networks.map(|network| network.parse().unwrap()));
        for inside in ["10.255.0.1:1", "[::ffff:10.0.0.1]:1", "[2001:db8::9]:1", "192.0.2.7:1"] {
            assert!(trusted.contain(address(inside)), "{inside}");
        }
        for outside in ["11.0.0.1:1", "[2001:db8:0:1::9]:1", "192.0.2.8:1", "[::ffff:11.0.0.1]:1"] {
            assert!(!trusted.contain(address(outside)), "{outside}");
        }
        assert!(!Trusted::default().contain(address("127.0.0.1:1")));
    }

    #[test]
    fn other_networks_take_the_place_of_those_before() {
        let trusted = Trusted::new(["10.0.0.0/8".parse().unwrap()]);
        trusted.clone().replace(["192.0.2.0/24".parse().unwrap()]);
        assert!(trusted.contain(address("192.0.2.1:1")) && !trusted.contain(address("10.0.0.1:1")));
    }

    #[test]
    fn one_connection_is_vouched_for_until_it_is_over() {
        let trusted = Trusted::default();
        let vouched = trusted.clone().vouch_for(address("127.0.0.1:5"));
        assert!(trusted.contain(address("127.0.0.1:5")));
        assert!(!trusted.contain(address("127.0.0.1:6")));
        drop(vouched);
        assert!(!trusted.contain(address("127.0.0.1:5")));
    }
}
