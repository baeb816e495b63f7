//! The configuration as a whole, without a process around it.

mod bad_input;
mod precedence;
mod print;
mod properties;
mod reference;
mod reload;
mod table;

use std::ffi::OsString;

use super::Flags;
use super::problem::ConfigError;
use super::settings::Settings;
use super::sources::Sources;
use super::valued::Shown;

/// What tests call their file.
const FILE: &str = "volleyd.toml";

/// With a file called [`FILE`].
fn sources(flags: &[&str], variables: &[(&str, &str)]) -> Result<Sources, ConfigError> {
    let arguments = ["volleyd", "--config", FILE].iter().chain(flags);
    let variables = variables.iter().map(|(name, value)| (OsString::from(name), value.into()));
    Sources::new(Flags::parse(arguments).unwrap(), variables)
}

fn settings(
    flags: &[&str],
    variables: &[(&str, &str)],
    file: &str,
) -> Result<Settings, ConfigError> {
    sources(flags, variables)?.settings_with(Some(file.into()))
}

/// Of a file that is good.
#[track_caller]
fn good(file: &str) -> Settings {
    settings(&[], &[], file).unwrap_or_else(|error| panic!("{}", error.report()))
}

/// What is wrong with a file, a line each.
#[track_caller]
fn problems(file: &str) -> Vec<String> {
    lines(settings(&[], &[], file))
}

#[track_caller]
fn lines(settings: Result<Settings, ConfigError>) -> Vec<String> {
    match settings {
        Err(ConfigError::Invalid(problems)) => problems.iter().map(ToString::to_string).collect(),
        other => panic!("{other:?}"),
    }
}

/// All values, in order: `key = text`.
fn values(settings: &Settings) -> Vec<String> {
    let line = |shown: Shown<'_>| format!("{} = {}", shown.row.key, shown.text);
    let mut values: Vec<String> = settings.process.shown().into_iter().map(line).collect();
    for listener in &settings.listeners {
        values.push(format!("[{}]", listener.title()));
        values.push(listener.endpoint.value.to_string());
        values.extend(listener.settings.shown().into_iter().map(line));
        values.extend(listener.own.shown().into_iter().map(line));
    }
    values
}
