//! The command line.

use std::ffi::OsString;
use std::time::Duration;

use clap::{Parser, Subcommand};
use volley_cli::{Reply, parse_timeout};
use volley_proto::Endpoint;

use crate::ping::PingArgs;
use crate::wait::WaitArgs;

/// What a command is for, examples, then the flags: most people look for the first two.
pub(crate) const HELP: &str = "\
{about-with-newline}
{before-help}{usage-heading} {usage}

{all-args}{after-help}";

/// Sends length-prefixed frames to a server and checks every reply.
#[derive(Debug, Parser)]
#[command(name = "volley", version, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Send frames, print each reply
    ///
    /// An echo is printed as it is, a receipt as `ACK seq=1 len=5 crc32c=9a71bb4c …`, each with a
    /// newline behind it. Every reply is awaited and checked.
    Send(SendArgs),
    /// Send a frame a second and show when each comes back
    ///
    /// What ping(8) does, over a real frame: every reply is checked byte by byte, and what does not
    /// come back right is told apart. A connection that breaks is opened again.
    Ping(PingArgs),
    /// Wait until servers answer
    ///
    /// Returns as soon as every target has answered a frame rightly: for start-up scripts and
    /// container probes.
    Wait(WaitArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  volley send hello                        to tcp://127.0.0.1:7007
  volley send --reply ack hello world      two frames, receipts in return
  seq 1000 | volley send --to server:7007  one frame per line
  volley send --no-hello --to server:9 x   to a server without control frames

Exit codes:
  0         every reply was right
  1         a wrong reply, or one that never came
  2         wrong usage
  65        a frame is too long
  68, 69    a name was not found; cannot connect
  74        stdin or stdout failed
  75        timed out or busy: trying again may help
  76        the peer broke the protocol
  130, 143  ended by SIGINT, SIGTERM")]
pub(crate) struct SendArgs {
    /// Where to send
    #[arg(long, value_name = "ENDPOINT", env = "VOLLEY_TO", default_value_t)]
    pub(crate) to: Endpoint,

    /// How long to wait for the connection, and then for each reply
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = parse_timeout)]
    pub(crate) timeout: Duration,

    /// The reply to ask for, or with --no-hello to expect [default: the listener's own; with
    /// --no-hello echo]
    #[arg(long, value_enum, value_name = "KIND")]
    pub(crate) reply: Option<Reply>,

    /// Send no HELLO: for servers that know no control frames
    #[arg(long)]
    pub(crate) no_hello: bool,

    /// The frames; without any, each line of stdin is one
    #[arg(value_name = "FRAME")]
    pub(crate) frames: Vec<OsString>,
}
