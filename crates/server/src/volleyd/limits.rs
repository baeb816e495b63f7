//! The limits in force, told when the daemon starts.

use std::fmt::Display;

use rustix::process::{Resource, getrlimit};
use tracing::{info, warn};
use volley_cli::{format_bytes, format_duration, format_rate};
use volley_proto::{Address, Endpoint};
use volley_server::{Config, ConnectionLimit, DatagramConfig};

use crate::config::is_open;

/// How a limit is shown that is not set.
const OFF: &str = "off";

/// Tells what a listener with this configuration takes, in one line; `all` is the limit for all of
/// them together, and `listener` what this one is called among several.
pub(crate) fn tell(listener: Option<&str>, config: &Config, all: &ConnectionLimit, threads: usize) {
    let deadlines = &config.deadlines;
    info!(
        listener,
        max_connections = config.connections.max().min(all.max()),
        max_connections_per_source = %shown(per_source(config, all), |max| max),
        descriptors = %shown(getrlimit(Resource::Nofile).current, |descriptors| descriptors),
        max_frame = %format_bytes(config.max_frame.get().into()),
        max_buffered = %shown(buffered(config), format_bytes),
        accept_rate = %shown(config.accept_rate, format_rate),
        frame_rate = %shown(config.frame_rate, format_rate),
        byte_rate = %shown(config.byte_rate, format_rate),
        max_handshakes = %shown(handshakes(config), |max| max),
        handshake_timeout = %shown(deadlines.handshake, format_duration),
        first_frame_timeout = %shown(deadlines.first_frame, format_duration),
        frame_timeout = %shown(deadlines.frame, format_duration),
        min_rate = %shown(deadlines.min_rate, format_bytes),
        idle_timeout = %shown(deadlines.idle, format_duration),
        write_timeout = %shown(deadlines.write, format_duration),
        lifetime = %shown(deadlines.lifetime, format_duration),
        drain = %format_duration(config.drain),
        threads,
        "limits in force"
    );
}

fn handshakes(config: &Config) -> Option<usize> {
    Some(config.max_handshakes).filter(|&max| max < usize::MAX)
}

/// How many datagrams of a source a listener with this configuration answers there; `None` if it
/// receives none.
pub(crate) fn datagram_rate(config: &DatagramConfig, endpoint: &Endpoint) -> Option<String> {
    match endpoint {
        Endpoint::Udp(Address::Socket(address)) => {
            Some(shown(config.source_rate.on(address.ip()), format_rate))
        }
        _ => None,
    }
}

/// The same as [`tell`] for a listener that receives datagrams, and answers them at this rate.
pub(crate) fn tell_datagrams(
    listener: Option<&str>,
    rate: &str,
    config: &DatagramConfig,
    threads: usize,
) {
    info!(
        listener,
        datagram_rate = %rate,
        drain = %format_duration(config.drain),
        threads,
        "limits in force"
    );
}

/// Warns of a listener of datagrams that others than this machine can reach.
pub(crate) fn warn_if_open_to_datagrams(endpoint: &Endpoint) {
    if is_open(endpoint) {
        warn!(
            %endpoint,
            "open to the network: whoever forges the source of a datagram has the reply sent there"
        );
    }
}

/// Warns of a listener that others than this machine can reach. Whoever does may use all of it.
pub(crate) fn warn_if_open(endpoint: &Endpoint, config: &Config, all: &ConnectionLimit) {
    if is_open(endpoint) {
        warn!(
            %endpoint,
            off = off(config, all).join(", "),
            "open to the network: whoever reaches it is served"
        );
    }
}

/// The limits that keep one peer, or all of them, from more than their share, and are not set.
fn off(config: &Config, all: &ConnectionLimit) -> Vec<&'static str> {
    let deadlines = &config.deadlines;
    let limits = [
        ("max-connections-per-source", per_source(config, all).is_some()),
        ("accept-rate", config.accept_rate.is_some()),
        ("frame-rate", config.frame_rate.is_some()),
        ("byte-rate", config.byte_rate.is_some()),
        ("first-frame-timeout", deadlines.first_frame.is_some()),
        ("frame-timeout", deadlines.frame.is_some()),
        ("idle-timeout", deadlines.idle.is_some()),
        ("write-timeout", deadlines.write.is_some()),
    ];
    limits.into_iter().filter_map(|(name, is_set)| (!is_set).then_some(name)).collect()
}

/// The lower one of the listener's own and that for all.
fn per_source(config: &Config, all: &ConnectionLimit) -> Option<usize> {
    let max = config.connections.max_per_source().min(all.max_per_source());
    Some(max).filter(|&max| max < usize::MAX)
}

fn buffered(config: &Config) -> Option<u64> {
    Some(config.buffers.max()).filter(|&max| max < u64::MAX)
}

fn shown<T, D: Display>(limit: Option<T>, show: impl FnOnce(T) -> D) -> String {
    limit.map_or_else(|| OFF.to_owned(), |limit| show(limit).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_of_datagrams_is_told_as_the_server_has_it() {
        let config = DatagramConfig::default();
        for (endpoint, rate) in [
            ("udp://127.0.0.1:1", Some("off")),
            ("udp://[::ffff:127.0.0.1]:1", Some("off")),
            ("udp://0.0.0.0:1", Some("1k")),
            ("tcp://0.0.0.0:1", None),
        ] {
            let told = datagram_rate(&config, &endpoint.parse().unwrap());
            assert_eq!(told.as_deref(), rate, "{endpoint}");
        }
    }

    #[test]
    fn names_the_limits_that_are_off() {
        let mut config = Config::default();
        let all = ConnectionLimit::from_descriptors();
        config.connections = all.child();
        let rates = ["max-connections-per-source", "accept-rate", "frame-rate", "byte-rate"];
        assert_eq!(off(&config, &all), rates);
        // For all is as good as for this one.
        all.set_max_per_source(10);
        (config.accept_rate, config.frame_rate) = (Some(1.0), Some(1.0));
        config.byte_rate = Some(1.0);
        assert!(off(&config, &all).is_empty());
        config.deadlines.idle = None;
        assert_eq!(off(&config, &all), ["idle-timeout"]);
    }
}
