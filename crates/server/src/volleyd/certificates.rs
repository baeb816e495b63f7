//! The files of TLS listeners: from their names in the settings to what the listeners show and ask
//! for. All of them or none.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::SystemTime;

use humantime::format_rfc3339_seconds;
use tracing::info;
use volley_cli::{Exit, printable};
use volley_server::{TlsClients, TlsConfig, TlsConfigError, TlsInput};

use crate::config::{
    ConfigError, FilePath, Listener, Origin, Problem, Settings, Valued, read_file,
};
use crate::probe::Own;

/// What each of the listeners needs for TLS.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    /// In the order of [`Settings::listeners`]; `None` for those that don't speak it.
    of_listeners: Vec<Option<TlsConfig>>,
    /// What the log should say of them, odd but no error.
    pub(crate) warnings: Vec<String>,
}

impl Certificates {
    /// Reads the files that `settings` name. The listeners let `own` pass too, with which the
    /// daemon looks whether they answer.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for the first file that is not there or can't be used.
    pub(crate) fn read(settings: &Settings, own: Option<&Own>) -> Result<Self, ConfigError> {
        let mut certificates = Self::default();
        for listener in &settings.listeners {
            let config =
                Files::of(listener).map(|files| certificates.read_one(&files, own)).transpose()?;
            certificates.of_listeners.push(config);
        }
        Ok(certificates)
    }

    /// Of the `at`th listener; `None` if it does not speak TLS.
    pub(crate) fn of(&self, at: usize) -> Option<&TlsConfig> {
        self.of_listeners.get(at).and_then(Option::as_ref)
    }

    /// Logs what new handshakes get.
    pub(crate) fn tell(&self, settings: &Settings) {
        for (listener, config) in settings.listeners.iter().zip(&self.of_listeners) {
            if let Some(config) = config {
                let asks_clients = listener.settings.client_ca.value.is_some();
                info!(
                    listener = settings.title_of(listener),
                    until = %format_rfc3339_seconds(config.not_after()),
                    clients = asks_clients.then_some("must show one"),
                    "certificate in force"
                );
            }
        }
    }

    fn read_one(&mut self, files: &Files<'_>, own: Option<&Own>) -> Result<TlsConfig, ConfigError> {
        let cert = files.cert.read()?;
        let key = files.key.read()?;
        let ca = files.client_ca.as_ref().map(Named::read).transpose()?;
        let own = own.map(Own::certificate);
        let clients = ca.as_ref().map(|ca| TlsClients { ca, own });
        let config =
            TlsConfig::from_pem(&cert, &key, clients).map_err(|error| files.blame(&error))?;
        self.warnings.extend(files.key.is_exposed());
        self.warnings.extend(files.cert.is_out_of_date(&config));
        Ok(config)
    }
}

/// The files of one listener.
struct Files<'a> {
    cert: Named<'a>,
    key: Named<'a>,
    client_ca: Option<Named<'a>>,
}

/// A file, and who has named it.
#[derive(Clone, Copy)]
struct Named<'a> {
    path: &'a Path,
    origin: &'a Origin,
}

impl<'a> Files<'a> {
    /// `None` if the listener does not speak TLS.
    fn of(listener: &'a Listener) -> Option<Self> {
        if !listener.speaks_tls() {
            return None;
        }
        let settings = &listener.settings;
        Some(Self {
            // Both are there: the settings would be bad else.
            cert: Named::of(&settings.cert)?,
            key: Named::of(&settings.key)?,
            client_ca: Named::of(&settings.client_ca),
        })
    }

    fn blame(&self, error: &TlsConfigError) -> ConfigError {
        let file = match error.input() {
            Some(TlsInput::Key) => self.key,
            Some(TlsInput::ClientCa) => self.client_ca.unwrap_or(self.cert),
            _ => self.cert,
        };
        file.blame(&error, Exit::Config)
    }
}

impl<'a> Named<'a> {
    fn of(setting: &'a Valued<Option<FilePath>>) -> Option<Self> {
        let path = setting.value.as_ref()?.path();
        Some(Self { path, origin: &setting.origin })
    }

    fn read(&self) -> Result<Vec<u8>, ConfigError> {
        read_file(self.path).map_err(|error| {
            let error = match error.kind() {
                io::ErrorKind::NotFound => "there is no such file".to_owned(),
                _ => error.to_string(),
            };
            self.blame(&error, Exit::NoInput)
        })
    }

    fn name(&self) -> String {
        printable(&self.path.to_string_lossy())
    }

    fn blame(&self, why: &dyn std::fmt::Display, exit: Exit) -> ConfigError {
        let problem = Problem::new(self.origin, format!("{}: {why}", self.name()));
        ConfigError::Certificate { problem, exit }
    }

    /// Everybody on this machine can read it.
    fn is_exposed(&self) -> Option<String> {
        const BY_OTHERS: u32 = 0o004;
        let mode = fs::metadata(self.path).ok()?.permissions().mode() & 0o777;
        (mode & BY_OTHERS != 0).then(|| {
            format!(
                "{} can be read by all (mode {mode:04o}): it should be the key's owner's alone",
                self.name()
            )
        })
    }

    /// Whether a client takes it is the client's affair; one that looks does not.
    fn is_out_of_date(&self, config: &TlsConfig) -> Option<String> {
        let now = SystemTime::now();
        let told = if now > config.not_after() {
            format!("has expired at {}", format_rfc3339_seconds(config.not_after()))
        } else if now < config.not_before() {
            format!("is not valid before {}", format_rfc3339_seconds(config.not_before()))
        } else {
            return None;
        };
        Some(format!("the certificate in {} {told}: it is shown all the same", self.name()))
    }
}
