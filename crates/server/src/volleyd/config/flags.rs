//! The command line.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, ValueParser, ValueRange};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use volley_cli::{Exit, HELP, Program, Section};

use super::environment::{CONFIG as CONFIG_VARIABLE, RUST_LOG};
use super::layer::{Entry, Layer};
use super::origin::Origin;
use super::row::{Form, Row};
use super::table::{LISTEN, rows};

const ABOUT: &str = "Answers every length-prefixed frame with an echo or a receipt";

// Each paragraph is one line, to be broken where the terminal is.
const LONG_ABOUT: &str = "\
Answers every length-prefixed frame with an echo or a receipt.

For each listener it prints a line on stdout as soon as it accepts: `listening \
tcp://127.0.0.1:7007`, and behind them one for the admin listener, `admin tcp://127.0.0.1:7008`. \
Logs go to stderr.

A setting is taken from its flag, or else from its environment variable, or else from the file, \
where its key is the flag's name (`idle-timeout = \"1m\"`) and a [[listener]] section can have its \
own, or else it has its default.";

const EXAMPLES: &str = "\
Examples:
  volleyd                         listen on tcp://127.0.0.1:7007 and echo
  volleyd --reply ack             answer with receipts: checksum, number, time
  volleyd --listen 127.0.0.1:0    let the system choose a port and print it
  volleyd --listen 0.0.0.0:7007 --listen '[::]:7007'
  volleyd --listen unix:/run/volley.sock --unix-mode 0600
  volleyd --listen udp://127.0.0.1:7007 --listen 127.0.0.1:7007
  volleyd --dev-cert .            make a certificate to try out TLS with
  volleyd --listen tls://127.0.0.1:7007 --cert cert.pem --key key.pem
  volleyd --listen 10.0.0.5:7007 --proxy-from 10.0.0.0/24
  volleyd --admin 127.0.0.1:7008  metrics, health and more over HTTP
  volleyd --config volleyd.toml --check
  volleyd --print-config > volleyd.toml";

const SIGNALS_AND_EXIT_CODES: &str = "\
Signals:
  SIGTERM, SIGINT  drain the open connections and exit; a second one exits at
                   once. With --drain-delay the first only makes the daemon not
                   ready, the second begins the drain, and the third exits
  SIGHUP           puts the limits, deadlines and the log filter of the file in
                   force, and certificates that are new; or nothing of it, if
                   anything in it is wrong
  SIGUSR2          starts the program anew, which takes over the listeners; if
                   it does not get ready, this one goes on

Exit codes:
  0         drained after a signal; or --check, --print-config found no fault
  2         wrong usage, or a wrong environment variable
  66        the configuration file, or one of a certificate, can't be read
  68, 69    a name was not found; cannot bind
  73        the files of --dev-cert can't be written
  74        stdout can't be written
  78        a bad configuration or certificate, or a passed socket nobody wants
  130, 143  ended by a second signal";

/// The flags that are no settings.
const CONFIG: &str = "config";
const CHECK: &str = "check";
const PRINT_CONFIG: &str = "print-config";
const DEV_CERT: &str = "dev-cert";

/// What the command line says.
#[derive(Debug)]
pub(crate) struct Flags {
    pub(crate) layer: Layer,
    pub(crate) listen: Vec<Entry>,
    pub(crate) config: Option<PathBuf>,
    pub(crate) task: Task,
}

/// What the daemon is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Serve,
    /// Say whether the configuration is good.
    Check,
    /// Print what would be in force.
    PrintConfig,
    /// Make a certificate for trying TLS out, in this directory.
    DevCert(PathBuf),
}

impl Flags {
    /// Reads the command line of this process.
    ///
    /// # Errors
    ///
    /// How to exit, when there is nothing more to do.
    pub(crate) fn of_process() -> Result<Self, Exit> {
        program().matches().map(Self::of)
    }

    /// Reads a command line, the program's name first.
    #[cfg(test)]
    pub(crate) fn parse(
        arguments: impl IntoIterator<Item = impl Into<std::ffi::OsString> + Clone>,
    ) -> Result<Self, clap::Error> {
        command().try_get_matches_from(arguments).map(Self::of)
    }

    fn of(mut matches: ArgMatches) -> Self {
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
        let task = if let Some(directory) = matches.remove_one(DEV_CERT) {
            Task::DevCert(directory)
        } else if matches.get_flag(CHECK) {
            Task::Check
        } else if matches.get_flag(PRINT_CONFIG) {
            Task::PrintConfig
        } else {
            Task::Serve
        };
        Self { layer, listen, config: matches.remove_one(CONFIG), task }
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

/// The program, with what its manual page has beyond the command line.
fn program() -> Program {
    let variables = rows().filter(|row| row.is_general()).map(|row| {
        let listed = if row.key == LISTEN.key { "; several are separated by commas" } else { "" };
        (row.variable(), format!("Stands for --{} where that is not given{listed}.", row.key))
    });
    let others = [
        (CONFIG_VARIABLE, "Stands for --config where that is not given."),
        (RUST_LOG, "Stands for --log where neither that nor its own variable is given."),
    ];
    let others = others.map(|(name, meaning)| (name.to_owned(), meaning.to_owned()));
    let file =
        [("volleyd.toml", "The file of --config, in TOML. There is none unless it is named.")];
    Program {
        command: command(),
        manual_section: 8,
        sections: vec![
            Section::of_items("ENVIRONMENT", variables.chain(others)),
            Section::of_items("FILES", file),
        ],
        see_also: &["volley(1)", "volley-load(1)"],
        documents: &["OPERATING.md", "PROTOCOL.md"],
    }
}

fn command() -> Command {
    Command::new("volleyd")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .long_about(LONG_ABOUT)
        .help_template(HELP)
        .before_help(EXAMPLES)
        .after_help(SIGNALS_AND_EXIT_CODES)
        .max_term_width(100)
        .args(rows().filter(|row| row.is_general()).map(flag))
        .next_help_heading("Configuration")
        .arg(
            Arg::new(CONFIG)
                .long(CONFIG)
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("A TOML file with settings")
                .long_help(format!("A TOML file with settings [env: {CONFIG_VARIABLE}]")),
        )
        .arg(
            Arg::new(CHECK)
                .long(CHECK)
                .action(ArgAction::SetTrue)
                .conflicts_with(PRINT_CONFIG)
                .help("Only check flags, environment and file")
                .long_help("Only check flags, environment and file, and say what is wrong"),
        )
        .arg(
            Arg::new(PRINT_CONFIG)
                .long(PRINT_CONFIG)
                .action(ArgAction::SetTrue)
                .help("Only print what would be in force, and where it is from")
                .long_help("Only print what would be in force, and where each value comes from"),
        )
        .arg(
            Arg::new(DEV_CERT)
                .long(DEV_CERT)
                .value_name("DIR")
                .value_parser(value_parser!(PathBuf))
                .conflicts_with_all([CHECK, PRINT_CONFIG])
                .help("Only make a certificate, to try out TLS")
                .long_help(
                    "Only make ca.pem, cert.pem and key.pem in this directory, to try out TLS",
                ),
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
        .help(row.brief)
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
