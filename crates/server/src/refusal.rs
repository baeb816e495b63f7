//! How a connection is turned away that cannot be served: it is told why, then closed.

use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};
use volley_proto::Reason;

use crate::opening::{Opener, leave};
use crate::transport::Transport;
use crate::{Peer, Refusal};

/// How many refused connections may wait for their peers to read why. Each holds a descriptor of
/// the reserve for up to a second.
const LINGERING: usize = 16;

/// A flood of refusals is told once in this time, with its number.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Turns connections away.
#[derive(Debug)]
pub(crate) struct Refusals {
    /// Whether peers can read why.
    explains: bool,
    lingering: Arc<Semaphore>,
    /// Refused since it was last told.
    untold: u64,
    told_at: Option<Instant>,
}

impl Refusals {
    pub(crate) fn new(explains: bool) -> Self {
        Self { explains, lingering: Arc::new(Semaphore::new(LINGERING)), untold: 0, told_at: None }
    }

    /// Refuses `stream`; `why` is for the peer and for the log.
    pub(crate) fn refuse<O: Opener>(
        &mut self,
        stream: O::Raw,
        peer: &Peer,
        why: Refusal,
        tasks: &TaskTracker,
    ) {
        self.tell(peer, why);
        self.dismiss(stream, self.busy::<O>(why), tasks);
    }

    /// As [`refuse`](Self::refuse), but the descriptor is free again when this returns.
    pub(crate) fn refuse_at_once<O: Opener>(&mut self, stream: &O::Raw, peer: &Peer, why: Refusal) {
        self.tell(peer, why);
        close_at_once(stream, &self.busy::<O>(why));
    }

    /// Closes `stream` behind this last word. The lingering close is one of `tasks`, unless too
    /// many are at it already.
    pub(crate) fn dismiss(&self, stream: impl Transport, farewell: Vec<u8>, tasks: &TaskTracker) {
        let Ok(permit) = Arc::clone(&self.lingering).try_acquire_owned() else {
            close_at_once(&stream, &farewell);
            return;
        };
        let leave = leave(stream, farewell);
        tasks.spawn(async move {
            leave.await;
            drop(permit);
        });
    }

    /// What says why; nothing to a peer that can read none.
    fn busy<O: Opener>(&self, why: Refusal) -> Vec<u8> {
        O::farewell(Reason::Busy, &why.to_string(), self.explains)
    }

    fn tell(&mut self, peer: &Peer, why: Refusal) {
        debug!(%peer, %why, "refused");
        self.untold += 1;
        if self.told_at.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
            warn!(refused = self.untold, %why, "refusing connections");
            self.untold = 0;
            self.told_at = Some(Instant::now());
        }
    }
}

/// Sends what fits, half-closes and throws away what has come, all without waiting. A peer whose
/// next bytes are still on their way may get a reset, and may read it before the last word.
fn close_at_once(stream: &impl Transport, farewell: &[u8]) {
    let socket = stream.socket();
    let sent = socket.send(farewell).and_then(|_| socket.shutdown(Shutdown::Write));
    let mut discarded = [std::mem::MaybeUninit::uninit(); 4096];
    // Bounded: a peer may send faster than we discard.
    let rounds = if sent.is_ok() { 64 } else { 0 };
    for _ in 0..rounds {
        if !matches!(socket.recv(&mut discarded), Ok(1..)) {
            break;
        }
    }
}

impl Drop for Refusals {
    /// Tells the rest of the last flood.
    fn drop(&mut self) {
        if self.untold > 0 {
            warn!(refused = self.untold, "refused more connections");
        }
    }
}
