//! The command line.

use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum, ValueHint};
use volley_cli::{HELP, Program, Reply, parse_count, parse_duration, parse_rate, parse_timeout};
use volley_client::Framing;
use volley_client::advice::parse_endpoint;
use volley_client::flags::ConnectFlags;
use volley_load::output::files::PathOrStdout;
use volley_load::plan::Arrivals;
use volley_load::plan::phases::Phases;
use volley_load::plan::sizes::Sizes;
use volley_load::plan::sources::Sources;
use volley_load::report::threshold::Threshold;
use volley_proto::Endpoint;

const EXAMPLES: &str = "\
Examples:
  volley-load                                    against a server of its own
  volley-load run --to server:7007 -c 1000       as fast as replies come
  volley-load run --to server:7007 -r 50k -d 1m  50,000 frames/s, each on time
  volley-load run --to server:7007 -r 20k --fail-if 'p99>5ms' --json -
  volley-load run --to server:7007 --plan '1k:10s,1k..20k:30s,20k:60s'
  volley-load run --to proxy:9000 --no-hello     without control frames";

const EXIT_CODES: &str = "\
Exit codes:
  0         every frame came back right, no threshold was broken
  1         a loss, a wrong reply, or a broken threshold
  2         wrong usage
  65, 66    a frame is longer than the server takes; a file is missing
  68, 69    a name was not found; cannot connect, or too few descriptors, ports
  70        a defect
  73, 74    an output can't be created; can't be written
  75        timed out or busy: trying again may help
  76        the peer speaks something else
  130, 143  ended by SIGINT, SIGTERM before it was done; it reports all the same";

/// Puts many concurrent clients on a framed server and tells honestly how it held.
///
/// Every reply is checked, latency counts from the planned instant of a frame, and every frame
/// that was sent ends in one column of a ledger. The report comes on stdout. Ctrl-C stops sending,
/// awaits what is in flight and reports; a second one reports at once.
#[derive(Debug, Parser)]
#[command(name = "volley-load", version, max_term_width = 100)]
#[command(args_conflicts_with_subcommands = true)]
#[command(help_template = HELP, before_help = EXAMPLES, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

impl Cli {
    /// `volley-load` alone is `volley-load run`.
    pub(crate) fn run(self) -> RunArgs {
        match self.command {
            Some(Command::Run(run)) => *run,
            None => self.run,
        }
    }
}

/// The program, with what its manual pages point to.
pub(crate) fn program() -> Program {
    Program {
        command: Cli::command(),
        manual_section: 1,
        sections: Vec::new(),
        see_also: &["volley(1)", "volleyd(8)"],
        documents: &["LOAD.md", "PROTOCOL.md"],
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a load and report
    #[command(help_template = HELP, before_help = EXAMPLES, after_help = EXIT_CODES)]
    Run(Box<RunArgs>),
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Where to send [default: a server of its own]
    ///
    /// Can be given more than once: connections are spread over several. The server of its own runs
    /// in the same process.
    #[arg(value_parser = parse_endpoint, value_hint = ValueHint::Hostname)]
    #[arg(long, value_name = "ENDPOINT", help_heading = "Target")]
    pub(crate) to: Vec<Endpoint>,

    /// The reply to ask for
    ///
    /// With --no-hello, and over udp://, the reply to expect. [default: the listener's own; with
    /// --no-hello, and over udp://, echo]
    #[arg(long, value_enum, value_name = "KIND", help_heading = "Target")]
    pub(crate) reply: Option<Reply>,

    /// No HELLO: for servers without control frames
    #[arg(long, help_heading = "Target")]
    pub(crate) no_hello: bool,

    /// Local addresses to connect from
    ///
    /// For example 127.0.0.2,127.0.0.4-127.0.0.9.
    #[arg(long, value_name = "ADDRESSES", help_heading = "Target")]
    pub(crate) source: Option<Sources>,

    /// How frames stand in the bytes
    ///
    /// Of a connection; raw says no HELLO, and replies are told by their lengths.
    #[arg(long, value_enum, value_name = "FRAMING", default_value = "frames")]
    #[arg(help_heading = "Target")]
    pub(crate) framing: Framing,

    #[command(flatten)]
    pub(crate) connect: ConnectFlags,

    /// How long to wait for each reply
    ///
    /// And before that for the connection.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = parse_timeout)]
    #[arg(help_heading = "Target")]
    pub(crate) timeout: Duration,

    /// Connections that send frames
    #[arg(short, long, value_name = "N", default_value = "16", value_parser = parse_some)]
    #[arg(help_heading = "Load")]
    pub(crate) connections: NonZeroU32,

    /// Idle connections beside them
    ///
    /// They are only held open.
    #[arg(long, value_name = "N", default_value = "0", value_parser = parse_u32)]
    #[arg(help_heading = "Load")]
    pub(crate) idle: u32,

    /// New connections per second
    ///
    /// [default: as fast as they come]
    #[arg(long, value_name = "RATE", value_parser = parse_rate, help_heading = "Load")]
    pub(crate) connect_rate: Option<f64>,

    /// Frames in flight per connection
    ///
    /// At most so many, and in a closed loop always so many.
    #[arg(short, long, value_name = "N", default_value = "1", value_parser = parse_some)]
    #[arg(help_heading = "Load")]
    pub(crate) pipeline: NonZeroU32,

    /// Payload bytes of a frame
    ///
    /// All alike, 64; between two sizes, 64..4096; or in shares, 64:90%,16KiB:10%.
    #[arg(short, long, value_name = "SIZES", default_value = "64", help_heading = "Load")]
    pub(crate) size: Sizes,

    /// A file with the payload of every frame
    #[arg(long, value_name = "FILE", conflicts_with = "size", help_heading = "Load")]
    pub(crate) payload: Option<PathBuf>,

    /// Close and reopen after so many frames
    #[arg(long, value_name = "N", value_parser = parse_frames, help_heading = "Load")]
    pub(crate) frames_per_connection: Option<NonZeroU64>,

    /// When a connection fails
    ///
    /// Or its server says GOAWAY.
    #[arg(long, value_enum, value_name = "WHAT", default_value_t, num_args = 0..=1)]
    #[arg(default_missing_value = "always", help_heading = "Load")]
    pub(crate) reconnect: Reconnect,

    /// Where randomness starts
    ///
    /// The same seed makes payloads, sizes and random arrivals the same in every run.
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Load")]
    pub(crate) seed: u64,

    /// Threads that send [default: half of the CPUs]
    ///
    /// Half of those that the process may use.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    #[arg(help_heading = "Load")]
    pub(crate) threads: Option<u16>,

    /// Frames per second in all
    ///
    /// Whatever the server does. [default: as fast as replies come]
    #[arg(short, long, value_name = "RATE", value_parser = parse_rate, help_heading = "Pace")]
    pub(crate) rate: Option<f64>,

    /// Steps and ramps of the rate
    ///
    /// For example 1k:10s,1k..20k:30s,20k:60s.
    #[arg(long, value_name = "PLAN", conflicts_with = "rate", help_heading = "Pace")]
    pub(crate) plan: Option<Phases>,

    /// How frames are spread
    #[arg(long, value_enum, value_name = "KIND", default_value = "constant")]
    #[arg(help_heading = "Pace")]
    pub(crate) arrivals: ArrivalsArg,

    /// Frames planned for one instant
    ///
    /// The rate stays.
    #[arg(long, value_name = "N", default_value = "1", value_parser = parse_frames)]
    #[arg(help_heading = "Pace")]
    pub(crate) burst: NonZeroU64,

    /// How long to send [default: 5s]
    ///
    /// That is behind the warm-up. 0 sends until Ctrl-C. With --frames or --plan they say how long,
    /// by default.
    #[arg(short, long, value_name = "DURATION", value_parser = parse_duration)]
    #[arg(help_heading = "Pace")]
    pub(crate) duration: Option<Duration>,

    /// How many frames to send
    ///
    /// Those of the warm-up don't count.
    #[arg(short = 'n', long, value_name = "N", value_parser = parse_frames, help_heading = "Pace")]
    pub(crate) frames: Option<NonZeroU64>,

    /// Send so long before it counts
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse_duration)]
    #[arg(help_heading = "Pace")]
    pub(crate) warmup: Duration,

    /// Exit 1 if this comes true, such as 'p99>5ms'
    ///
    /// Can be given more than once. Other examples: 'service.p99.9>1ms', 'rate<49.9k', 'lost>0.1%'.
    ///
    /// Figures: p50, p99, p99.99 … max, mean of the response time, the same with service.,
    /// send_delay., connect. or handshake. before it; rate; errors, lost, corrupt, duplicate,
    /// reordered, misrouted, late as a number of frames or in percent. Any frame that does not come back
    /// right breaks a run, unless a threshold for its column says how many may.
    #[arg(long, value_name = "CONDITION", help_heading = "Verdict")]
    pub(crate) fail_if: Vec<Threshold>,

    /// Measure what this program can do here at best
    ///
    /// Against a server of its own.
    #[arg(long, help_heading = "Verdict")]
    #[arg(conflicts_with_all = ["to", "rate", "plan", "frames", "duration", "warmup", "size"])]
    #[arg(conflicts_with_all = ["payload", "fail_if", "json", "hgrm", "hlog", "junit"])]
    pub(crate) self_test: bool,

    /// Write the report as JSON; - is stdout
    ///
    /// With - nothing else is on stdout.
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath, help_heading = "Output")]
    pub(crate) json: Option<PathOrStdout>,

    /// Write the response times as HdrHistogram percentiles
    #[arg(long, value_name = "PATH", help_heading = "Output")]
    pub(crate) hgrm: Option<PathBuf>,

    /// Write histograms of every second as an HdrHistogram log
    #[arg(long, value_name = "PATH", help_heading = "Output")]
    pub(crate) hlog: Option<PathBuf>,

    /// Write the thresholds as JUnit
    #[arg(long, value_name = "PATH", help_heading = "Output")]
    pub(crate) junit: Option<PathBuf>,

    /// Show nothing while the run goes on
    #[arg(short, long, help_heading = "Output")]
    pub(crate) quiet: bool,
}

/// What to do when a connection fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Reconnect {
    /// open it again
    #[default]
    Always,
    /// end the run, exit 1
    Fail,
}

/// The value of `--arrivals`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ArrivalsArg {
    /// evenly
    Constant,
    /// at random, as independent clients would
    Poisson,
}

impl From<ArrivalsArg> for Arrivals {
    fn from(arrivals: ArrivalsArg) -> Self {
        match arrivals {
            ArrivalsArg::Constant => Self::Constant,
            ArrivalsArg::Poisson => Self::Poisson,
        }
    }
}

fn parse_u32(text: &str) -> Result<u32, String> {
    u32::try_from(parse_count(text)?).map_err(|_| format!("{text} is more than {}", u32::MAX))
}

fn parse_some(text: &str) -> Result<NonZeroU32, String> {
    NonZeroU32::new(parse_u32(text)?).ok_or_else(|| "at least 1 is needed".to_owned())
}

fn parse_frames(text: &str) -> Result<NonZeroU64, String> {
    NonZeroU64::new(parse_count(text)?).ok_or_else(|| "at least 1 is needed".to_owned())
}
