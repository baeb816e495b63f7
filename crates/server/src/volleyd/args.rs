//! The command line.

use std::num::NonZero;
use std::thread;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use volley_cli::{Reply, parse_bytes, parse_duration};
use volley_proto::{Endpoint, MaxFrame};

use crate::admin::AdminEndpoint;
use crate::logging;

/// Answers every length-prefixed frame with an echo or a receipt.
///
/// For each listener it prints a line on stdout as soon as it accepts: `listening
/// tcp://127.0.0.1:7007`, and behind them one for the admin listener, `admin tcp://127.0.0.1:7008`.
/// Logs go to stderr. SIGTERM or SIGINT stops accepting and drains the open
/// connections; a second one exits at once. With --drain-delay the first only makes the daemon not
/// ready, the second begins the drain, and the third exits. SIGUSR2 starts the program anew and
/// hands the listeners over to it; if it does not get ready, this one goes on.
#[derive(Debug, Parser)]
#[command(name = "volleyd", version, max_term_width = 100)]
#[command(after_help = "\
Examples:
  volleyd                        listen on tcp://127.0.0.1:7007 and echo
  volleyd --reply ack            answer with receipts: checksum, number, time
  volleyd --listen 127.0.0.1:0   let the system choose a port and print it
  volleyd --listen 0.0.0.0:7007 --listen '[::]:7007'
  volleyd --admin 127.0.0.1:7008  metrics, health and more over HTTP

Exit codes:
  0         drained after a signal
  2         wrong usage
  68, 69    a name was not found; cannot bind
  74        stdout can't be written
  78        a socket was passed that no listener wants
  130, 143  ended by a second signal")]
pub(crate) struct Args {
    /// Where to listen; can be given more than once. Port 0 lets the system choose [default: the
    /// sockets that a service manager passes, else tcp://127.0.0.1:7007]
    #[arg(long, value_name = "ENDPOINT")]
    pub(crate) listen: Vec<Endpoint>,

    /// Where to serve metrics, health, the open connections and the log's filter over HTTP, such as
    /// 127.0.0.1:7008 or unix:/run/volleyd/admin.sock [default: nowhere]
    #[arg(long, value_name = "ENDPOINT", env = "VOLLEYD_ADMIN")]
    pub(crate) admin: Option<AdminEndpoint>,

    /// The reply that a frame gets, unless the client asks for the other with HELLO
    #[arg(long, value_enum, value_name = "KIND", default_value_t)]
    pub(crate) reply: Reply,

    /// The longest payload to take, at most 64MiB; a longer one ends its connection
    #[arg(long, value_name = "BYTES", default_value = "1MiB", value_parser = parse_max_frame)]
    pub(crate) max_frame: MaxFrame,

    /// How many connections may be open at once; further ones are refused as busy [default: the
    /// limit on file descriptors less 32, and with --admin less 112]
    #[arg(long, value_name = "N")]
    pub(crate) max_connections: Option<usize>,

    /// How long connections may go on after a signal
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
    pub(crate) drain: Duration,

    /// How long to accept connections after a signal, and say that none should come any more, before
    /// the drain begins
    #[arg(long, value_name = "DURATION", env = "VOLLEYD_DRAIN_DELAY", default_value = "0s")]
    #[arg(value_parser = parse_duration)]
    pub(crate) drain_delay: Duration,

    /// Worker threads [default: one per CPU that the process may use]
    #[arg(long, value_name = "N", default_value_t = default_threads(), hide_default_value = true)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=i64::from(MOST_THREADS)))]
    pub(crate) threads: u16,

    /// What to log: a level, or a filter such as `warn,volley_server=debug`
    #[arg(long, value_name = "FILTER", env = "RUST_LOG", default_value = "info")]
    #[arg(value_parser = logging::check_filter)]
    pub(crate) log: String,

    /// How a line of the log is written
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) log_format: LogFormat,
}

/// More threads than any machine has use for.
const MOST_THREADS: u16 = 1024;

/// The forms of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// for people; coloured on a terminal
    #[default]
    Text,
    /// one JSON object per line
    Json,
}

fn default_threads() -> u16 {
    let cpus = thread::available_parallelism().map_or(1, NonZero::get);
    u16::try_from(cpus).map_or(MOST_THREADS, |cpus| cpus.min(MOST_THREADS))
}

fn parse_max_frame(text: &str) -> Result<MaxFrame, String> {
    MaxFrame::new(parse_bytes(text)?).map_err(|error| error.to_string())
}
