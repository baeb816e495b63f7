//! What TLS and the PROXY protocol ask of the settings: which need each other, and which need a
//! listener that knows them.

use volley_proto::Endpoint;

use super::layer::{Entry, Layer};
use super::listener::Listener;
use super::problem::Problem;

/// The settings that are for TLS listeners.
const OF_TLS: [&str; 3] = ["cert", "key", "client-ca"];

/// The setting that has balancers come first.
const PROXY_FROM: &str = "proxy-from";

/// What is missing for TLS, and what is said and means nothing to any listener.
pub(super) fn problems(listeners: &[Listener], layers: &[&Layer]) -> Vec<Problem> {
    let mut problems: Vec<_> = listeners.iter().filter_map(missing_problem).collect();
    let any =
        |so: fn(&Endpoint) -> bool| listeners.iter().any(|listener| so(&listener.endpoint.value));
    let mut void = |key: &str, why: &str| {
        if let Some(entry) = layers.iter().find_map(|layer| said(layer, key)) {
            problems.push(Problem::new(&entry.origin, format!("`{key}` is given, {why}")));
        }
    };
    if !any(is_tls) {
        for key in OF_TLS {
            void(key, "and no listener speaks TLS: write tls:// before its address");
        }
    }
    if !any(can_be_behind_balancers) {
        void(PROXY_FROM, "and no listener is of TCP or TLS");
    }
    problems
}

fn missing_problem(listener: &Listener) -> Option<Problem> {
    let endpoint = &listener.endpoint;
    let settings = &listener.settings;
    let has_both = settings.cert.value.is_some() && settings.key.value.is_some();
    (is_tls(&endpoint.value) && !has_both).then(|| {
        let why = format!(
            "{} needs `cert` and `key`; to try it out, `volleyd --dev-cert DIR` makes both",
            endpoint.value
        );
        Problem::new(&endpoint.origin, why)
    })
}

fn said<'a>(layer: &'a Layer, key: &str) -> Option<&'a Entry> {
    layer.get(key).filter(|entry| entry.text != "off")
}

pub(super) const fn is_tls(endpoint: &Endpoint) -> bool {
    matches!(endpoint, Endpoint::Tls(_))
}

/// A Unix socket's file says who may connect; datagrams have no header.
pub(super) const fn can_be_behind_balancers(endpoint: &Endpoint) -> bool {
    matches!(endpoint, Endpoint::Tcp(_) | Endpoint::Tls(_))
}
