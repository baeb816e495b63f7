//! The table of settings, each of them once. Flags, environment variables, keys of the file,
//! `--help`, `--print-config`, suggestions and the reference all come from here, and so do the
//! structs that hold the values.
//!
//! To add a setting, add its entry: that is all.

use std::time::Duration;

use volley_cli::Reply;
use volley_proto::{Endpoint, MaxFrame};

use super::layer::Layer;
use super::problem::Problem;
use super::row::Group::{Deadlines, Limits, Listeners, Logging, Opening, Operation};
use super::row::{Row, Scope};
use super::value::{
    Auto, ByteRate, Bytes, Connections, FilePath, Filter, Framing, Group, LogFormat, Mode, Name,
    Networks, Percent, Rate, Switch, Threads, User,
};
use super::valued::{Shown, Valued};
use crate::admin::AdminEndpoint;

/// Where to listen. It stands apart from the others: there may be several, from one source.
pub(crate) const LISTEN: Row = Row {
    key: "listen",
    group: Listeners,
    default: "tcp://127.0.0.1:7007",
    example: "0.0.0.0:7007",
    brief: "Listen here",
    help: "Where to listen, such as 0.0.0.0:7007, tls://0.0.0.0:7443, udp://127.0.0.1:7007, \
           unix:/run/volley.sock or unix:@volley; can be given more than once. Port 0 lets the \
           system choose. By default on the sockets that a service manager passes, if it does",
    ..Row::of::<Endpoint>(Scope::Process)
};

/// What a listener is called, in its section.
pub(crate) const NAME: Row = Row {
    key: "name",
    group: Listeners,
    default: "",
    example: "public",
    help: "What the log and a service manager's socket call the listener",
    ..Row::of::<Name>(Scope::Section)
};

/// Declares settings of one [`Scope`]: a struct with their values, and their rows.
macro_rules! settings {
    (
        $(#[$doc:meta])*
        $name:ident: $scope:ident {
            $( $field:ident: $type:ty { $($column:ident: $content:expr),* $(,)? } )*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub(crate) struct $name {
            $( pub(crate) $field: Valued<$type>, )*
        }

        const _: () = {
            $( assert!(is_key_of(stringify!($field), $name::$field.key)); )*
        };

        impl $name {
            $(
                #[expect(non_upper_case_globals, reason = "it is called as its field")]
                const $field: Row =
                    Row { $($column: $content,)* ..Row::of::<$type>(Scope::$scope) };
            )*

            /// The rows, in the order of their fields.
            pub(crate) const ROWS: &[&Row] = &[$( &Self::$field ),*];

            /// Takes each value from the first of `layers` that has one, or else its default.
            pub(crate) fn resolve(layers: &[&Layer]) -> Result<Self, Problem> {
                Ok(Self { $( $field: Valued::resolve(&Self::$field, layers)?, )* })
            }

            /// The values as texts, in the order of the rows.
            pub(crate) fn shown(&self) -> Vec<Shown<'_>> {
                vec![$( Shown::new(&Self::$field, &self.$field) ),*]
            }
        }
    };
}

settings! {
    /// What holds for the process.
    ProcessSettings: Process {
        admin: Option<AdminEndpoint> {
            key: "admin",
            group: Listeners,
            default: "off",
            example: "127.0.0.1:7008",
            brief: "Metrics and health",
            help: "Where to serve metrics, health, the open connections and the log's filter over \
                   HTTP, such as 127.0.0.1:7008 or unix:/run/volleyd/admin.sock",
        }
        max_connections: Auto<Connections> {
            key: "max-connections",
            group: Limits,
            reloadable: true,
            default: "auto",
            example: "10k",
            brief: "Open connections at once",
            help: "How many connections may be open at once; further ones are refused as busy. \
                   auto is the limit on file descriptors less 32, and with --admin less 112",
        }
        max_connections_per_source: Option<Connections> {
            key: "max-connections-per-source",
            group: Limits,
            reloadable: true,
            default: "off",
            example: "100",
            brief: "The same for one source",
            help: "The same for those of one IPv4 address, of one IPv6 network of 64 bits, or of \
                   one user at Unix sockets",
        }
        max_buffered: Option<Bytes> {
            key: "max-buffered",
            group: Limits,
            reloadable: true,
            default: "1GiB",
            example: "256MiB",
            brief: "Memory for all buffers",
            help: "How many bytes of unfinished frames and unread replies all connections together \
                   may keep; one that needs more is ended",
        }
        drain: Duration {
            key: "drain",
            group: Operation,
            reloadable: true,
            default: "10s",
            example: "30s",
            brief: "Time to go on after a signal",
            help: "How long connections may go on after a signal",
        }
        drain_delay: Duration {
            key: "drain-delay",
            group: Operation,
            reloadable: true,
            default: "0s",
            example: "5s",
            brief: "Time to accept on before the drain",
            help: "How long to accept connections after a signal, and say that none should come \
                   any more, before the drain begins",
        }
        threads: Auto<Threads> {
            key: "threads",
            group: Operation,
            default: "auto",
            example: "4",
            brief: "Worker threads",
            help: "Worker threads; auto is one per CPU that the process may use",
        }
        log: Filter {
            key: "log",
            group: Logging,
            reloadable: true,
            default: "info",
            example: "warn,volley_server=debug",
            brief: "What to log: a level or a filter",
            help: "What to log: a level, or a filter such as `warn,volley_server=debug`. Without \
                   VOLLEYD_LOG, RUST_LOG is heeded too",
        }
        log_format: LogFormat {
            key: "log-format",
            group: Logging,
            default: "text",
            example: "json",
            brief: "How a line of the log is written",
            help: "How a line of the log is written",
        }
    }
}

settings! {
    /// What holds for a listener and its connections.
    ListenerSettings: Listener {
        reply: Reply {
            key: "reply",
            group: Listeners,
            default: "echo",
            example: "ack",
            brief: "The reply to a frame",
            help: "The reply that a frame gets, unless the client asks for the other with HELLO",
        }
        framing: Framing {
            key: "framing",
            group: Listeners,
            default: "frames",
            example: "raw",
            brief: "How a stream is cut",
            help: "raw sends back what comes in, without frames, receipts and ERROR: for nc, socat \
                   and the checks of balancers; on loopback and Unix sockets only, unless \
                   --allow-public-raw is given",
        }
        allow_public_raw: Switch {
            key: "allow-public-raw",
            group: Listeners,
            default: "off",
            example: "on",
            brief: "Take raw from the network",
            help: "Lets a raw listener be open to the network",
        }
        allow_public_udp: Switch {
            key: "allow-public-udp",
            group: Listeners,
            default: "off",
            example: "on",
            brief: "Take UDP from the network",
            help: "Lets a UDP listener be open to the network, where whoever forges the source of \
                   a datagram has the reply sent there",
        }
        unix_mode: Mode {
            key: "unix-mode",
            group: Listeners,
            default: "0660",
            example: "0600",
            brief: "Mode of a socket's file",
            help: "The permissions of a Unix socket's file: who may write to it may connect",
        }
        unix_owner: Auto<User> {
            key: "unix-owner",
            group: Listeners,
            default: "auto",
            example: "root",
            brief: "Who owns that file",
            help: "Who owns it, by name or number; auto is the user of the process, and only a \
                   privileged one may say otherwise",
        }
        unix_group: Auto<Group> {
            key: "unix-group",
            group: Listeners,
            default: "auto",
            example: "root",
            brief: "Its group",
            help: "The same for its group, which may be any that the process is in",
        }
        cert: Option<FilePath> {
            key: "cert",
            group: Opening,
            reloadable: true,
            default: "off",
            example: "/etc/volleyd/cert.pem",
            brief: "Certificate for tls://",
            help: "The certificate of tls:// listeners, in PEM, with those that sign it behind it",
        }
        key: Option<FilePath> {
            key: "key",
            group: Opening,
            reloadable: true,
            default: "off",
            example: "/etc/volleyd/key.pem",
            brief: "Its private key, in PEM",
            help: "Its private key, in PEM; it may stand in the same file",
        }
        client_ca: Option<FilePath> {
            key: "client-ca",
            group: Opening,
            reloadable: true,
            default: "off",
            example: "/etc/volleyd/clients.pem",
            brief: "Who signs certificates of clients",
            help: "Who signs the certificates of clients, in PEM: each client of a tls:// listener \
                   must then show one",
        }
        proxy_from: Option<Networks> {
            key: "proxy-from",
            group: Opening,
            reloadable: true,
            default: "off",
            example: "10.0.0.0/8,192.0.2.7",
            brief: "Balancers with PROXY",
            help: "Balancers, as networks: TCP and TLS listeners then require a PROXY header, \
                   version 1 or 2, and take it, and connections, from nobody else",
        }
        max_handshakes: Option<Connections> {
            key: "max-handshakes",
            group: Limits,
            reloadable: true,
            default: "256",
            example: "1k",
            brief: "Handshakes at once",
            help: "How many TLS handshakes and PROXY headers of a listener may be under way at \
                   once; the others wait for their turn",
        }
        max_frame: MaxFrame {
            key: "max-frame",
            group: Limits,
            reloadable: true,
            default: "1MiB",
            example: "64KiB",
            brief: "The longest payload",
            help: "The longest payload to take, at most 64MiB; a longer one ends its connection",
        }
        accept_rate: Option<Rate> {
            key: "accept-rate",
            group: Limits,
            reloadable: true,
            default: "off",
            example: "1k",
            brief: "Connections/s to accept",
            help: "Connections per second that a listener accepts; the others wait",
        }
        frame_rate: Option<Rate> {
            key: "frame-rate",
            group: Limits,
            reloadable: true,
            default: "off",
            example: "50k",
            brief: "Frames/s per connection",
            help: "Frames per second that a connection is read at",
        }
        byte_rate: Option<ByteRate> {
            key: "byte-rate",
            group: Limits,
            reloadable: true,
            default: "off",
            example: "1MiB",
            brief: "Bytes/s per connection",
            help: "Bytes per second that a connection is read at",
        }
        datagram_rate: Auto<Option<Rate>> {
            key: "datagram-rate",
            group: Limits,
            reloadable: true,
            default: "auto",
            example: "5k",
            brief: "Datagrams/s per source",
            help: "Datagrams per second of each source that a UDP listener answers; auto is off on \
                   loopback addresses and 1k elsewhere",
        }
        handshake_timeout: Option<Duration> {
            key: "handshake-timeout",
            group: Deadlines,
            reloadable: true,
            default: "10s",
            example: "3s",
            brief: "Time for the handshake",
            help: "How long a new connection may take for its PROXY header and its TLS handshake, \
                   with the wait for its turn",
        }
        first_frame_timeout: Option<Duration> {
            key: "first-frame-timeout",
            group: Deadlines,
            reloadable: true,
            default: "10s",
            example: "5s",
            brief: "Time for the first frame",
            help: "How long a new connection may take for its first whole frame",
        }
        frame_timeout: Option<Duration> {
            key: "frame-timeout",
            group: Deadlines,
            reloadable: true,
            default: "10s",
            example: "30s",
            brief: "Time for a frame",
            help: "How long a frame may take from its first byte to its last, and what its size \
                   takes at --min-rate on top",
        }
        min_rate: Option<ByteRate> {
            key: "min-rate",
            group: Deadlines,
            reloadable: true,
            default: "16KiB",
            example: "64KiB",
            brief: "Slowest rate in bytes/s",
            help: "Bytes per second at which large frames and replies are granted more time; off \
                   grants them none",
        }
        idle_timeout: Option<Duration> {
            key: "idle-timeout",
            group: Deadlines,
            reloadable: true,
            default: "5m",
            example: "1m",
            brief: "Silence between frames",
            help: "How long a connection may be silent between two frames",
        }
        write_timeout: Option<Duration> {
            key: "write-timeout",
            group: Deadlines,
            reloadable: true,
            default: "30s",
            example: "10s",
            brief: "Time to read replies",
            help: "How long a client may take for the next byte of its replies, and for all of \
                   them with what their size takes at --min-rate on top",
        }
        lifetime: Option<Duration> {
            key: "lifetime",
            group: Deadlines,
            reloadable: true,
            default: "off",
            example: "1h",
            brief: "Time for a connection",
            help: "How long a connection may last; then its client is asked to leave within \
                   --drain",
        }
        lifetime_jitter: Percent {
            key: "lifetime-jitter",
            group: Deadlines,
            reloadable: true,
            default: "10%",
            example: "25%",
            brief: "How much it varies",
            help: "By how much lifetimes differ, up or down, so that those who came together don't \
                   leave together",
        }
    }
}

settings! {
    /// What holds for a listener alone, on top of what holds for the process.
    SectionSettings: Section {
        max_connections: Option<Connections> {
            key: "max-connections",
            group: Limits,
            reloadable: true,
            default: "off",
            example: "1k",
            help: "How many connections of this listener may be open at once, within the limit for \
                   all",
        }
        max_connections_per_source: Option<Connections> {
            key: "max-connections-per-source",
            group: Limits,
            reloadable: true,
            default: "off",
            example: "10",
            help: "The same for those of one source",
        }
    }
}

/// All rows, by group; those for sections last in each.
pub(crate) fn rows() -> impl Iterator<Item = &'static Row> {
    let all = || {
        let apart: [&'static Row; 2] = [&LISTEN, &NAME];
        let declared = [ListenerSettings::ROWS, ProcessSettings::ROWS, SectionSettings::ROWS];
        apart.into_iter().chain(declared.into_iter().flatten().copied())
    };
    super::row::Group::ALL.into_iter().flat_map(move |group| {
        let of_group = move |row: &&Row| row.group == group;
        let general = all().filter(of_group).filter(|row| row.is_general());
        let sections = all().filter(of_group).filter(|row| !row.is_general());
        general.chain(sections)
    })
}

/// Whether `key` is `field` with hyphens.
const fn is_key_of(field: &str, key: &str) -> bool {
    let (field, key) = (field.as_bytes(), key.as_bytes());
    let mut at = 0;
    while at < field.len() && at < key.len() {
        let expected = if field[at] == b'_' { b'-' } else { field[at] };
        if key[at] != expected {
            return false;
        }
        at += 1;
    }
    field.len() == key.len()
}
