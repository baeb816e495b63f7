//! The command line of `volley send`.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::time::Duration;

use clap::{ArgAction, ValueEnum, ValueHint};
use volley_cli::{HELP, Reply, parse_bytes, parse_count, parse_duration, parse_timeout};
use volley_client::Framing;
use volley_client::advice::parse_endpoint;
use volley_client::flags::ConnectFlags;
use volley_proto::{Endpoint, MaxFrame};

use crate::check::Expectation;

const EXAMPLES: &str = "\
Examples:
  volley send hello                           one frame to tcp://127.0.0.1:7007
  volley send --reply ack hello world         two frames, receipts in return
  volley send @photo.jpg                      a file as one frame
  seq 1000 | volley send --to server:7007     each line of stdin is a frame
  volley send --chunk 1M --output raw <a >b   a stream in frames, and back
  volley send --input hex 'de ad be ef'       bytes that cannot be typed
  volley send --no-hello --expect PONG PING   to a server that is not volleyd
  volley send --repeat 10 --interval 1s -v x  with all that passes shown";

const EXIT_CODES: &str = "\
Exit codes:
  0         every reply was right
  1         a wrong reply, or one that never came
  2         wrong usage
  65, 66    a frame is too long or cannot be decoded; a file is missing
  68, 69    a name was not found; cannot connect
  74        stdin, a file or stdout failed
  75        timed out or busy: trying again may help
  76        the peer broke the protocol
  130, 143  ended by SIGINT, SIGTERM";

#[derive(Debug, clap::Parser)]
#[command(help_template = HELP, before_help = EXAMPLES, after_help = EXIT_CODES)]
pub(crate) struct SendArgs {
    /// What to send, or @PATH for a file; without any, lines of stdin
    ///
    /// Each is a frame, or several where --input says so. @- is stdin, and @@ begins a frame that
    /// begins with an @.
    #[arg(value_name = "FRAME")]
    pub(crate) frames: Vec<OsString>,

    /// Where to send
    #[arg(long, value_name = "ENDPOINT", env = "VOLLEY_TO", default_value_t)]
    #[arg(value_parser = parse_endpoint, value_hint = ValueHint::Hostname)]
    pub(crate) to: Endpoint,

    /// The reply to ask for
    ///
    /// With --no-hello, and over udp://, the reply to expect. [default: the listener's own; with
    /// --no-hello, and over udp://, echo]
    #[arg(long, value_enum, value_name = "KIND")]
    pub(crate) reply: Option<Reply>,

    /// No HELLO: for servers without control frames
    #[arg(long)]
    pub(crate) no_hello: bool,

    /// How frames stand in the bytes
    ///
    /// Of the connection; raw says no HELLO.
    #[arg(long, value_enum, value_name = "FRAMING", default_value = "frames")]
    pub(crate) framing: Framing,

    #[command(flatten)]
    pub(crate) connect: ConnectFlags,

    /// Half-close behind the last frame
    ///
    /// Not behind the last reply: for servers that answer when all is said.
    #[arg(long)]
    pub(crate) half_close: bool,

    /// Show on stderr what passes, frame by frame
    ///
    /// Given twice it shows all of their bytes.
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,

    /// How frames stand in stdin and in files
    ///
    /// [default: lines for stdin, raw for files]
    #[arg(long, value_enum, value_name = "FORMAT", help_heading = "Input")]
    pub(crate) input: Option<InputFormat>,

    /// Split raw input into frames of this size
    ///
    /// The last one may be shorter.
    #[arg(long, value_name = "SIZE", value_parser = parse_chunk, help_heading = "Input")]
    pub(crate) chunk: Option<usize>,

    /// Send all so often; 0 until stopped
    #[arg(long, value_name = "N", default_value = "1", value_parser = parse_count, help_heading = "Input")]
    pub(crate) repeat: u64,

    /// Wait so long from one frame to the next
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, help_heading = "Input")]
    pub(crate) interval: Option<Duration>,

    /// How replies are printed
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t, help_heading = "Replies")]
    pub(crate) output: OutputFormat,

    /// Take any reply for right
    #[arg(long, conflicts_with = "expect", help_heading = "Replies")]
    pub(crate) no_check: bool,

    /// The reply that each frame must get
    ///
    /// Instead of an echo or a receipt: the whole text, or /REGEX/ for one in which it matches.
    #[arg(long, value_name = "TEXT|/REGEX/", help_heading = "Replies")]
    pub(crate) expect: Option<Expectation>,

    /// How long to wait for each reply
    ///
    /// And before that for the connection.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = parse_timeout, help_heading = "Limits")]
    pub(crate) timeout: Duration,

    /// How long all of it may take [default: no limit]
    #[arg(long, value_name = "DURATION", value_parser = parse_timeout, help_heading = "Limits")]
    pub(crate) deadline: Option<Duration>,

    /// Frames in flight at most
    ///
    /// They are sent, and not answered yet.
    #[arg(long, value_name = "N", default_value = "64", value_parser = parse_pipeline, help_heading = "Limits")]
    pub(crate) pipeline: NonZeroUsize,

    /// Payload bytes in flight at most
    ///
    /// A long fast path needs more: as many as it takes in per round trip.
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = parse_window, help_heading = "Limits")]
    pub(crate) window: NonZeroUsize,

    /// Connect again so often in a row
    ///
    /// When there is no connection, or it is lost. What has no reply is sent again.
    #[arg(long, value_name = "N", default_value = "0", value_parser = parse_number, help_heading = "Limits")]
    pub(crate) retry: usize,
}

/// How frames stand in a stream of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum InputFormat {
    /// all of it is one frame, or several with --chunk
    Raw,
    /// one on each line
    Lines,
    /// one before each NUL byte
    Nul,
    /// behind their length, as on the wire: 4 bytes, big-endian
    Frames,
    /// one on each line, in hexadecimal
    Hex,
    /// one on each line, in base64
    Base64,
}

/// How replies are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// a line each: an echo as it is, a receipt in words
    #[default]
    Text,
    /// their bytes and nothing else
    Raw,
    /// a line each, in hexadecimal
    Hex,
    /// a line each, in base64
    Base64,
    /// behind their length, as on the wire
    Frames,
    /// a JSON object on a line each, with number, length, round-trip time and verdict
    #[value(alias = "json")]
    Ndjson,
}

impl OutputFormat {
    /// Whether it writes bytes of others as they are, which no terminal should get.
    pub(crate) const fn is_binary(self) -> bool {
        matches!(self, Self::Raw | Self::Frames)
    }
}

/// A size that frames can have.
fn parse_chunk(text: &str) -> Result<usize, String> {
    let max = u64::from(MaxFrame::CEILING.get());
    match parse_bytes(text)? {
        0 => Err("a chunk of 0 bytes holds nothing: write for example 64KiB".to_owned()),
        bytes if bytes <= max => Ok(usize::try_from(bytes).unwrap_or(usize::MAX)),
        _ => Err(format!("no frame has more than {max} bytes")),
    }
}

/// A number of bytes of which there is at least one.
fn parse_window(text: &str) -> Result<NonZeroUsize, String> {
    let bytes = usize::try_from(parse_bytes(text)?).unwrap_or(usize::MAX);
    NonZeroUsize::new(bytes)
        .ok_or_else(|| "no frame could be sent: write for example 1MiB".to_owned())
}

/// A number of frames of which there is at least one.
fn parse_pipeline(text: &str) -> Result<NonZeroUsize, String> {
    NonZeroUsize::new(parse_number(text)?)
        .ok_or_else(|| "no frame could be sent: write at least 1".to_owned())
}

/// A number of things; more than there can be here are as good as endless.
fn parse_number(text: &str) -> Result<usize, String> {
    Ok(usize::try_from(parse_count(text)?).unwrap_or(usize::MAX))
}
