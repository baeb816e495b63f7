//! Whom `ping` and `wait` turn to: each TARGET, or what stands behind `--to` as in the other
//! commands.

use std::ops::Deref;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches, ValueHint};
use volley_client::advice::parse_endpoint;
use volley_proto::Endpoint;

/// The targets of a command line; there is at least one.
#[derive(Clone, Debug)]
pub(crate) struct Targets(Vec<Endpoint>);

/// As they are written.
#[derive(Debug, Args)]
struct Written {
    /// Servers, all at the same time
    #[arg(
        value_name = "TARGET",
        env = "VOLLEY_TO",
        default_values_t = [Endpoint::DEFAULT],
        value_parser = parse_endpoint,
        value_hint = ValueHint::Hostname
    )]
    targets: Vec<Endpoint>,

    /// A target, written as for other commands
    #[arg(long, value_name = "TARGET", value_parser = parse_endpoint)]
    #[arg(value_hint = ValueHint::Hostname)]
    to: Vec<Endpoint>,
}

impl Deref for Targets {
    type Target = [Endpoint];

    fn deref(&self) -> &[Endpoint] {
        &self.0
    }
}

impl Args for Targets {
    fn augment_args(command: Command) -> Command {
        Written::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Written::augment_args_for_update(command)
    }
}

impl FromArgMatches for Targets {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let Written { targets, to } = Written::from_arg_matches(matches)?;
        // The variable and the default are for those who name nobody.
        let is_named = matches.value_source("targets") == Some(ValueSource::CommandLine);
        Ok(Self(if to.is_empty() {
            targets
        } else if is_named {
            [targets, to].concat()
        } else {
            to
        }))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
