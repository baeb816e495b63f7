//! Where settings come from: flags and environment, which stay as they are while the daemon runs,
//! and the file, which can be read again.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use volley_cli::printable;

use super::environment::Environment;
use super::file::FileSettings;
use super::flags::{Flags, Task};
use super::problem::ConfigError;
use super::settings::Settings;

/// A larger file was given by mistake: one with a thousand listeners has a tenth of that.
const LONGEST_FILE: u64 = 1 << 20;

/// The flags, the environment, and where the file is.
#[derive(Debug)]
pub(crate) struct Sources {
    flags: Flags,
    environment: Environment,
}

impl Sources {
    /// # Errors
    ///
    /// [`ConfigError`] when a variable of ours can't be read.
    pub(crate) fn new(
        flags: Flags,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let environment = Environment::read(variables).map_err(ConfigError::Invalid)?;
        Ok(Self { flags, environment })
    }

    pub(crate) const fn task(&self) -> &Task {
        &self.flags.task
    }

    /// The configuration file, if there is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.flags.config.as_deref().or(self.environment.config.as_deref())
    }

    /// What messages call them: the file, if there is one.
    pub(crate) fn title(&self) -> String {
        match self.file() {
            Some(path) => printable(&path.to_string_lossy()),
            None => "flags and environment".to_owned(),
        }
    }

    /// What all sources add up to, with the file as it is now. This reads the file.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] when the file can't be read, or anything is wrong.
    pub(crate) fn settings(&self) -> Result<Settings, ConfigError> {
        let bytes = self.file().map(|path| {
            read_file(path)
                .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })
        });
        self.settings_with(bytes.transpose()?)
    }

    /// What all sources add up to with this for the content of the file.
    pub(super) fn settings_with(&self, bytes: Option<Vec<u8>>) -> Result<Settings, ConfigError> {
        let file = match (self.file(), bytes) {
            (Some(path), Some(bytes)) => FileSettings::read(path, bytes),
            _ => Ok(FileSettings::default()),
        };
        file.and_then(|file| Settings::resolve(&self.flags, &self.environment, &file))
            .map_err(ConfigError::Invalid)
    }
}

/// The whole of a file, unless it is too long to be meant.
///
/// # Errors
///
/// What the system says, or that it is longer than 1 MiB.
pub(crate) fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let len = File::open(path)?.take(LONGEST_FILE + 1).read_to_end(&mut bytes)?;
    if len as u64 > LONGEST_FILE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is longer than 1 MiB"));
    }
    Ok(bytes)
}
