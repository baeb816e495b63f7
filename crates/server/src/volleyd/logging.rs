//! Where the log goes and what it looks like.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use crate::args::LogFormat;

/// Lines that wait for a reader of stderr; further ones are dropped. A pipe that nobody reads must
/// not hold up the frames.
const WAITING_LINES: usize = 8192;

/// Stops the thread that writes.
static GUARD: Mutex<Option<WorkerGuard>> = Mutex::new(None);

/// Sends the log to stderr, from a thread of its own, until [`finish`]. `filter` has been checked when the command line was read.
pub(crate) fn init(filter: &str, format: LogFormat) {
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(WAITING_LINES)
        .thread_name("volleyd-log")
        .finish(io::stderr());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(writer)
        // Nowhere is left to tell that the log can't be written.
        .log_internal_errors(false)
        .with_target(false);
    match format {
        LogFormat::Text => builder.with_ansi(wants_colour()).init(),
        LogFormat::Json => builder.json().flatten_event(true).with_span_list(false).init(),
    }
    *GUARD.lock().unwrap_or_else(PoisonError::into_inner) = Some(guard);
}

/// Writes what is waiting, for a second at most; nothing is logged from then on.
pub(crate) fn finish() {
    drop(GUARD.lock().unwrap_or_else(PoisonError::into_inner).take());
}

/// Tells why the daemon can't do its work, whatever the filter.
pub(crate) fn fatal(error: &impl std::fmt::Display) {
    if tracing::enabled!(tracing::Level::ERROR) {
        tracing::error!("{error}");
    } else {
        let _ = writeln!(io::stderr(), "volleyd: {error}");
    }
}

/// Colour only on a terminal, and not against <https://no-color.org>.
fn wants_colour() -> bool {
    let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    io::stderr().is_terminal() && !forbidden
}
