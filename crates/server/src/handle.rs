//! A server, seen from outside while it runs.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use volley_proto::Endpoint;

use crate::roster::Roster;
use crate::{Books, Config, ConnectionStatus, ServiceTimes};

/// Looks at a running [`Server`](crate::Server) and changes what it has in force. Clones are for
/// the same server; after its end it stays as it was then.
#[derive(Clone, Debug)]
pub struct Handle {
    roster: Arc<Roster>,
}

impl Handle {
    pub(crate) const fn new(roster: Arc<Roster>) -> Self {
        Self { roster }
    }

    /// Where it listens, port 0 resolved.
    pub fn endpoint(&self) -> &Endpoint {
        &self.roster.endpoint
    }

    /// The books at this instant. It looks at every open connection: with 10,000 of them that takes
    /// some 0.2 ms, in which none can open or close.
    pub fn books(&self) -> Books {
        self.roster.books()
    }

    /// Whether nothing is accepted at this instant because of [`Config::accept_rate`]: who connects
    /// waits in the system's backlog. [`Books::accept_pauses`] counts how often that was so; a
    /// single pause can be long.
    pub fn accepting_waits(&self) -> bool {
        self.roster.accepting_waits.load(Ordering::Relaxed)
    }

    /// The open connections, the oldest first.
    pub fn connections(&self) -> Vec<ConnectionStatus> {
        self.roster.connections()
    }

    /// How long frames have been in here: of one batch in 16, from the read that brought it in
    /// until the kernel had its last reply.
    pub fn service_times(&self) -> ServiceTimes {
        self.roster.service_time.snapshot()
    }

    /// What is in force.
    pub fn config(&self) -> Config {
        (*self.roster.config()).clone()
    }

    /// Puts `config` in force, for open connections too. What a client has been told stays: its
    /// reply and its longest frame; new connections get the new ones, if the server's own
    /// responder serves them. Limits count on where `config` brings the same ones, moved with
    /// their `set_max`; another [`BufferLimit`](crate::BufferLimit) is not taken.
    pub fn reconfigure(&self, config: Config) {
        self.roster.reconfigure(config);
    }

    /// Leaves connections that wait to be accepted at the shutdown to another process, which has
    /// the same socket; without this they are accepted and drained too.
    pub fn leave_backlog(&self) {
        self.roster.leaves_backlog.store(true, Ordering::Relaxed);
    }
}
