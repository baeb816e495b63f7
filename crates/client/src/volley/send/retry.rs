//! Which failures are worth another connection, and when to try.

use std::time::Duration;

use volley_cli::Exit;
use volley_client::advice::exit;
use volley_client::{Error, TlsFault};

use crate::backoff::Backoff;
use crate::failure::Failure;

/// No pause grows longer than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How often to try again.
#[derive(Debug)]
pub(crate) struct Retry {
    most: usize,
    backoff: Backoff,
    /// Tries since something came of one.
    tries: usize,
}

/// Another try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NextTry {
    pub(crate) number: usize,
    pub(crate) pause: Duration,
}

impl Retry {
    /// At most `most` tries in a row of which nothing comes.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, backoff: Backoff::new(LONGEST_PAUSE), tries: 0 }
    }

    /// How many tries in a row there are at most.
    pub(crate) const fn most(&self) -> usize {
        self.most
    }

    /// Something came of the last try: the next failure is a new one.
    pub(crate) fn succeed(&mut self) {
        if self.tries > 0 {
            *self = Self::new(self.most);
        }
    }

    /// The failure with what to try next, if nothing has been tried.
    pub(crate) fn advise(&self, failure: Failure) -> Failure {
        // Nobody was there, or something else may help, which is told already.
        let is_no_loss = matches!(
            failure,
            Failure::Client(Error::Resolve { .. } | Error::Connect { .. } | Error::Tls { .. })
        );
        let has_advice = failure.message() != failure.to_string();
        if self.most > 0 || !may_pass(&failure) || is_no_loss || has_advice {
            return failure;
        }
        let advice = if is_idle_end(&failure) {
            "before the input ended: volley send --retry 3 goes on over another connection"
        } else {
            "volley send --retry 3 sends again what has no reply"
        };
        Failure::Advised { why: failure.to_string(), advice, exit: failure.exit() }
    }

    /// The next try after this failure, if it is worth one and one is left.
    pub(crate) fn after(&mut self, failure: &Failure) -> Option<NextTry> {
        if self.tries == self.most || !may_pass(failure) {
            return None;
        }
        self.tries += 1;
        Some(NextTry { number: self.tries, pause: self.backoff.pause() })
    }
}

/// Whether the server closed while no reply was awaited.
pub(crate) const fn is_idle_end(failure: &Failure) -> bool {
    matches!(failure, Failure::Client(Error::Closed { outstanding: 0, .. }))
}

/// Whether another connection may fare better. What is wrong with a frame, with the server's
/// protocol or with this machine stays wrong.
fn may_pass(failure: &Failure) -> bool {
    let Failure::Client(error) = failure else { return false };
    match error {
        Error::Resolve { .. } | Error::Connect { .. } | Error::Closed { .. } => true,
        // One that is no fault of TLS.
        Error::Io { .. } | Error::Send { .. } => exit(error) == Exit::Failure,
        // A proxy without its server behind it ends like one that does not know HELLO.
        Error::NoWelcome { answer: "a close" | "a reset" } => true,
        Error::Tls { fault: TlsFault::Closed | TlsFault::Lost { .. }, .. } => true,
        error => exit(error) == Exit::TryAgain,
    }
}
