//! A program's command line as a whole: help that looks the same in all programs, and `--generate`.
//! What its flags mean is left to each.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};

use clap::{ArgMatches, Command};

use crate::environment::name_variable;
use crate::{Exit, Section, generate, help};

/// A program, as its users and its packagers see it.
#[derive(Clone, Debug)]
pub struct Program {
    /// The command line, without `--generate`.
    pub command: Command,
    /// The section of the manual: 1 for commands, 8 for daemons.
    pub manual_section: u8,
    /// What its own manual page has beyond the command line.
    pub sections: Vec<Section>,
    /// Manual pages of others that say more: `volleyd(8)`.
    pub see_also: &'static [&'static str],
    /// Documents of this project that say more: `OPERATING.md`.
    pub documents: &'static [&'static str],
}

impl Program {
    /// What the command line of this process says.
    ///
    /// # Errors
    ///
    /// How to exit, when there is nothing more to do: help, a version or what `--generate` asked for
    /// has been printed, or what is wrong with the command line has been told.
    pub fn matches(&self) -> Result<ArgMatches, Exit> {
        let arguments: Vec<OsString> = env::args_os().collect();
        let command = generate::with_flag(self.command.clone());
        if arguments.get(1).is_some_and(|first| generate::is_flag(first)) {
            // No command is required with it, and none allowed.
            let command = command.subcommand_required(false).args_conflicts_with_subcommands(true);
            let matches = command.try_get_matches_from(arguments);
            let matches = matches.map_err(|error| self.answer(&error))?;
            return match generate::kind(&self.command, &matches) {
                Some(kind) => Err(self.print(&generate::generate(self, &kind))),
                None => Ok(matches),
            };
        }
        // What help looks like costs time, which all others would wait for.
        let is_given = |flag: &str| arguments.iter().any(|argument| argument == flag);
        let command = if is_given("-h") { help::summarised(command) } else { command };
        let is_help = arguments.len() == 1 || ["-h", "--help", "help"].into_iter().any(is_given);
        let command = if is_help { help::with_headings(command) } else { command };
        command.try_get_matches_from(&arguments).map_err(|mut error| {
            name_variable(&mut error, &self.command, &arguments);
            self.answer(&error)
        })
    }

    /// Says what clap has to say: what is wrong on stderr, all else on stdout.
    fn answer(&self, error: &clap::Error) -> Exit {
        let printed = error.print();
        match error.use_stderr() {
            // Without a stderr there is nobody to tell.
            true => Exit::Usage,
            false => self.exit(printed),
        }
    }

    fn print(&self, text: &[u8]) -> Exit {
        let mut stdout = io::stdout().lock();
        self.exit(stdout.write_all(text).and_then(|()| stdout.flush()))
    }

    /// How to exit after a write to stdout. That nobody reads it is no error.
    fn exit(&self, printed: io::Result<()>) -> Exit {
        match printed {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                let name = self.command.get_name();
                let _ = writeln!(io::stderr(), "{name}: cannot write to stdout: {error}");
                Exit::Io
            }
            _ => Exit::Success,
        }
    }
}
