//! SIGINT and SIGTERM: they end what the program waits for, and its exit code says which it was.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use volley_cli::Exit;

use crate::failure::Failure;

/// The signals that end the program.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(crate) fn install() -> io::Result<Self> {
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self { interrupt, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next one.
    ///
    /// # Cancel safety
    ///
    /// No signal is lost.
    pub(crate) async fn next(&mut self) -> Failure {
        tokio::select! {
            _ = self.interrupt.recv() => Failure::Signal(Exit::Interrupted),
            _ = self.terminate.recv() => Failure::Signal(Exit::Terminated),
        }
    }
}
