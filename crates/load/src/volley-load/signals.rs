//! SIGINT and SIGTERM: the first stops sending, the second ends the run at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use volley_cli::Exit;
use volley_load::run::Control;

/// Which signal came first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signals {
    first: Arc<AtomicU8>,
}

impl Signals {
    /// Stops the run of `control` at every signal, on a thread of its own.
    pub(crate) fn install(control: Control) -> io::Result<Self> {
        let signals = Self::default();
        let first = Arc::clone(&signals.first);
        let runtime = Builder::new_current_thread().enable_all().build()?;
        // Signals that come before they are listened for would end the program.
        let (mut interrupt, mut terminate) = runtime.block_on(async {
            Ok::<_, io::Error>((signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?))
        })?;
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(async {
                loop {
                    // Both branches are cancel safe.
                    let exit = tokio::select! {
                        _ = interrupt.recv() => Exit::Interrupted,
                        _ = terminate.recv() => Exit::Terminated,
                    };
                    let code = exit.code();
                    let _ = first.compare_exchange(0, code, Ordering::Relaxed, Ordering::Relaxed);
                    control.stop();
                }
            });
        })?;
        Ok(signals)
    }

    /// The exit code that goes with the first signal, if there was one.
    pub(crate) fn exit(&self) -> Option<Exit> {
        match self.first.load(Ordering::Relaxed) {
            0 => None,
            code if code == Exit::Interrupted.code() => Some(Exit::Interrupted),
            _ => Some(Exit::Terminated),
        }
    }
}
