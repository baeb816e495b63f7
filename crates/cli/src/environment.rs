//! Whether clap complains of a value that nobody has written, since it is a variable's.

use std::env::{self, VarError};
use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, Error};

/// Names the variable whose value is wrong, where it is one's: clap names the flag that it stands
/// for.
pub(crate) fn name_variable(error: &mut Error, command: &Command, arguments: &[OsString]) {
    let is_wrong = |value: &Result<String, VarError>| match (error.kind(), value) {
        (ErrorKind::InvalidUtf8, Err(VarError::NotUnicode(_))) => true,
        (_, Ok(value)) => is_told_of(error, value),
        _ => false,
    };
    let found = variables(command).into_iter().find(|name| is_wrong(&env::var(name)));
    // One that is written as well is wrong wherever it stands.
    let is_written = arguments.iter().filter_map(|argument| argument.to_str()).any(|argument| {
        let value = argument.split_once('=').map(|(_flag, value)| value);
        [Some(argument), value].into_iter().flatten().any(|value| is_told_of(error, value))
    });
    if let Some(name) = found.filter(|_| !is_written) {
        let tip = format!("it is the value of the variable {}", name.display());
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
}

/// Whether the error is of this value.
fn is_told_of(error: &Error, value: &str) -> bool {
    let told = error.get(ContextKind::InvalidValue);
    matches!(told, Some(ContextValue::String(told)) if told == value)
}

/// The variables that stand for flags of a program and of its commands.
fn variables(command: &Command) -> Vec<OsString> {
    let own = command.get_arguments().filter_map(Arg::get_env).map(ToOwned::to_owned);
    own.chain(command.get_subcommands().flat_map(variables)).collect()
}
