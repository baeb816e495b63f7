//! What help looks like, in all programs.

use clap::builder::StyledStr;
use clap::{Arg, Command};

/// What a command is for, examples, then the flags: most people look for the first two.
pub const HELP: &str = "\
{about-with-newline}
{before-help}{usage-heading} {usage}

{all-args}{after-help}";

/// Values that stand in the place of a value's name; more would leave no room for what they are for.
const FEW: usize = 3;

/// The command line as `-h` shows it, a line for each flag: few values stand in the place of their
/// name, more of them and the variables are left to `--help`.
pub(crate) fn summarised(command: Command) -> Command {
    command.mut_args(summary).mut_subcommands(summarised)
}

fn summary(arg: Arg) -> Arg {
    if !arg.get_action().takes_values() {
        return arg;
    }
    let values = arg.get_possible_values();
    let names: Vec<_> = values.iter().map(|value| value.get_name().to_owned()).collect();
    let is_named = arg.get_value_names().is_some() && (1..=FEW).contains(&names.len());
    let arg = if is_named { arg.value_name(names.join("|")) } else { arg };
    arg.hide_possible_values(true).hide_env(true)
}

/// With the headings of examples and exit codes in the style of all headings.
pub(crate) fn with_headings(mut command: Command) -> Command {
    if let Some(text) = command.get_before_help().map(|text| styled(&command, text)) {
        command = command.before_help(text);
    }
    if let Some(text) = command.get_after_help().map(|text| styled(&command, text)) {
        command = command.after_help(text);
    }
    command.mut_subcommands(with_headings)
}

fn styled(command: &Command, text: &StyledStr) -> String {
    let style = command.get_styles().get_header();
    let line = |line: &str| match is_heading(line) {
        true => format!("{style}{line}{style:#}"),
        false => line.to_owned(),
    };
    text.to_string().lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Whether a line of a help text has a heading, with what it is of below it.
pub(crate) fn is_heading(line: &str) -> bool {
    line.ends_with(':') && line.starts_with(|first: char| first.is_uppercase())
}

#[cfg(test)]
mod tests {
    use clap::builder::PossibleValuesParser;

    use super::*;

    /// The line of a flag in the short help.
    fn line(arg: Arg) -> String {
        let help = summarised(Command::new("tool").arg(arg)).render_help().to_string();
        help.lines().find(|line| line.contains("--kind")).unwrap().trim().to_owned()
    }

    #[test]
    fn few_values_stand_in_the_place_of_their_name_and_many_are_left_out() {
        let values = ["one", "two", "three", "four"];
        let kind = |values: &[&'static str]| {
            let parser = PossibleValuesParser::new(values.to_vec());
            Arg::new("kind").long("kind").value_name("KIND").value_parser(parser).help("Of which")
        };
        assert_eq!(line(kind(&values[..3])), "--kind <one|two|three>  Of which");
        assert_eq!(line(kind(&values)), "--kind <KIND>  Of which");
    }

    #[test]
    fn variables_are_left_out_and_defaults_are_not() {
        let arg = Arg::new("kind").long("kind").env("KIND").default_value("x").help("Of which");
        assert_eq!(line(arg), "--kind <kind>  Of which [default: x]");
    }

    #[test]
    fn headings_of_texts_look_like_those_of_flags() {
        let command =
            Command::new("tool").before_help("Examples:\n  tool: go").after_help("see: x");
        let help = with_headings(command).render_help().ansi().to_string();
        let heading = |text: &str| {
            let style = *Command::new("tool").get_styles().get_header();
            format!("{style}{text}{style:#}")
        };
        assert!(help.contains(&heading("Options:")), "{help:?}");
        assert!(help.contains(&format!("{}\n  tool: go", heading("Examples:"))), "{help:?}");
        assert!(help.contains("\nsee: x"), "{help:?}");
    }
}
