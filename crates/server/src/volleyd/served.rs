//! The listeners that are served, to be looked at and asked for things.

use volley_server::{DatagramHandle, Handle};

use crate::probe::{Probed, Target};

/// One handle for each of their sockets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Served {
    /// Those that accept connections.
    pub(crate) streams: Vec<Handle>,
    /// The same, as they are reached.
    pub(crate) targets: Vec<Target>,
    /// Those that receive datagrams.
    pub(crate) datagrams: Vec<DatagramHandle>,
}

impl Served {
    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        self.streams.len() + self.datagrams.len()
    }

    /// How many connections are open.
    pub(crate) fn connections(&self) -> u64 {
        self.streams.iter().map(|handle| handle.books().active).sum()
    }

    /// What can be asked whether it answers.
    pub(crate) fn probed(&self) -> Vec<Probed> {
        let streams = self.targets.iter().cloned();
        let datagrams = self.datagrams.iter().cloned();
        streams.map(Probed::Stream).chain(datagrams.map(Probed::Datagrams)).collect()
    }

    /// Leaves what has not been accepted or received to another process, which has the same
    /// sockets.
    pub(crate) fn leave(&self) {
        self.streams.iter().for_each(Handle::leave_backlog);
        self.datagrams.iter().for_each(DatagramHandle::leave_queue);
    }
}
