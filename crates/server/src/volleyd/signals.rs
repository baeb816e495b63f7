//! The signals that the daemon heeds. What becomes of them is decided in
//! [`lifecycle`](crate::lifecycle), and in [`reload`](crate::reload).

use std::io;

use tokio::signal::unix::{self, SignalKind, signal};
use volley_cli::Exit;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Signal {
    /// SIGTERM or SIGINT: to go.
    Stop {
        name: &'static str,
        /// How a process exits that goes at once.
        exit: Exit,
    },
    /// SIGUSR2: to give the place to a new process.
    HandOver,
}

/// Hears them.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    hand_over: unix::Signal,
}

impl Signals {
    /// From now on they don't end the process by themselves.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(crate) fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hand_over: signal(SignalKind::user_defined2())?,
        })
    }

    /// The next one. Cancel safe: none is lost.
    pub(crate) async fn next(&mut self) -> Signal {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Signal::Stop { name: "SIGTERM", exit: Exit::Terminated },
            _ = self.interrupt.recv() => Signal::Stop { name: "SIGINT", exit: Exit::Interrupted },
            _ = self.hand_over.recv() => Signal::HandOver,
        }
    }
}

/// The SIGHUPs to come, each of them a wish to read the configuration again. From now on they don't
/// end the process.
///
/// # Errors
///
/// What the system says.
pub(crate) fn hangups() -> io::Result<unix::Signal> {
    signal(SignalKind::hangup())
}
