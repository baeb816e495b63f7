//! From serving to exit: what signals make of the daemon.
//!
//! ```text
//!             SIGTERM, SIGINT                 delay over, or again          again
//!   serving -------------------> not ready, --------------------> draining ------> exit at once
//!      |                         accepting                            ^
//!      '-- SIGUSR2: a new process is ready ---------------------------'
//! ```

use std::convert::Infallible;
use std::process;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::handover::{Heirloom, LONGEST_START, Program, Successor};
use crate::readiness::{Readiness, Stage};
use crate::served::Served;
use crate::signals::{Signal, Signals};
use crate::{logging, notify, socket_files};

/// What the signals act upon.
#[derive(Debug)]
pub(crate) struct Lifecycle {
    pub(crate) readiness: Readiness,
    pub(crate) served: Served,
    /// Begins the drain of all listeners.
    pub(crate) shutdown: CancellationToken,
    /// How long connections are still accepted once the daemon is asked to go.
    pub(crate) drain_delay: watch::Receiver<Duration>,
    pub(crate) program: Program,
    /// Has the admin listener leave its sockets to another process.
    pub(crate) leave_admin: CancellationToken,
    /// For the process that takes the place of this one.
    pub(crate) heirlooms: Vec<Heirloom>,
}

/// Why the daemon does not serve any longer.
#[derive(Debug)]
enum Going {
    /// It was told so.
    Told { name: &'static str },
    /// Another process has its place.
    Replaced,
}

impl Lifecycle {
    /// Heeds the signals for as long as the process lives.
    pub(crate) async fn run(mut self, mut signals: Signals) -> Infallible {
        let mut is_told = true;
        let going = self.serve(&mut signals).await;
        // As it is now: a reload may have changed it.
        let drain_delay = *self.drain_delay.borrow();
        match going {
            Going::Told { name } if drain_delay.is_zero() => {
                info!(signal = name, "shutting down; a second signal exits at once");
                self.readiness.enter(Stage::Draining);
                notify::stopping(&self.served);
            }
            Going::Told { name } => {
                info!(
                    signal = name,
                    delay = ?drain_delay,
                    "not ready any more, accepting for the drain delay; a second signal ends it"
                );
                self.readiness.enter(Stage::Draining);
                notify::stopping_after(drain_delay);
                delay(drain_delay, &mut signals).await;
                info!("shutting down; a further signal exits at once");
                notify::stopping(&self.served);
            }
            Going::Replaced => is_told = false,
        }
        // The sockets close for good with their listeners.
        self.heirlooms.clear();
        self.shutdown.cancel();
        loop {
            match signals.next().await {
                Signal::HandOver => info!("ignoring SIGUSR2: shutting down"),
                // A service manager that stops the service signals all of its processes.
                Signal::Stop { name, .. } if !is_told => {
                    info!(signal = name, "draining already; a second signal exits at once");
                    is_told = true;
                }
                Signal::Stop { name, exit } => {
                    warn!(signal = name, "exiting at once");
                    socket_files::remove();
                    logging::finish();
                    process::exit(exit.code().into());
                }
            }
        }
    }

    /// Until the daemon is told to go, or another process has taken its place.
    async fn serve(&self, signals: &mut Signals) -> Going {
        loop {
            match signals.next().await {
                Signal::Stop { name, .. } => return Going::Told { name },
                Signal::HandOver if process::id() == 1 => {
                    // Of its namespace: with it all others in there end.
                    warn!("ignoring SIGUSR2: the first process of a container can't be replaced");
                }
                Signal::HandOver => {
                    if let Some(going) = self.hand_over(signals).await {
                        return going;
                    }
                }
            }
        }
    }

    /// Starts another process and gives it the place. `None` if it fails: this one goes on.
    async fn hand_over(&self, signals: &mut Signals) -> Option<Going> {
        let mut successor = match self.program.start(&self.heirlooms, LONGEST_START) {
            Ok(successor) => successor,
            Err(error) => {
                error!("going on as before: {error}");
                return None;
            }
        };
        info!(pid = successor.pid(), "a new process is to take over");
        loop {
            // Cancel safe: an answer that is half there is read on, and signals are kept.
            tokio::select! {
                biased;
                ready = successor.ready() => return match ready {
                    Ok(()) => Some(self.leave_to(successor)),
                    Err(error) => {
                        error!("going on as before: {error}");
                        None
                    }
                },
                signal = signals.next() => match signal {
                    Signal::HandOver => info!("ignoring SIGUSR2: a new process is starting"),
                    Signal::Stop { name, .. } => {
                        info!(pid = successor.pid(), "ending the new process");
                        successor.kill().await;
                        return Some(Going::Told { name });
                    }
                },
            }
        }
    }

    fn leave_to(&self, successor: Successor) -> Going {
        let pid = successor.pid();
        self.readiness.enter(Stage::Draining);
        notify::main_process(pid);
        self.served.leave();
        socket_files::leave();
        self.leave_admin.cancel();
        successor.take_over();
        info!(pid, "handed over to a new process");
        Going::Replaced
    }
}

/// Waits for the drain delay, or for a signal that ends it.
async fn delay(drain_delay: Duration, signals: &mut Signals) {
    let until_told = async {
        while matches!(signals.next().await, Signal::HandOver) {
            info!("ignoring SIGUSR2: shutting down");
        }
    };
    // Cancel safe: nothing goes on afterwards.
    tokio::select! {
        () = until_told => {}
        () = sleep(drain_delay) => {}
    }
}
