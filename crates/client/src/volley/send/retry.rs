//! Which failures are worth another connection, and when to try.

use std::time::Duration;

use volley_cli::Exit;
use volley_client::Error;
use volley_client::advice::exit;

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

    /// The next try after this failure, if it is worth one and one is left.
    pub(crate) fn after(&mut self, failure: &Failure) -> Option<NextTry> {
        if self.tries == self.most || !may_pass(failure) {
            return None;
        }
        self.tries += 1;
        Some(NextTry { number: self.tries, pause: self.backoff.pause() })
    }
}

/// Whether another connection may fare better. What is wrong with a frame, with the server's
/// protocol or with this machine stays wrong.
fn may_pass(failure: &Failure) -> bool {
    let Failure::Client(error) = failure else { return false };
    match error {
        Error::Resolve { .. }
        | Error::Connect { .. }
        | Error::Closed { .. }
        | Error::Io { .. }
        | Error::Send { .. } => true,
        error => exit(error) == Exit::TryAgain,
    }
}
