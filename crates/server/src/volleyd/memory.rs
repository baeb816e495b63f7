//! The allocator. The system's keeps what a burst of large frames has taken for good; this one
//! gives it back: what has lain unused for some ten seconds is returned by a thread of its own.

use tikv_jemallocator::Jemalloc;
use tracing::debug;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Starts the thread that gives memory back. Without one, which musl can't have, it is given back
/// when there is next something to allocate.
pub(crate) fn give_back_in_background() {
    if let Err(error) = tikv_jemalloc_ctl::background_thread::write(true) {
        debug!(%error, "unused memory is given back only while there is something to do");
    }
}
