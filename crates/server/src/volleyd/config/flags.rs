//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, ValueParser, ValueRange};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::layer::{Entry, Layer};
use super::origin::Origin;
use super::row::{Form, Row};
use super::table::{LISTEN, rows};

const ABOUT: &str = "Answers every length-prefixed frame with an echo or a receipt.";

const LONG_ABOUT: &str = "\
Answers every length-prefixed frame with an echo or a receipt.

For each listener it prints a line on stdout as soon as it accepts: `listening
tcp://127.0.0.1:7007`, and behind them one for the admin listener, `admin tcp://127.0.0.1:7008`.
Logs go to stderr.

SIGTERM or SIGINT stops accepting and drains the open connections; a second one exits at once. With
--drain-delay the first only makes the daemon not ready, the second begins the drain, and the third
exits. SIGUSR2 starts the program anew and hands the listeners over to it; if it does not get ready,
this one goes on. SIGHUP reads the file of --config again and puts its limits, deadlines and log
filter in force: all of it or, if anything is wrong with it, nothing.

A setting is taken from its flag, or else from its environment variable, or else from the file,
where its key is the flag's name (idle-timeout = \"1m\") and a [[listener]] section can have its own,
or else it has its default.";

const EXAMPLES: &str = "\
Examples:
  volleyd                        listen on tcp://127.0.0.1:7007 and echo
  volleyd --reply ack            answer with receipts: checksum, number, time
  volleyd --listen 127.0.0.1:0   let the system choose a port and print it
  volleyd --listen 0.0.0.0:7007 --listen '[::]:7007'
  volleyd --listen unix:/run/volley.sock --unix-mode 0600
  volleyd --admin 127.0.0.1:7008 metrics, health and more over HTTP
  volleyd --config volleyd.toml --check
  volleyd --print-config > volleyd.toml

Exit codes:
  0         drained after a signal; or what --check and --print-config were asked is done
  2         wrong usage, or a wrong environment variable
  66        the configuration file can't be read
  68, 69    a name was not found; cannot bind
  74        stdout can't be written
  78        the configuration file is bad, or a socket was passed that no listener wants
  130, 143  ended by a second signal";

/// The flags that are no settings.
const CONFIG: &str = "config";
const CHECK: &str = "check";
const PRINT_CONFIG: &str = "print-config";

/// What the command line says.
#[derive(Debug)]
pub(crate) struct Flags {
    pub(crate) layer: Layer,
    pub(crate) listen: Vec<Entry>,
    pub(crate) config: Option<PathBuf>,
    pub(crate) task: Task,
}

/// What the daemon is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Serve,
    /// Say whether the configuration is good.
    Check,
    /// Print what would be in force.
    PrintConfig,
}

impl Flags {
    /// Reads a command line, the program's name first.
    ///
    /// # Errors
    ///
    /// What clap says to wrong usage, `--help` and `--version`; it knows how to exit.
    pub(crate) fn parse(
        arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    ) -> Result<Self, clap::Error> {
        let mut matches = command().try_get_matches_from(arguments)?;
        let mut layer = Layer::default();
        let mut listen = Vec::new();
        for row in rows().filter(|row| row.is_general()) {
            let mut entries = entries(&mut matches, row);
            if row.key == LISTEN.key {
                listen = entries;
            } else if let Some(entry) = entries.pop() {
                layer.insert(row.key, entry);
            }
        }
        let task = if matches.get_flag(CHECK) {
            Task::Check
        } else if matches.get_flag(PRINT_CONFIG) {
            Task::PrintConfig
        } else {
            Task::Serve
        };
        Ok(Self { layer, listen, config: matches.remove_one(CONFIG), task })
    }
}

/// What was given on the command line itself for `row`; a default is no flag.
fn entries(matches: &mut ArgMatches, row: &Row) -> Vec<Entry> {
    if matches.value_source(row.key) != Some(ValueSource::CommandLine) {
        return Vec::new();
    }
    let texts = matches.remove_many::<String>(row.key).into_iter().flatten();
    texts.map(|text| Entry { text, origin: Origin::Flag(row.key) }).collect()
}

fn command() -> Command {
    Command::new("volleyd")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .long_about(LONG_ABOUT)
        .after_help(EXAMPLES)
        .max_term_width(100)
        .args(rows().filter(|row| row.is_general()).map(flag))
        .next_help_heading("Configuration")
        .arg(
            Arg::new(CONFIG)
                .long(CONFIG)
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("A TOML file with settings [env: VOLLEYD_CONFIG]"),
        )
        .arg(
            Arg::new(CHECK)
                .long(CHECK)
                .action(ArgAction::SetTrue)
                .conflicts_with(PRINT_CONFIG)
                .help("Only check flags, environment and file, and say what is wrong"),
        )
        .arg(
            Arg::new(PRINT_CONFIG)
                .long(PRINT_CONFIG)
                .action(ArgAction::SetTrue)
                .help("Only print what would be in force, and where each value comes from"),
        )
}

fn flag(row: &'static Row) -> Arg {
    let action = if row.key == LISTEN.key { ArgAction::Append } else { ArgAction::Set };
    // The flag alone is on.
    let (values, alone) = match row.form {
        Form::Switch => (ValueRange::from(0..=1), Some("on")),
        _ => (ValueRange::SINGLE, None),
    };
    Arg::new(row.key)
        .num_args(values)
        .default_missing_value(alone)
        .long(row.key)
        .action(action)
        .value_name(row.value_name)
        .value_parser(parser(row))
        .default_value(row.default)
        .help(row.help)
        .long_help(format!("{} [env: {}]", row.help, row.variable()))
        .help_heading(row.group.heading())
}

/// Checks a text, and leaves it a text.
fn parser(row: &'static Row) -> ValueParser {
    let choices = (row.choices)();
    if choices.is_empty() {
        ValueParser::new(|text: &str| (row.check)(text).map(|()| text.to_owned()))
    } else {
        PossibleValuesParser::new(choices).into()
    }
}
