//! The admin listener: what the daemon does, for whoever runs it. Metrics, health, the open
//! connections, and the log's filter, over HTTP on an endpoint of its own.
//!
//! ```text
//!   listen -> serve -> routes --+-- metrics -- process
//!                               +-- liveness -- probe
//!                               +-- connections
//!                               '-- log
//! ```
//!
//! It has a thread of its own, so that it takes no turn from the frames, whatever is asked of it,
//! and so that it can tell when those that serve them are stuck. It has no authentication: who may
//! ask is decided by where it listens.

mod connections;
mod endpoint;
mod listen;
mod liveness;
mod metrics;
mod process;
mod routes;
mod serve;

use std::io;
use std::sync::Arc;
use std::thread;

use tokio::runtime;
use tokio_util::sync::CancellationToken;
use volley_server::{BufferLimit, ConnectionLimit};

pub(crate) use endpoint::AdminEndpoint;
pub(crate) use listen::AdminListener;

use crate::readiness::Readiness;
use crate::reload::Reloads;
use crate::served::Served;
use routes::Routes;

/// How many descriptors it may need: for its connections, and for its sockets, its own epoll, a
/// look at /proc and a probe of each listener.
pub(crate) const DESCRIPTORS: usize = serve::MOST_CONNECTIONS as usize + 16;

/// What can be looked at.
#[derive(Debug)]
pub(crate) struct Observed {
    /// The listeners.
    pub(crate) served: Served,
    /// Of all listeners together.
    pub(crate) connections: ConnectionLimit,
    /// Of all listeners together.
    pub(crate) buffers: BufferLimit,
    pub(crate) readiness: Readiness,
    pub(crate) reloads: Reloads,
}

/// Answers requests from now on until the process exits, so that whoever watches a drain sees its
/// end; or until `left` is cancelled, because another process has the sockets and answers on them.
///
/// # Errors
///
/// What the system says when it has no thread or no descriptor left.
pub(crate) fn start(
    listener: AdminListener,
    observed: Observed,
    left: CancellationToken,
) -> io::Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let sockets = {
        let _runtime = runtime.enter();
        listener.into_sockets()?
    };
    let routes = Arc::new(Routes::new(observed));
    let serve = move || runtime.block_on(serve::serve(sockets, routes, left));
    thread::Builder::new().name("volleyd-admin".to_owned()).spawn(serve)?;
    Ok(())
}
