//! What is wrong with a configuration, where, and with which code the daemon exits for it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use volley_cli::{Exit, printable};

use super::origin::Origin;

/// One thing that is wrong. [`fmt::Display`] is one line, for the log:
/// ``volleyd.toml:3:1: unknown key `idle-timout`: did you mean `idle-timeout`?``
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) origin: Origin,
    /// For the user, in lower case.
    pub(crate) message: String,
    /// It could be done, and is not unless somebody says that it may be.
    is_forbidden: bool,
}

impl Problem {
    pub(crate) fn new(origin: &Origin, message: impl Into<String>) -> Self {
        Self { origin: origin.clone(), message: message.into(), is_forbidden: false }
    }

    /// What could be done, and is not unless somebody says that it may be.
    pub(crate) fn forbidden(origin: &Origin, message: impl Into<String>) -> Self {
        Self { is_forbidden: true, ..Self::new(origin, message) }
    }

    /// Whether it is no wrong usage.
    const fn is_of_configuration(&self) -> bool {
        self.is_forbidden || self.origin.place().is_some()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = printable(&self.message);
        match &self.origin {
            Origin::Default => write!(f, "default: {message}"),
            Origin::Flag(key) => write!(f, "--{key}: {message}"),
            Origin::Variable(name) => write!(f, "{name}: {message}"),
            Origin::File(place) => write!(f, "{place}: {message}"),
        }
    }
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file isn't there, or can't be read.
    #[error("cannot read {}: {source}", printable(&path.to_string_lossy()))]
    Unreadable { path: PathBuf, source: io::Error },
    /// What was said can't be done. At least one problem; those of a file in its order.
    #[error("{}", one_line(.0))]
    Invalid(Vec<Problem>),
    /// A file that a setting names isn't there, or can't be used.
    #[error("{problem}")]
    Certificate { problem: Problem, exit: Exit },
    /// The one of the daemon's own can't be made.
    #[error("cannot make a certificate: {0}")]
    Own(#[from] rcgen::Error),
}

impl ConfigError {
    /// An input is missing; a file is bad, or something forbidden; or the flags or the environment
    /// are wrong.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Unreadable { .. } => Exit::NoInput,
            Self::Certificate { exit, .. } => *exit,
            Self::Own(_) => Exit::Unavailable,
            Self::Invalid(problems) if problems.iter().any(Problem::is_of_configuration) => {
                Exit::Config
            }
            Self::Invalid(_) => Exit::Usage,
        }
    }

    /// For the terminal: each problem with the line of the file and carets under the piece.
    pub(crate) fn report(&self) -> String {
        let problems = match self {
            Self::Invalid(problems) => problems.as_slice(),
            Self::Certificate { problem, .. } => std::slice::from_ref(problem),
            Self::Unreadable { .. } | Self::Own(_) => return format!("volleyd: {self}\n"),
        };
        let with_excerpt = |problem: &Problem| match problem.origin.place() {
            Some(place) => format!("{problem}\n{}\n", place.excerpt()),
            None => format!("volleyd: {problem}\n"),
        };
        problems.iter().map(with_excerpt).collect()
    }
}

fn one_line(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    lines.join("; ")
}
