//! Completions: clap_complete's, mended where it errs, with files offered where files are wanted and
//! nowhere else.

use clap::{Arg, Command, ValueHint};
use clap_complete::Shell;

/// The script for a shell.
pub(super) fn script(command: &Command, shell: Shell) -> Vec<u8> {
    let name = command.get_name();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut hinted(command.clone(), shell), name, &mut script);
    // It is text, so nothing is replaced here.
    let script = String::from_utf8_lossy(&script).into_owned();
    let script = match shell {
        Shell::Bash => for_bash(&script, name),
        Shell::Zsh => for_zsh(&script),
        Shell::Fish => for_fish(&script) + &words_for_fish(command),
        _ => script,
    };
    script.into_bytes()
}

fn hinted(command: Command, shell: Shell) -> Command {
    let with_hint = |arg: Arg| match arg.get_action().takes_values() {
        true => {
            let hint = hint(&arg, shell);
            arg.value_hint(hint)
        }
        false => arg,
    };
    command.mut_args(with_hint).mut_subcommands(|command| hinted(command, shell))
}

/// What to offer for a value. What says nothing of itself is a number, a duration or a name behind
/// a flag: no shell can complete those, and file names in their place would be noise. Without a
/// flag it is a text, or a file behind an `@`.
fn hint(arg: &Arg, shell: Shell) -> ValueHint {
    match arg.get_value_hint() {
        hint if !arg.get_possible_values().is_empty() => hint,
        ValueHint::Unknown if !arg.is_positional() => ValueHint::Other,
        // The same, but for bash, which goes on behind a folder only with this one.
        ValueHint::AnyPath => ValueHint::FilePath,
        // For bash the crate knows of none, and offers files.
        ValueHint::Hostname if shell == Shell::Bash => ValueHint::Other,
        hint => hint,
    }
}

/// For bash the crate calls the commands of a program with a hyphen in its name by two names; and a
/// value behind an equals sign is a word of its own there, which the crate does not expect.
fn for_bash(script: &str, name: &str) -> String {
    let start = "    prev=\"$3\"\n";
    let more = "    \
    [[ ${prev} != \"=\" ]] || prev=\"${COMP_WORDS[COMP_CWORD-2]}\"
    if [[ ${cur} == @* ]]; then
        local IFS=$'\\n'
        COMPREPLY=( $(compgen -f -P @ -- \"${cur#@}\") )
        compopt -o filenames
        return 0
    fi
";
    script
        .replace(&name.replace('-', "__subcmd__"), &name.replace('-', "__"))
        .replace(start, &format!("{start}{more}"))
}

fn for_zsh(script: &str) -> String {
    script.replace(":_default' ", ":{compset -P @ && _files || _default}' ")
}

/// The crate looks for a command in the words before the one that is completed. Where the last of
/// them is a flag that still wants its value, it finds that wrong and gives up.
fn for_fish(script: &str) -> String {
    let complete = "-- $cmd 2>/dev/null\n";
    let lines = script.split_inclusive('\n').map(|line| match line.strip_suffix(complete) {
        Some(start) => format!("{line}    or {} -- $cmd '' 2>/dev/null\n", start.trim()),
        None => line.to_owned(),
    });
    lines.collect()
}

/// The crate tells fish nothing of words without a flag, for all of which it offers files then.
fn words_for_fish(command: &Command) -> String {
    let name = command.get_name();
    let function = format!("__fish_{}_using_subcommand", name.replace('-', "_"));
    let mut lines = String::new();
    if !command.has_subcommands() {
        lines += &format!("complete -c {name}{}\n", word_for_fish(command));
    }
    for command in command.get_subcommands() {
        let condition = format!("{function} {}", command.get_name());
        lines += &format!("complete -c {name} -n \"{condition}\"{}\n", word_for_fish(command));
    }
    lines
}

/// What to offer for a word without a flag.
fn word_for_fish(command: &Command) -> &'static str {
    match command.get_positionals().next().map(Arg::get_value_hint) {
        Some(ValueHint::Unknown) => {
            " -a \"(string match -q '@*' -- (commandline -ct); and __fish_complete_path \
             (commandline -ct | string sub -s 2) | string replace -r '^' @)\""
        }
        Some(ValueHint::AnyPath | ValueHint::FilePath | ValueHint::DirPath) => " -F",
        _ => " -f",
    }
}
