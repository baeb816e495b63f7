//! From the settings in force to those that the file has now.

use std::fmt;

use super::listener::Listener;
use super::problem::ConfigError;
use super::settings::Settings;
use super::sources::Sources;
use super::valued::Shown;

/// A value that is another one now: `idle-timeout of listener public: 5m -> 1m`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) key: &'static str,
    /// What the listener is called, of which it is a setting.
    pub(crate) listener: Option<String>,
    pub(crate) from: String,
    pub(crate) to: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, listener, from, to } = self;
        match listener {
            Some(listener) => write!(f, "{key} of listener {listener}: {from} -> {to}"),
            None => write!(f, "{key}: {from} -> {to}"),
        }
    }
}

/// Why everything stays as it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReloadError {
    #[error("there is no file to read again: none was given by --config")]
    NoFile,
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What differs and can't while the daemon runs.
    #[error("that takes a restart: {}", .0.join("; "))]
    Restart(Vec<String>),
}

impl Settings {
    /// Reads the file again, under the same flags and environment. Returns what to put in force,
    /// its listeners in the order of these, and how it differs.
    ///
    /// # Errors
    ///
    /// [`ReloadError`]: what is in force stays so.
    pub(crate) fn reload(&self, sources: &Sources) -> Result<(Self, Vec<Change>), ReloadError> {
        // The files of TLS listeners may have changed, whoever has named them.
        if sources.file().is_none() && !self.listeners.iter().any(Listener::speaks_tls) {
            return Err(ReloadError::NoFile);
        }
        let mut new = sources.settings()?;
        let mut difference = Difference::default();
        difference.compare(None, self.process.shown(), new.process.shown());
        let mut listeners = Vec::new();
        for before in &self.listeners {
            let title = self.title_of(before);
            let title = title.as_deref();
            match new.listeners.iter().position(|after| after.is(before)) {
                Some(at) => {
                    let after = new.listeners.remove(at);
                    difference.compare_balancers(title, before, &after);
                    difference.compare(title, before.settings.shown(), after.settings.shown());
                    difference.compare(title, before.own.shown(), after.own.shown());
                    listeners.push(after);
                }
                None => difference.restart.push(format!("listener {} is gone", before.title())),
            }
        }
        for added in &new.listeners {
            difference.restart.push(format!("listener {} is new", added.title()));
        }
        new.listeners = listeners;
        match difference {
            Difference { changes, restart } if restart.is_empty() => Ok((new, changes)),
            Difference { restart, .. } => Err(ReloadError::Restart(restart)),
        }
    }
}

/// How new settings differ from those in force.
#[derive(Debug, Default)]
struct Difference {
    changes: Vec<Change>,
    /// What can't change while the daemon runs.
    restart: Vec<String>,
}

impl Difference {
    /// A listener that required no PROXY header can't begin to, nor end it.
    fn compare_balancers(&mut self, title: Option<&str>, before: &Listener, after: &Listener) {
        if before.balancers().is_some() != after.balancers().is_some() {
            let listener = title.map(|title| format!(" of listener {title}")).unwrap_or_default();
            self.restart.push(format!("proxy-from{listener} is switched on or off"));
        }
    }

    /// Both are values of the same rows, in the same order.
    fn compare(&mut self, listener: Option<&str>, before: Vec<Shown<'_>>, after: Vec<Shown<'_>>) {
        for (before, after) in before.into_iter().zip(after) {
            if before.text == after.text {
                continue;
            }
            let listener = listener.map(str::to_owned);
            let change =
                Change { key: before.row.key, listener, from: before.text, to: after.text };
            if before.row.reloadable {
                self.changes.push(change);
            } else {
                self.restart.push(change.to_string());
            }
        }
    }
}
