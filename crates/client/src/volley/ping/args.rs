//! The command line of `volley ping`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU64;
use std::time::Duration;

use volley_cli::{HELP, parse_bytes, parse_count, parse_seconds};
use volley_client::flags::ConnectFlags;
use volley_client::{Framing, Options};
use volley_proto::MaxFrame;

use crate::failure::Failure;
use crate::targets::Targets;
use crate::terms::Terms;

/// The granularity of timers.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(1);

#[derive(Debug, clap::Args)]
#[command(help_template = HELP, before_help = "\
Examples:
  volley ping                          tcp://127.0.0.1:7007, until Ctrl-C
  volley ping -c 5 -i 0.2 server:7007  five pings, five a second
  volley ping --connect a:7007 b:7007  two targets, a connection for each ping
  volley ping -c 10 -w 15 -q server:9  for scripts: all 10 must be answered
  volley ping --json server:7007       an object per line, for programs", after_help = "\
Exit codes:
  0         every target answered, and with nothing but what was sent: one ping,
            or all of them if both -c and -w are given
  1         a target did not
  2         wrong usage, a name that is not found, a certificate or key that
            cannot be used, a stdout that is not written
  130, 143  ended by SIGINT, SIGTERM; the summary is printed

Signals:
  SIGQUIT   (Ctrl-\\) shows on stderr how it stands")]
pub(crate) struct PingArgs {
    /// How many pings
    ///
    /// Without it they go on until Ctrl-C or --deadline.
    #[arg(short, long, value_name = "N", value_parser = parse_pings)]
    pub(crate) count: Option<NonZeroU64>,

    /// Time from one ping to the next
    ///
    /// In seconds, or with a unit: 0.2, 200ms.
    #[arg(short, long, value_name = "TIME", default_value = "1", value_parser = parse_interval)]
    pub(crate) interval: Duration,

    /// Bytes of a payload
    #[arg(short, long, value_name = "BYTES", default_value = "64", value_parser = parse_size)]
    pub(crate) size: usize,

    /// How long to wait for a reply
    ///
    /// And with --connect for the connection.
    #[arg(short = 'W', long, value_name = "TIME", default_value = "1", value_parser = parse_seconds)]
    pub(crate) timeout: Duration,

    /// Time after which all is over
    ///
    /// However many pings were sent or answered.
    #[arg(short = 'w', long, value_name = "TIME", value_parser = parse_seconds)]
    pub(crate) deadline: Option<Duration>,

    /// A new connection for every ping
    ///
    /// It shows the time until the connection could be used.
    #[arg(long)]
    pub(crate) connect: bool,

    /// Print nothing but the first line and the summary
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// Print an object per line (NDJSON) for every event
    ///
    /// And one per target at the end. CLIENT.md has their fields.
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    terms: Terms,

    /// How pings stand in the bytes
    ///
    /// Of the connection; raw says no HELLO.
    #[arg(long, value_enum, value_name = "FRAMING", default_value = "frames")]
    pub(crate) framing: Framing,

    #[command(flatten)]
    pub(crate) connect_flags: ConnectFlags,

    /// Only addresses of IPv4
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    ipv4: bool,

    /// Only addresses of IPv6
    #[arg(short = '6', long)]
    ipv6: bool,

    #[command(flatten)]
    pub(crate) targets: Targets,
}

impl PingArgs {
    /// What to agree on with a server.
    pub(crate) const fn terms(&self) -> Terms {
        self.terms
    }

    /// Whether a server is greeted, and WELCOME awaited.
    pub(crate) fn greets(&self) -> bool {
        self.framing == Framing::Frames && self.terms.greets()
    }

    /// Whether pings can be sent so.
    pub(crate) fn check_framing(&self) -> Result<(), Failure> {
        self.framing.check(self.terms.wanted(), self.targets.iter())?;
        if self.framing == Framing::Raw && self.size == 0 {
            return Err(Failure::Usage(
                "a ping without a byte is none with --framing raw".to_owned(),
            ));
        }
        Ok(())
    }

    /// How to connect within `timeout`.
    pub(crate) fn options(&self, timeout: Duration) -> Options {
        let mut options = self.terms.options("volley ping", timeout);
        options.framing = self.framing;
        options.local = match (self.ipv4, self.ipv6) {
            (true, _) => Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            (_, true) => Some(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
            _ => None,
        };
        options
    }

    /// How many pings a target gets at most.
    pub(crate) fn most(&self) -> u64 {
        self.count.map_or(u64::MAX, NonZeroU64::get)
    }
}

fn parse_pings(text: &str) -> Result<NonZeroU64, String> {
    NonZeroU64::new(parse_count(text)?).ok_or_else(|| "write at least 1".to_owned())
}

fn parse_interval(text: &str) -> Result<Duration, String> {
    let interval = parse_seconds(text)?;
    if interval < SHORTEST_INTERVAL {
        return Err("write at least 1ms; volley-load sends faster".to_owned());
    }
    Ok(interval)
}

fn parse_size(text: &str) -> Result<usize, String> {
    let max = MaxFrame::new(parse_bytes(text)?).map_err(|error| error.to_string())?;
    Ok(max.get() as usize)
}
