//! Settings that mean nothing to a listener. In its own section they are an error: whoever wrote
//! them there expects something of them. Those that are for all listeners hold where they can.

use volley_proto::Endpoint;

use super::layer::Layer;
use super::listener::Listener;
use super::opening::{can_be_behind_balancers, is_tls};
use super::problem::Problem;
use super::row::Row;
use super::table::rows;
use super::value::Framing;

/// What is said in a listener's section and means nothing there.
pub(super) fn problems(listener: &Listener, section: &Layer) -> Vec<Problem> {
    let endpoint = &listener.endpoint.value;
    let void = |row: &'static Row| {
        // What is the default says nothing.
        let entry = section.get(row.key).filter(|entry| entry.text != row.default)?;
        let why = reason(row.key, listener)?;
        let problem = format!("`{}` means nothing to {endpoint}{why}", row.key);
        Some(Problem::new(&entry.origin, problem))
    };
    rows().filter(|row| row.is_for_sections()).filter_map(void).collect()
}

/// Why the setting of this key means nothing to a listener, as a clause behind its endpoint, which
/// is empty where that says it all; `None` if it means something.
pub(super) fn reason(key: &str, listener: &Listener) -> Option<&'static str> {
    let endpoint = &listener.endpoint.value;
    let is_raw = listener.settings.framing.value == Framing::Raw;
    let (means_something, why) = match key {
        _ if matches!(endpoint, Endpoint::Udp(_)) => (is_of_udp(key), ", which has no connections"),
        "allow-public-udp" | "datagram-rate" => (false, ""),
        "reply" | "max-frame" | "frame-timeout" => (!is_raw, WITHOUT_FRAMES),
        "allow-public-raw" => (is_raw, ", which has frames"),
        "unix-mode" | "unix-owner" | "unix-group" => (has_file(endpoint), ", which has no file"),
        "cert" | "key" | "client-ca" => (is_tls(endpoint), ""),
        "proxy-from" => (can_be_behind_balancers(endpoint), ""),
        "max-handshakes" | "handshake-timeout" => (
            listener.speaks_tls() || listener.balancers().is_some(),
            ", which has neither TLS nor `proxy-from`",
        ),
        _ => (true, ""),
    };
    (!means_something).then_some(why)
}

/// Whether it means something after all if a service manager passes a UDP socket, which it may
/// where nobody has said where to listen.
pub(super) fn is_for_passed_udp(key: &str, listener: &Listener) -> bool {
    listener.is_default() && is_of_udp(key)
}

/// All others are of connections.
fn is_of_udp(key: &str) -> bool {
    matches!(key, "reply" | "allow-public-udp" | "datagram-rate")
}

/// What is said of a raw listener.
const WITHOUT_FRAMES: &str = ", whose framing is raw";

fn has_file(endpoint: &Endpoint) -> bool {
    matches!(endpoint, Endpoint::Unix(address) if address.path().is_some())
}
