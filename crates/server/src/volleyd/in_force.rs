//! Settings put in force: what the library is given for each listener, first at the start and then
//! whenever they change.

use std::time::Duration;

use tokio::sync::watch;
use tracing::warn;
use volley_proto::Endpoint;
use volley_server::{
    BufferLimit, Config, ConnectionLimit, DatagramConfig, DatagramHandle, Deadlines, Handle,
    LiveTls, SourceRate, Trusted,
};

use crate::certificates::Certificates;
use crate::config::{Connections, Listener, Networks, Settings};
use crate::{admin, limits, listen};

/// What listeners share, and the servers that obey it.
#[derive(Debug)]
pub(crate) struct InForce {
    connections: ConnectionLimit,
    buffers: BufferLimit,
    drain_delay: watch::Sender<Duration>,
    /// In the order of [`Settings::listeners`].
    listeners: Vec<ListenerInForce>,
}

#[derive(Debug)]
struct ListenerInForce {
    /// Under that of all.
    connections: ConnectionLimit,
    /// What it shows, if it speaks TLS.
    tls: Option<LiveTls>,
    /// Whose PROXY headers it takes, if it requires them.
    trusted: Option<Trusted>,
    /// One for each of its sockets.
    servers: Vec<Handle>,
    /// One for each of those that receive datagrams.
    datagram_servers: Vec<DatagramHandle>,
}

impl InForce {
    pub(crate) fn new(settings: &Settings, certificates: &Certificates) -> Self {
        let connections = ConnectionLimit::from_descriptors();
        let listener = |(at, listener): (usize, &Listener)| ListenerInForce {
            connections: connections.child(),
            tls: certificates.of(at).cloned().map(LiveTls::new),
            trusted: listener.balancers().map(|Networks(networks)| Trusted::new(networks.clone())),
            servers: Vec::new(),
            datagram_servers: Vec::new(),
        };
        let listeners = settings.listeners.iter().enumerate().map(listener).collect();
        let drain_delay = watch::Sender::new(settings.process.drain_delay.value);
        let in_force =
            Self { connections, buffers: BufferLimit::default(), drain_delay, listeners };
        in_force.move_limits(settings);
        in_force
    }

    /// Of all listeners together.
    pub(crate) const fn connections(&self) -> &ConnectionLimit {
        &self.connections
    }

    /// Of all listeners together.
    pub(crate) const fn buffers(&self) -> &BufferLimit {
        &self.buffers
    }

    /// Logs the limits, in one line for each listener, as far as they are the same for all of its
    /// sockets. Of what kind those are is not for the settings to say: they may have been passed.
    pub(crate) fn tell(&self, settings: &Settings, sockets: &[listen::Listener], threads: usize) {
        for (at, listener) in settings.listeners.iter().enumerate() {
            let title = settings.title_of(listener);
            let title = title.as_deref();
            let endpoints = || {
                let own = sockets.iter().filter(|socket| socket.wanted == at);
                own.map(|socket| &socket.endpoint)
            };
            if endpoints().any(|endpoint| !matches!(endpoint, Endpoint::Udp(_))) {
                limits::tell(title, &self.config(settings, at), &self.connections, threads);
            }
            let config = Self::datagram_config(settings, at);
            let mut rates: Vec<_> = endpoints()
                .filter_map(|endpoint| limits::datagram_rate(&config, endpoint))
                .collect();
            rates.sort_unstable();
            rates.dedup();
            for rate in rates {
                limits::tell_datagrams(title, &rate, &config, threads);
            }
        }
    }

    /// How long connections are accepted once the daemon is asked to go.
    pub(crate) fn drain_delay(&self) -> watch::Receiver<Duration> {
        self.drain_delay.subscribe()
    }

    /// For a server of the `at`th listener.
    ///
    /// # Panics
    ///
    /// Where there is none.
    pub(crate) fn config(&self, settings: &Settings, at: usize) -> Config {
        let (listener, limits) = (&settings.listeners[at], &self.listeners[at]);
        let mut config = Config::default();
        config.connections = limits.connections.clone();
        config.buffers = self.buffers.clone();
        config.drain = settings.process.drain.value;
        let settings = &listener.settings;
        config.reply = settings.reply.value.into();
        config.max_frame = settings.max_frame.value;
        config.max_handshakes = or_all(settings.max_handshakes.value);
        config.accept_rate = settings.accept_rate.value.map(|rate| rate.0);
        config.frame_rate = settings.frame_rate.value.map(|rate| rate.0);
        config.byte_rate = settings.byte_rate.value.map(|rate| rate.0 as f64);
        config.deadlines = deadlines(listener);
        config
    }

    /// What the `at`th listener shows, if it speaks TLS.
    ///
    /// # Panics
    ///
    /// Where there is none.
    pub(crate) fn tls(&self, at: usize) -> Option<LiveTls> {
        self.listeners[at].tls.clone()
    }

    /// Whose PROXY headers the `at`th listener takes, if it requires them.
    ///
    /// # Panics
    ///
    /// Where there is none.
    pub(crate) fn trusted(&self, at: usize) -> Option<Trusted> {
        self.listeners[at].trusted.clone()
    }

    /// For a server of datagrams of the `at`th listener.
    ///
    /// # Panics
    ///
    /// Where there is none.
    pub(crate) fn datagram_config(settings: &Settings, at: usize) -> DatagramConfig {
        let listener = &settings.listeners[at].settings;
        let mut config = DatagramConfig::default();
        config.reply = listener.reply.value.into();
        config.allow_public = listener.allow_public_udp.value.0;
        config.source_rate = match listener.datagram_rate.value.given() {
            None => SourceRate::Auto,
            Some(None) => SourceRate::Off,
            Some(Some(rate)) => SourceRate::PerSecond(rate.0),
        };
        config.drain = settings.process.drain.value;
        config
    }

    /// Has a server of the `at`th listener obey what is in force from now on.
    ///
    /// # Panics
    ///
    /// Where there is none.
    pub(crate) fn add(&mut self, at: usize, server: Handle) {
        self.listeners[at].servers.push(server);
    }

    /// The same for a server of datagrams.
    ///
    /// # Panics
    ///
    /// Where there is none.
    pub(crate) fn add_datagrams(&mut self, at: usize, server: DatagramHandle) {
        self.listeners[at].datagram_servers.push(server);
    }

    /// Puts others in force. Their listeners must be the same ones.
    pub(crate) fn change(&self, settings: &Settings, certificates: &Certificates) {
        self.move_limits(settings);
        for (at, listener) in self.listeners.iter().enumerate() {
            if let (Some(live), Some(config)) = (&listener.tls, certificates.of(at)) {
                live.replace(config.clone());
            }
            let balancers = settings.listeners[at].balancers();
            if let (Some(trusted), Some(Networks(networks))) = (&listener.trusted, balancers) {
                trusted.replace(networks.clone());
            }
            for server in &listener.servers {
                server.reconfigure(self.config(settings, at));
            }
            for server in &listener.datagram_servers {
                server.reconfigure(Self::datagram_config(settings, at));
            }
        }
    }

    fn move_limits(&self, settings: &Settings) {
        let process = &settings.process;
        let possible = possible_connections(settings);
        let Connections(max) =
            process.max_connections.value.unwrap_or_else(|| Connections(possible));
        if max > possible {
            warn!(max_connections = max, possible, "more connections than descriptors allow");
        }
        self.drain_delay.send_replace(process.drain_delay.value);
        self.connections.set_max(max);
        self.connections.set_max_per_source(or_all(process.max_connections_per_source.value));
        self.buffers.set_max(process.max_buffered.value.map_or(u64::MAX, |bytes| bytes.0));
        for (listener, limits) in settings.listeners.iter().zip(&self.listeners) {
            let own = &listener.own;
            limits.connections.set_max(or_all(own.max_connections.value));
            limits.connections.set_max_per_source(or_all(own.max_connections_per_source.value));
        }
    }
}

fn or_all(limit: Option<Connections>) -> usize {
    limit.map_or(usize::MAX, |Connections(max)| max)
}

/// As many as there are descriptors for, beside those of the admin listener.
fn possible_connections(settings: &Settings) -> usize {
    let possible = ConnectionLimit::from_descriptors().max();
    match settings.process.admin.value {
        Some(_) => possible.saturating_sub(admin::DESCRIPTORS).max(possible / 2),
        None => possible,
    }
}

fn deadlines(listener: &Listener) -> Deadlines {
    let settings = &listener.settings;
    let mut deadlines = Deadlines::off();
    deadlines.handshake = settings.handshake_timeout.value;
    deadlines.first_frame = settings.first_frame_timeout.value;
    deadlines.frame = settings.frame_timeout.value;
    deadlines.min_rate = settings.min_rate.value.map(|rate| rate.0);
    deadlines.idle = settings.idle_timeout.value;
    deadlines.write = settings.write_timeout.value;
    deadlines.lifetime = settings.lifetime.value;
    deadlines.lifetime_jitter = settings.lifetime_jitter.value.fraction();
    deadlines
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use volley_proto::{MaxFrame, ReplyKind};

    use super::*;
    use crate::config::{Flags, Sources};

    fn settings(flags: &[&str]) -> Settings {
        let flags = Flags::parse(["volleyd"].iter().chain(flags)).unwrap();
        Sources::new(flags, []).unwrap().settings().unwrap()
    }

    fn in_force(settings: &Settings) -> InForce {
        InForce::new(settings, &Certificates::default())
    }

    #[test]
    fn by_default_the_library_gets_its_own_defaults() {
        let settings = settings(&[]);
        let in_force = in_force(&settings);
        let (config, default) = (in_force.config(&settings, 0), Config::default());
        assert_eq!(config.reply, default.reply);
        assert_eq!(config.max_frame, default.max_frame);
        assert_eq!(config.drain, default.drain);
        assert_eq!(config.deadlines, default.deadlines);
        assert_eq!(config.max_handshakes, default.max_handshakes);
        assert_eq!(config.buffers.max(), default.buffers.max());
        assert_eq!(in_force.connections.max(), default.connections.max());
        assert_eq!(in_force.connections.max_per_source(), default.connections.max_per_source());
        assert_eq!(config.connections.max(), usize::MAX);
        assert_eq!(
            (config.accept_rate, config.frame_rate, config.byte_rate),
            (default.accept_rate, default.frame_rate, default.byte_rate)
        );
        let (config, default) = (InForce::datagram_config(&settings, 0), DatagramConfig::default());
        assert_eq!((config.reply, config.allow_public), (default.reply, default.allow_public));
        assert_eq!((config.source_rate, config.drain), (default.source_rate, default.drain));
    }

    #[test]
    fn each_setting_ends_where_it_belongs() {
        let texts = "--reply ack --max-frame 2k --drain 1s --drain-delay 1500ms \
                     --max-connections 3 --max-connections-per-source 2 --max-buffered 4k \
                     --accept-rate 5 --frame-rate 6 --byte-rate 7k --max-handshakes 8 \
                     --handshake-timeout 7s --first-frame-timeout 8s --frame-timeout 9s \
                     --min-rate 10k --idle-timeout 11s --write-timeout 12s --lifetime 13s \
                     --lifetime-jitter 50% --allow-public-udp --datagram-rate 14";
        let settings = settings(&texts.split_whitespace().collect::<Vec<_>>());
        let in_force = in_force(&settings);
        let config = in_force.config(&settings, 0);
        assert_eq!(*in_force.drain_delay().borrow(), Duration::from_millis(1500));
        assert_eq!(config.reply, ReplyKind::Ack);
        assert_eq!(config.max_frame, MaxFrame::new(2000).unwrap());
        assert_eq!(config.drain, Duration::from_secs(1));
        assert_eq!(in_force.connections.max(), 3);
        assert_eq!(in_force.connections.max_per_source(), 2);
        assert_eq!(config.buffers.max(), 4000);
        assert_eq!(
            (config.accept_rate, config.frame_rate, config.byte_rate),
            (Some(5.0), Some(6.0), Some(7000.0))
        );
        let seconds = |n| Some(Duration::from_secs(n));
        let deadlines = &config.deadlines;
        assert_eq!((config.max_handshakes, deadlines.handshake), (8, seconds(7)));
        assert_eq!((deadlines.first_frame, deadlines.frame), (seconds(8), seconds(9)));
        assert_eq!((deadlines.idle, deadlines.write), (seconds(11), seconds(12)));
        assert_eq!((deadlines.lifetime, deadlines.lifetime_jitter), (seconds(13), 0.5));
        assert_eq!(deadlines.min_rate, Some(10_000));
        let config = InForce::datagram_config(&settings, 0);
        assert_eq!((config.reply, config.allow_public), (ReplyKind::Ack, true));
        assert_eq!(config.source_rate, SourceRate::PerSecond(14.0));
        assert_eq!(config.drain, Duration::from_secs(1));
    }

    #[test]
    fn off_is_without_limit() {
        let texts = "--max-buffered off --min-rate off --idle-timeout off --datagram-rate off";
        let settings = settings(&texts.split_whitespace().collect::<Vec<_>>());
        let config = in_force(&settings).config(&settings, 0);
        assert_eq!(config.buffers.max(), u64::MAX);
        assert_eq!((config.deadlines.min_rate, config.deadlines.idle), (None, None));
        assert_eq!(InForce::datagram_config(&settings, 0).source_rate, SourceRate::Off);
    }

    #[test]
    fn limits_that_have_moved_are_the_same_limits() {
        let after = ["--max-connections", "3", "--drain-delay", "1s"];
        let (before, after) = (settings(&[]), settings(&after));
        let in_force = in_force(&before);
        let (shared, delay) = (in_force.connections().clone(), in_force.drain_delay());
        in_force.change(&after, &Certificates::default());
        assert_eq!((shared.max(), *delay.borrow()), (3, Duration::from_secs(1)));
        in_force.change(&before, &Certificates::default());
        assert_eq!(shared.max(), ConnectionLimit::from_descriptors().max());
        assert_eq!(*delay.borrow(), Duration::ZERO);
    }

    #[test]
    fn the_admin_listener_has_descriptors_too() {
        let settings = settings(&["--admin", "127.0.0.1:0"]);
        let possible = ConnectionLimit::from_descriptors().max();
        let expected = (possible - admin::DESCRIPTORS).max(possible / 2);
        assert_eq!(in_force(&settings).connections().max(), expected);
    }
}
