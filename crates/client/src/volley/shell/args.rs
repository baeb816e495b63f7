//! The command line of `volley shell`.

use std::time::Duration;

use clap::{ArgAction, Parser, ValueEnum, ValueHint};
use volley_cli::{HELP, parse_timeout};
use volley_client::advice::parse_endpoint;
use volley_client::flags::ConnectFlags;
use volley_proto::Endpoint;

use crate::send::{InputFormat, OutputFormat, SendArgs};
use crate::terms::Terms;

#[derive(Debug, clap::Args)]
#[command(help_template = HELP, before_help = "\
Examples:
  volley shell                            frames to tcp://127.0.0.1:7007
  volley shell --to server:7007 -v        with everything that passes shown
  volley shell --input hex --output hex   bytes that cannot be typed
  volley shell --no-hello --no-check      a server that answers something else", after_help = "\
Keys:
  Enter   sends the line; an empty one is an empty frame
  Ctrl-C  gives up the line, and an empty one ends the shell
  Ctrl-D  ends the shell
  ↑ ↓     go through what was typed before; Ctrl-R searches it. A line that
          begins with a blank is not remembered

Exit codes:
  0         every reply was right
  1         a reply was wrong, or never came
  2         wrong usage
  65, 66    a certificate or key cannot be used; its file is missing
  68, 69    at the start a name was not found; cannot connect
  75        at the start the server did not answer in time
  76        at the start the server broke the protocol
  130, 143  ended by Ctrl-C, SIGTERM")]
pub(crate) struct ShellArgs {
    /// Where to send
    #[arg(long, value_name = "ENDPOINT", env = "VOLLEY_TO", default_value_t)]
    #[arg(value_parser = parse_endpoint, value_hint = ValueHint::Hostname)]
    pub(super) to: Endpoint,

    #[command(flatten)]
    pub(super) terms: Terms,

    #[command(flatten)]
    pub(super) connect: ConnectFlags,

    /// How a line stands for a frame
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(super) input: LineFormat,

    /// How replies are shown
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(super) output: ReplyFormat,

    /// Take any reply for right
    #[arg(long)]
    pub(super) no_check: bool,

    /// How long to wait for each reply
    ///
    /// And before that for the connection.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = parse_timeout)]
    pub(super) timeout: Duration,

    /// Show on stderr what passes, frame by frame
    ///
    /// Given twice it shows all of their bytes.
    #[arg(short, long, action = ArgAction::Count)]
    pub(super) verbose: u8,
}

/// How a line stands for a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum LineFormat {
    /// it is the frame
    #[default]
    Text,
    /// in hexadecimal
    Hex,
    /// in base64
    Base64,
}

/// How a reply is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum ReplyFormat {
    /// an echo as it is, a receipt in words
    #[default]
    Text,
    /// in hexadecimal
    Hex,
    /// in base64
    Base64,
}

impl ShellArgs {
    /// The same for lines that nobody types.
    pub(super) fn into_send(self) -> SendArgs {
        SendArgs {
            to: self.to,
            reply: self.terms.reply,
            no_hello: self.terms.no_hello,
            connect: self.connect,
            verbose: self.verbose,
            input: Some(match self.input {
                LineFormat::Text => InputFormat::Lines,
                LineFormat::Hex => InputFormat::Hex,
                LineFormat::Base64 => InputFormat::Base64,
            }),
            output: match self.output {
                ReplyFormat::Text => OutputFormat::Text,
                ReplyFormat::Hex => OutputFormat::Hex,
                ReplyFormat::Base64 => OutputFormat::Base64,
            },
            no_check: self.no_check,
            timeout: self.timeout,
            // Of everything else what no flag stands for.
            ..SendArgs::parse_from(["send"])
        }
    }
}
