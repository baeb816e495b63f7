//! SIGHUP: reads the configuration and the files of TLS again and puts them in force, all of it or
//! nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::signal::unix::Signal;
use tokio::task::spawn_blocking;
use tracing::{error, info, warn};

use crate::certificates::Certificates;
use crate::config::{Change, ConfigError, ReloadError, Settings, Sources};
use crate::in_force::InForce;
use crate::probe::Own;
use crate::readiness::{Readiness, Stage};
use crate::served::Served;
use crate::{logging, notify};

/// How often the configuration was read again. Clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reloads {
    applied: Arc<AtomicU64>,
    rejected: Arc<AtomicU64>,
}

impl Reloads {
    /// By what became of it.
    pub(crate) fn counts(&self) -> [(&'static str, u64); 2] {
        let [applied, rejected] =
            [&self.applied, &self.rejected].map(|count| count.load(Ordering::Relaxed));
        [("applied", applied), ("rejected", rejected)]
    }
}

/// The configuration as it is in force, and how to come by another one.
#[derive(Debug)]
pub(crate) struct Reload {
    pub(crate) sources: Arc<Sources>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) in_force: InForce,
    /// So that the service manager is told.
    pub(crate) readiness: Readiness,
    pub(crate) served: Served,
    pub(crate) reloads: Reloads,
    /// What gets through the listeners' handshakes, if there are any.
    pub(crate) own: Option<Own>,
}

impl Reload {
    /// Reads the file again at each of `hangups`, for as long as the process lives.
    pub(crate) async fn run(mut self, mut hangups: Signal) {
        while hangups.recv().await.is_some() {
            if self.readiness.stage() == Stage::Ready {
                notify::reloading();
            }
            self.reload().await;
            // Unless it is going: then it is not ready any more.
            if self.readiness.stage() == Stage::Ready {
                notify::ready(&self.served);
            }
        }
    }

    async fn reload(&mut self) {
        let (before, sources) = (Arc::clone(&self.settings), Arc::clone(&self.sources));
        let own = self.own.clone();
        // The files can be on a disk that answers slowly.
        let read = spawn_blocking(move || {
            let (settings, changes) = before.reload(&sources)?;
            let certificates = Certificates::read(&settings, own.as_ref())?;
            Ok((settings, certificates, changes))
        })
        .await;
        let Reloads { applied, rejected } = &self.reloads;
        let outcome = if matches!(read, Ok(Ok(_))) { applied } else { rejected };
        outcome.fetch_add(1, Ordering::Relaxed);
        match read {
            Ok(Ok((settings, certificates, changes))) => {
                self.put_in_force(settings, &certificates, &changes);
            }
            Ok(Err(error)) => tell(&error),
            Err(error) => error!(%error, "the task that reloads failed; going on as before"),
        }
    }

    fn put_in_force(
        &mut self,
        settings: Settings,
        certificates: &Certificates,
        changes: &[Change],
    ) {
        self.in_force.change(&settings, certificates);
        for warning in &certificates.warnings {
            warn!("{warning}");
        }
        certificates.tell(&settings);
        for change in changes {
            info!(change = change.to_string(), "reloaded");
        }
        if changes.is_empty() {
            info!("reloaded, and nothing has changed");
        }
        // After the changes have been told under the old one. Where the file has not changed it,
        // one that was set by hand stays.
        let (before, after) = (&self.settings.process.log.value, &settings.process.log.value);
        if before != after
            && let Err(error) = logging::set_filter(&after.0)
        {
            error!(%error, "cannot change the log's filter");
        }
        self.settings = Arc::new(settings);
    }
}

fn tell(error: &ReloadError) {
    const BAD: &str = "the configuration is bad; going on as before";
    match error {
        ReloadError::NoFile => warn!("nothing to reload: {error}"),
        ReloadError::Config(ConfigError::Invalid(problems)) => {
            for problem in problems {
                error!(%problem, "{BAD}");
            }
        }
        ReloadError::Config(error) => error!(problem = %error, "{BAD}"),
        ReloadError::Restart(_) => {
            error!(problem = %error, "the configuration takes a restart; going on as before");
        }
    }
}
