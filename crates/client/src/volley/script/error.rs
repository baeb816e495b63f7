//! What is wrong with a script before it is carried out, and where.

use std::io;
use std::path::{Path, PathBuf};

use volley_cli::{Excerpt, Exit, Misread, format_bytes};

use super::statement::Place;
use crate::failure::tell;
use crate::stderr;

/// Why a script cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScriptError {
    #[error("cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} is no script: it is longer than {}", path.display(), format_bytes(*longest as u64))]
    TooLong { path: PathBuf, longest: usize },
    #[error("there is no script in {}: their names end in .volley", path.display())]
    NoScripts { path: PathBuf },
    #[error("{name}:{place}: {why}")]
    Wrong { name: String, place: Place, why: String, excerpt: String, exit: Exit },
}

impl ScriptError {
    /// Tells it on stderr, and points at the piece of a script.
    pub(crate) fn report(&self) {
        tell(&self.to_string());
        if let Self::Wrong { excerpt, .. } = self {
            stderr::show(format!("{excerpt}\n"));
        }
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Unreadable { source, .. } => exit_of_reading(source),
            Self::TooLong { .. } => Exit::BadData,
            Self::NoScripts { .. } => Exit::NoInput,
            Self::Wrong { exit, .. } => *exit,
        }
    }
}

/// The exit code for an input that cannot be read: it is missing, or reading it failed.
pub(super) fn exit_of_reading(error: &io::Error) -> Exit {
    match error.kind() {
        io::ErrorKind::NotFound
        | io::ErrorKind::PermissionDenied
        | io::ErrorKind::IsADirectory
        | io::ErrorKind::NotADirectory => Exit::NoInput,
        _ => Exit::Io,
    }
}

/// What is wrong with a line of a script.
#[derive(Debug)]
pub(super) struct Fault<'a> {
    misread: Misread<'a>,
    exit: Exit,
}

impl<'a> Fault<'a> {
    /// A line that cannot be read.
    pub(super) fn new(place: &'a str, why: impl Into<String>) -> Self {
        Misread::new(place, why).into()
    }

    /// A line that names a file which cannot be read.
    pub(super) fn unreadable(place: &'a str, path: &Path, source: &io::Error) -> Self {
        let misread = Misread::new(place, format!("cannot read {}: {source}", path.display()));
        Self { misread, exit: exit_of_reading(source) }
    }

    /// This in `line`, which it points into: the line with this number, from 1, of the script that
    /// is called `name`.
    pub(super) fn within(self, line: &str, number: usize, name: &str) -> ScriptError {
        let Self { misread, exit } = self;
        let span = misread.span_in(line);
        let column = 1 + line.get(..span.start).unwrap_or_default().chars().count();
        let excerpt = Excerpt { text: line, span }.to_string();
        let place = Place { line: number, column };
        ScriptError::Wrong { name: name.to_owned(), place, why: misread.why, excerpt, exit }
    }
}

impl<'a> From<Misread<'a>> for Fault<'a> {
    fn from(misread: Misread<'a>) -> Self {
        Self { misread, exit: Exit::BadData }
    }
}
