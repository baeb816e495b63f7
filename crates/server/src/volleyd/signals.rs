//! SIGTERM and SIGINT: the first asks for a drain, the second ends the process.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use volley_cli::Exit;

use crate::logging;

/// From now on the first signal cancels `shutdown`.
pub(crate) fn install(shutdown: CancellationToken) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => ("SIGTERM", Exit::Terminated),
                _ = interrupt.recv() => ("SIGINT", Exit::Interrupted),
            }
        };
        let (signal, _) = next().await;
        info!(signal, "shutting down; a second signal exits at once");
        shutdown.cancel();
        let (signal, exit) = next().await;
        warn!(signal, "exiting at once");
        logging::finish();
        std::process::exit(exit.code().into());
    });
    Ok(())
}
