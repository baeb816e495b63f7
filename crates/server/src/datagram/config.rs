//! What the owner of a datagram listener can set.

use std::net::IpAddr;
use std::time::Duration;

use volley_proto::ReplyKind;

/// The settings of one datagram listener.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DatagramConfig {
    /// The reply that a datagram gets.
    pub reply: ReplyKind,
    /// Whether to serve an address that is not loopback. Whoever can reach it can have replies
    /// sent to anybody, by forging the source of what he sends.
    pub allow_public: bool,
    /// How many datagrams of each source are answered.
    pub source_rate: SourceRate,
    /// How long what has been received may still be answered after the shutdown was asked for.
    pub drain: Duration,
}

impl Default for DatagramConfig {
    /// Echo, loopback only, the rate that the address calls for, 10 s.
    fn default() -> Self {
        Self {
            reply: ReplyKind::Echo,
            allow_public: false,
            source_rate: SourceRate::Auto,
            drain: Duration::from_secs(10),
        }
    }
}

/// Datagrams per second of each source that are answered, with a tenth of a second's worth at once.
/// A source is an IPv4 address, or the first 64 bits of an IPv6 address.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum SourceRate {
    /// Without limit on a loopback address, else [`SourceRate::PUBLIC`].
    #[default]
    Auto,
    /// Without limit.
    Off,
    /// So many.
    PerSecond(f64),
}

impl SourceRate {
    /// What [`SourceRate::Auto`] is where others can send to. Whoever forges a source has no more
    /// than these sent to it, and two echo servers that answer each other do so no faster.
    pub const PUBLIC: f64 = 1000.0;

    /// Per second, for a listener on this address; `None` is without limit.
    pub fn on(self, address: IpAddr) -> Option<f64> {
        match self {
            Self::Auto => (!is_loopback(address)).then_some(Self::PUBLIC),
            Self::Off => None,
            Self::PerSecond(rate) => Some(rate),
        }
    }
}

/// Whether only this machine can send to an address.
pub(crate) fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_others_can_reach_has_a_rate_by_itself() {
        for (address, rate) in [
            ("127.0.0.1", None),
            ("127.7.7.7", None),
            ("::1", None),
            ("::ffff:127.0.0.1", None),
            ("0.0.0.0", Some(1000.0)),
            ("::", Some(1000.0)),
            ("192.0.2.1", Some(1000.0)),
            ("::ffff:192.0.2.1", Some(1000.0)),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(SourceRate::Auto.on(address), rate, "{address}");
            assert_eq!(SourceRate::Off.on(address), None);
            assert_eq!(SourceRate::PerSecond(7.0).on(address), Some(7.0));
        }
    }
}
