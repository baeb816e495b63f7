//! The command line of `volley script`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{ArgAction, ValueEnum, ValueHint};
use volley_cli::{HELP, parse_timeout};
use volley_client::advice::parse_endpoint;
use volley_client::flags::ConnectFlags;
use volley_proto::Endpoint;

#[derive(Debug, clap::Args)]
#[command(help_template = HELP, before_help = "\
Examples:
  volley script login.volley                       one conversation
  volley script --to db-proxy:7007 tests/          all *.volley files there
  volley script --report junit=results.xml tests/  and a report for the CI
  printf 'send \"hello\"\\nexpect echo\\n' | volley script -
  volley script -v login.volley                    with all that passes shown", after_help = "\
Statements, one on a line:
  send PAYLOAD          a frame
  raw PAYLOAD           bytes with no length before them
  expect PATTERN        what comes next must match
  expect raw PAYLOAD    these bytes come next, lengths included
  expect nothing 100ms  nothing comes
  until PATTERN         passes over frames until one matches
  connect [ENDPOINT]    a new connection; the first one opens by itself
  hello [echo|ack]      sends HELLO, awaits WELCOME
  half-close, close, sleep 100ms, timeout 5s, repeat N … end

Payloads, of which several are put together:
  \"text\\n\\x00${VARIABLE:-default}\", hex 00 ff, base64 AP8=, file PATH,
  zeros 1KiB, random 1KiB

Patterns:
  a payload, prefix PAYLOAD, /regex/, any, echo, receipt, welcome,
  goaway [REASON], error [REASON], close

CLIENT.md describes them all.

Exit codes, of several failed scripts the one that all have, or else 1:
  0         every script was played to its end
  1         something else came than was expected, or the server closed
  2         wrong usage
  65, 66    a script cannot be read as one; a file is missing
  68, 69    a name was not found; cannot connect
  73, 74    a report cannot be created; an I/O error
  75        something did not come in time
  76        the peer broke the protocol
  130, 143  ended by SIGINT, SIGTERM; the report holds what was played before")]
pub(crate) struct ScriptArgs {
    /// Scripts, directories of *.volley files, or - for stdin
    #[arg(value_name = "PATH", required = true)]
    pub(super) paths: Vec<PathBuf>,

    /// Where to connect
    ///
    /// Unless a script says.
    #[arg(long, value_name = "ENDPOINT", env = "VOLLEY_TO", default_value_t)]
    #[arg(value_parser = parse_endpoint, value_hint = ValueHint::Hostname)]
    pub(super) to: Endpoint,

    #[command(flatten)]
    pub(super) connect: ConnectFlags,

    /// How long a statement may wait
    ///
    /// For the server, unless a script says.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = parse_timeout)]
    pub(super) timeout: Duration,

    /// Report as `tap` or `junit`, here or to a file
    ///
    /// `tap` is the Test Anything Protocol 14, `junit` is XML. Can be given twice.
    #[arg(long, value_name = "FORMAT[=PATH]", value_parser = report_parser())]
    pub(super) report: Vec<Report>,

    /// Play no more scripts once one has failed
    #[arg(long)]
    pub(super) fail_fast: bool,

    /// Read the scripts, and play none
    ///
    /// And read what they refer to.
    #[arg(long)]
    pub(super) check: bool,

    /// Show on stderr what passes, frame by frame
    ///
    /// Given twice it shows all of their bytes.
    #[arg(short, long, action = ArgAction::Count)]
    pub(super) verbose: u8,
}

/// A report that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) format: ReportFormat,
    /// `None` is stdout.
    pub(super) path: Option<PathBuf>,
}

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ReportFormat {
    /// a line for each script
    Text,
    /// Test Anything Protocol 14
    Tap,
    /// the XML that CI systems read
    Junit,
}

fn report_parser() -> impl TypedValueParser<Value = Report> {
    OsStringValueParser::new().try_map(parse_report)
}

fn parse_report(text: OsString) -> Result<Report, String> {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let bytes = text.as_bytes();
    let (format, path) = match bytes.iter().position(|&byte| byte == b'=') {
        Some(at) => (&bytes[..at], Some(OsString::from_vec(bytes[at + 1..].to_vec()))),
        None => (bytes, None),
    };
    let format = String::from_utf8_lossy(format);
    let path = path.map(PathBuf::from).filter(|path| path.as_os_str() != "-");
    if path.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
        return Err(format!("`{format}=` names no file"));
    }
    match ReportFormat::from_str(&format, false) {
        Ok(format) => Ok(Report { format, path }),
        Err(_) => Err("there are text, tap and junit, and tap=PATH for a file".to_owned()),
    }
}
