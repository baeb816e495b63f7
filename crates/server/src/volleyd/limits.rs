//! The limits in force, told when the daemon starts.

use std::fmt::Display;
use std::net::SocketAddr;

use rustix::process::{Resource, getrlimit};
use tracing::{info, warn};
use volley_cli::{format_bytes, format_duration, format_rate};
use volley_server::Config;

/// How a limit is shown that is not set.
const OFF: &str = "off";

/// Tells what a listener with this configuration takes, in one line.
pub(crate) fn tell(config: &Config, threads: u16) {
    let deadlines = &config.deadlines;
    info!(
        max_connections = config.connections.max(),
        max_connections_per_source = %shown(per_source(config), |max| max),
        descriptors = %shown(getrlimit(Resource::Nofile).current, |descriptors| descriptors),
        max_frame = %format_bytes(config.max_frame.get().into()),
        max_buffered = %format_bytes(config.buffers.max()),
        accept_rate = %shown(config.accept_rate, format_rate),
        frame_rate = %shown(config.frame_rate, format_rate),
        byte_rate = %shown(config.byte_rate, format_rate),
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

/// Warns of a listener that others than this machine can reach. Whoever does may use all of it.
pub(crate) fn warn_if_open(address: SocketAddr, config: &Config) {
    if address.ip().to_canonical().is_loopback() {
        return;
    }
    let deadlines = &config.deadlines;
    let off = [
        ("max-connections-per-source", per_source(config).is_none()),
        ("accept-rate", config.accept_rate.is_none()),
        ("frame-rate", config.frame_rate.is_none()),
        ("byte-rate", config.byte_rate.is_none()),
        ("first-frame-timeout", deadlines.first_frame.is_none()),
        ("frame-timeout", deadlines.frame.is_none()),
        ("idle-timeout", deadlines.idle.is_none()),
        ("write-timeout", deadlines.write.is_none()),
    ];
    let off: Vec<_> = off.into_iter().filter_map(|(name, is_off)| is_off.then_some(name)).collect();
    warn!(
        endpoint = %format_args!("tcp://{address}"),
        off = off.join(", "),
        "open to the network: whoever reaches it is served"
    );
}

fn per_source(config: &Config) -> Option<usize> {
    Some(config.connections.max_per_source()).filter(|&max| max < usize::MAX)
}

fn shown<T, D: Display>(limit: Option<T>, show: impl FnOnce(T) -> D) -> String {
    limit.map_or_else(|| OFF.to_owned(), |limit| show(limit).to_string())
}
