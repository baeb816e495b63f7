//! A listener as it was asked for.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

use volley_proto::{Address, Endpoint};
use volley_server::UnixAccess;

use super::layer::Layer;
use super::opening::can_be_behind_balancers;
use super::origin::Origin;
use super::place::Place;
use super::problem::Problem;
use super::table::{ListenerSettings, SectionSettings};
use super::value::{Framing, Group, Name, Networks, User};
use super::valued::Valued;

/// Where to listen, and what was said of that listener alone.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    pub(crate) endpoint: Valued<Endpoint>,
    pub(crate) name: Option<Valued<Name>>,
    pub(crate) layer: Layer,
}

impl Section {
    /// Nothing was said but where.
    pub(crate) fn plain(endpoint: Valued<Endpoint>) -> Self {
        Self { endpoint, name: None, layer: Layer::default() }
    }
}

/// A listener with all that is in force for it.
#[derive(Clone, Debug)]
pub(crate) struct Listener {
    pub(crate) endpoint: Valued<Endpoint>,
    pub(crate) name: Option<Valued<Name>>,
    pub(crate) settings: ListenerSettings,
    /// Its own share of what the process may have.
    pub(crate) own: SectionSettings,
}

impl Listener {
    /// What messages call it: its name, or else its endpoint.
    pub(crate) fn title(&self) -> String {
        match &self.name {
            Some(Valued { value: Name(name), .. }) => name.clone(),
            None => self.endpoint.value.to_string(),
        }
    }

    /// Whether a TLS handshake comes before its frames.
    pub(crate) const fn speaks_tls(&self) -> bool {
        matches!(self.endpoint.value, Endpoint::Tls(_))
    }

    /// From whom it takes connections, each behind a PROXY header; `None` if it knows none.
    pub(crate) fn balancers(&self) -> Option<&Networks> {
        let networks = self.settings.proxy_from.value.as_ref();
        networks.filter(|_| can_be_behind_balancers(&self.endpoint.value))
    }

    /// Who may connect to it, if it is a Unix socket.
    pub(crate) fn access(&self) -> UnixAccess {
        let settings = &self.settings;
        let mut access = UnixAccess::default();
        access.mode = settings.unix_mode.value.0;
        access.owner = settings.unix_owner.value.given().map(User::id);
        access.group = settings.unix_group.value.given().map(Group::id);
        access
    }

    /// Why it may not listen at `endpoint`: it is open to the network, without frames or without
    /// connections, and nobody has said that it may be; or it speaks TLS or is behind balancers,
    /// and this is no TCP socket.
    pub(crate) fn refusal_of(&self, endpoint: &Endpoint) -> Option<String> {
        if !can_be_behind_balancers(endpoint) {
            let before_frames = [
                ("TLS", self.speaks_tls()),
                // Without it everybody would be served, and not the balancers alone.
                ("a PROXY header", self.balancers().is_some()),
            ];
            if let Some((what, _)) =
                before_frames.into_iter().find(|(_, is_asked_for)| *is_asked_for)
            {
                return Some(format!(
                    "{endpoint}: {what} is for TCP, and the passed socket is not of it"
                ));
            }
        }
        let settings = &self.settings;
        let is_raw = settings.framing.value == Framing::Raw;
        let (kind, flag, is_allowed) = match endpoint {
            Endpoint::Udp(_) => ("UDP", "--allow-public-udp", settings.allow_public_udp.value.0),
            _ if is_raw => ("raw", "--allow-public-raw", settings.allow_public_raw.value.0),
            _ => return None,
        };
        (!is_allowed && is_open(endpoint)).then(|| {
            format!(
                "{endpoint}: a {kind} listener is for this machine alone, unless {flag} is given"
            )
        })
    }

    /// Whether nobody has said where to listen.
    pub(crate) const fn is_default(&self) -> bool {
        matches!(self.endpoint.origin, Origin::Default)
    }

    /// Whether `other` is the same listener, with other settings at most.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let name = |listener: &Self| listener.name.as_ref().map(|name| name.value.clone());
        self.endpoint.value == other.endpoint.value && name(self) == name(other)
    }
}

/// Whether it is the same port each time: 0 is not. A path is always the same.
pub(crate) fn has_fixed_port(endpoint: &Endpoint) -> bool {
    match endpoint {
        Endpoint::Tcp(address) | Endpoint::Tls(address) | Endpoint::Udp(address) => {
            address.port() != 0
        }
        _ => true,
    }
}

/// Whether others than this machine can reach it. A name may be anybody's, but for one.
pub(crate) fn is_open(endpoint: &Endpoint) -> bool {
    match endpoint {
        Endpoint::Tcp(address) | Endpoint::Tls(address) | Endpoint::Udp(address) => match address {
            Address::Socket(address) => !address.ip().to_canonical().is_loopback(),
            Address::Name { host, .. } => host != "localhost",
        },
        _ => false,
    }
}

/// A problem for each endpoint that has been there before.
pub(crate) fn repeated_endpoints(endpoints: &[&Valued<Endpoint>]) -> Vec<Problem> {
    repeats(endpoints, |endpoint| has_fixed_port(&endpoint.value).then_some(&endpoint.value))
        .map(|(endpoint, first)| {
            let address = &endpoint.value;
            let why = match &first.origin {
                Origin::File(place) => {
                    format!("{address} has a listener already, on line {}", place.line())
                }
                _ => format!("{address} is there twice"),
            };
            Problem::new(&endpoint.origin, why)
        })
        .collect()
}

/// A problem for each name that has been there before.
pub(crate) fn repeated_names(sections: &[Section]) -> Vec<Problem> {
    let names: Vec<_> = sections.iter().filter_map(|section| section.name.as_ref()).collect();
    repeats(&names, |name| Some(&name.value))
        .map(|(name, first)| {
            let line = first.origin.place().map_or(0, Place::line);
            let Name(called) = &name.value;
            let why = format!("another listener is called `{called}` already, on line {line}");
            Problem::new(&name.origin, why)
        })
        .collect()
}

/// Each of `items` whose key an earlier one has, with the first of those.
fn repeats<'a, T, K: Eq + Hash + 'a>(
    items: &[&'a T],
    key: impl Fn(&'a T) -> Option<&'a K>,
) -> impl Iterator<Item = (&'a T, &'a T)> {
    let mut firsts = HashMap::new();
    items.iter().filter_map(move |&item| match firsts.entry(key(item)?) {
        Entry::Occupied(first) => Some((item, *first.get())),
        Entry::Vacant(place) => {
            place.insert(item);
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_loopback_is_open() {
        for (address, open) in [
            ("127.0.0.1:1", false),
            ("127.9.9.9:1", false),
            ("[::1]:1", false),
            ("[::ffff:127.0.0.1]:1", false),
            ("localhost:1", false),
            ("0.0.0.0:1", true),
            ("[::]:1", true),
            ("192.0.2.1:1", true),
            ("[fe80::1]:1", true),
            ("example.org:1", true),
            ("udp://0.0.0.0:1", true),
            ("unix:/run/volley.sock", false),
            ("unix:@volley", false),
        ] {
            assert_eq!(is_open(&address.parse().unwrap()), open, "{address}");
        }
    }
}
