//! The limit on open descriptors, which bounds the connections of a measurement.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that a server or a load needs besides its connections; a runtime needs about ten.
const RESERVE: usize = 64;

/// Raises the limit for this process and the children that it starts, as far as it may, and gives
/// the connections that then fit into one process.
pub(crate) fn connections() -> usize {
    let limit = getrlimit(Resource::Nofile);
    // If it can't be raised, the present limit stands.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let now = getrlimit(Resource::Nofile).current;
    now.map_or(usize::MAX, |now| usize::try_from(now).unwrap_or(usize::MAX)).saturating_sub(RESERVE)
}
