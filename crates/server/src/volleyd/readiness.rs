//! Whether the daemon is to be sent new connections, for whoever asks.

use tokio::sync::watch;

/// How far the daemon is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// It does not accept connections yet.
    Starting,
    /// It accepts connections.
    Ready,
    /// It is going: new connections belong elsewhere.
    Draining,
}

/// The stage that the daemon is in. Clones show the same.
#[derive(Clone, Debug)]
pub(crate) struct Readiness {
    stage: watch::Sender<Stage>,
}

impl Readiness {
    pub(crate) fn new() -> Self {
        Self { stage: watch::Sender::new(Stage::Starting) }
    }

    pub(crate) fn stage(&self) -> Stage {
        *self.stage.borrow()
    }

    /// Enters a later stage; there is no way back.
    pub(crate) fn enter(&self, stage: Stage) {
        self.stage.send_if_modified(|current| {
            let is_later = stage > *current;
            *current = stage.max(*current);
            is_later
        });
    }

    /// Returns once the daemon is going.
    pub(crate) async fn draining(&self) {
        // `self` is a sender: there will always be one.
        let _ = self.stage.subscribe().wait_for(|&stage| stage == Stage::Draining).await;
    }
}
