//! `--generate`: completions for shells and manual pages, made from the definition of a command
//! line, so that they never go stale. Where they go is left to packagers.

mod completions;
mod manual;
mod markup;
mod section;

use std::ffi::OsStr;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgMatches, Command};
use clap_complete::Shell;

use crate::Program;

pub use section::{Entry, Section};

const GENERATE: &str = "generate";

/// Those that people use for what these programs are for.
const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

/// What can be generated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A script that completes the command line.
    Completions(Shell),
    /// The manual page of the program, or of a command of it.
    Manual(Option<String>),
}

impl Kind {
    /// All that there are of a program.
    fn all(command: &Command) -> Vec<Self> {
        let commands = command.get_subcommands().filter(|command| !command.is_hide_set());
        let pages = commands.map(|command| Some(command.get_name().to_owned()));
        let shells = SHELLS.into_iter().map(Self::Completions);
        shells.chain([None].into_iter().chain(pages).map(Self::Manual)).collect()
    }

    /// What the flag calls it.
    fn name(&self) -> String {
        match self {
            Self::Completions(shell) => format!("complete-{shell}"),
            Self::Manual(None) => "man".to_owned(),
            Self::Manual(Some(command)) => format!("man-{command}"),
        }
    }
}

/// The command line with `--generate`.
pub(crate) fn with_flag(command: Command) -> Command {
    let kinds = Kind::all(&command);
    let flag = Arg::new(GENERATE)
        .long(GENERATE)
        .value_name("KIND")
        .value_parser(PossibleValuesParser::new(kinds.iter().map(Kind::name)))
        .exclusive(true)
        .hide_short_help(true)
        .help_heading("For packagers")
        .help("Print completions for a shell, or a manual page");
    command.arg(flag)
}

/// Whether an argument is the flag, alone or with its value.
pub(crate) fn is_flag(argument: &OsStr) -> bool {
    let flag = argument.as_encoded_bytes().strip_prefix(b"--generate");
    flag.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"="))
}

/// What the flag asks for.
pub(crate) fn kind(command: &Command, matches: &ArgMatches) -> Option<Kind> {
    let name = matches.get_one::<String>(GENERATE)?;
    Kind::all(command).into_iter().find(|kind| kind.name() == *name)
}

pub(crate) fn generate(program: &Program, kind: &Kind) -> Vec<u8> {
    match kind {
        Kind::Completions(shell) => completions::script(&program.command, *shell),
        Kind::Manual(command) => manual::page(program, command.as_deref()).into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> Command {
        let hidden = Command::new("hidden").hide(true);
        Command::new("tool").subcommand_required(true).subcommands([Command::new("go"), hidden])
    }

    #[test]
    fn there_is_a_page_for_the_program_and_for_each_command_that_is_shown() {
        let names: Vec<_> = Kind::all(&command()).iter().map(Kind::name).collect();
        assert_eq!(names, ["complete-bash", "complete-zsh", "complete-fish", "man", "man-go"]);
    }

    #[test]
    fn the_flag_is_known_alone_and_with_its_value() {
        let cases = [
            ("--generate", true),
            ("--generate=man", true),
            ("--generated", false),
            ("--gen", false),
            ("-generate", false),
        ];
        for (argument, expected) in cases {
            assert_eq!(is_flag(OsStr::new(argument)), expected, "{argument}");
        }
    }
}
