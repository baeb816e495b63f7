//! Where the log goes, what it looks like and which lines are in it.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use tracing::info;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::reload;

use crate::config::LogFormat;

/// Lines that wait for a reader of stderr; further ones are dropped. A pipe that nobody reads must
/// not hold up the frames.
const WAITING_LINES: usize = 8192;

/// Where the line comes from that tells of another filter. It gets through every filter: whoever
/// reads the log must be able to see why there is more or less in it.
const CHANGES: &str = "volleyd::log_filter";

/// What is not in the log unless a filter names it. rustls quotes what a peer sends, tens of
/// kilobytes of it, and does not say whose it is; what matters of it is in the connection's record.
const SILENT: &str = "rustls=off";

/// Stops the thread that writes.
static GUARD: Mutex<Option<WorkerGuard>> = Mutex::new(None);

/// Set once, by [`init`].
static LOG: OnceLock<Log> = OnceLock::new();

/// What can be changed and seen of the log while it is written.
struct Log {
    filter: Mutex<String>,
    reload: Box<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>,
    dropped: ErrorCounter,
}

/// A text that is no filter.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct FilterError(String);

/// Sends the log to stderr, from a thread of its own, until [`finish`]. `filter` has been checked
/// when the configuration was read.
pub(crate) fn init(filter: &str, format: LogFormat) {
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(WAITING_LINES)
        .thread_name("volleyd-log")
        .finish(io::stderr());
    let dropped = writer.error_counter();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter_of(filter))
        .with_writer(writer)
        // Nowhere is left to tell that the log can't be written.
        .log_internal_errors(false)
        .with_target(false);
    // The two differ in their types.
    macro_rules! init {
        ($builder:expr) => {{
            let builder = $builder.with_filter_reloading();
            let handle = builder.reload_handle();
            builder.init();
            Box::new(move |filter| handle.reload(filter))
        }};
    }
    let log = Log {
        filter: Mutex::new(filter.to_owned()),
        reload: match format {
            LogFormat::Text => init!(builder.with_ansi(wants_colour())),
            LogFormat::Json => init!(builder.json().flatten_event(true).with_span_list(false)),
        },
        dropped,
    };
    // It was not set: this is called once.
    let _ = LOG.set(log);
    *lock(&GUARD) = Some(guard);
}

/// Writes what is waiting, for a second at most; nothing is logged from then on.
pub(crate) fn finish() {
    drop(lock(&GUARD).take());
}

/// The text of a filter, if it is one: a level, or directives such as `warn,volley_server=debug`.
/// An empty one, as RUST_LOG may be, is as good as none.
pub(crate) fn check_filter(text: &str) -> Result<String, FilterError> {
    let text = if text.trim().is_empty() { "info" } else { text };
    // tracing-subscriber 0.3.23 takes a target with a space before it for another one, or panics.
    let directives: Vec<&str> = text.split(',').map(str::trim).collect();
    // A bare word that is no level would silence everything but the crate of that name.
    let is_level = |word: &str| word.parse::<LevelFilter>().is_ok() || word.starts_with("volley");
    let mut words = directives.iter().filter(|word| !word.contains(['=', '[']));
    if let Some(word) = words.find(|word| !is_level(word)) {
        return Err(FilterError(format!(
            "`{word}` is no level: write error, warn, info, debug, trace or off"
        )));
    }
    let filter = directives.join(",");
    match EnvFilter::try_new(&filter) {
        Ok(_) => Ok(filter),
        Err(error) => Err(FilterError(format!("`{text}` is no filter: {error}"))),
    }
}

/// The filter in force.
pub(crate) fn filter() -> String {
    LOG.get().map(|log| lock(&log.filter).clone()).unwrap_or_default()
}

/// Puts another filter in force, and says so in the log.
pub(crate) fn set_filter(text: &str) -> Result<(), FilterError> {
    let text = check_filter(text)?;
    let Some(log) = LOG.get() else { return Ok(()) };
    let mut filter = filter_of(&text);
    if let Ok(always) = format!("{CHANGES}=info").parse() {
        filter = filter.add_directive(always);
    }
    let mut in_force = lock(&log.filter);
    (log.reload)(filter).map_err(|error| FilterError(error.to_string()))?;
    info!(target: CHANGES, before = *in_force, filter = text, "another log filter is in force");
    *in_force = text;
    Ok(())
}

/// How many lines nobody took.
pub(crate) fn dropped_lines() -> u64 {
    LOG.get().map_or(0, |log| log.dropped.dropped_lines() as u64)
}

/// Tells why the daemon can't do its work, whatever the filter.
pub(crate) fn fatal(error: &impl std::fmt::Display) {
    if tracing::enabled!(tracing::Level::ERROR) {
        tracing::error!("{error}");
    } else {
        let _ = writeln!(io::stderr(), "volleyd: {error}");
    }
}

/// What `text`, which has been checked, lets through. Its own directives come later and win.
fn filter_of(text: &str) -> EnvFilter {
    EnvFilter::new(format!("{SILENT},{text}"))
}

/// Colour only on a terminal, and not against <https://no-color.org>.
fn wants_colour() -> bool {
    let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    io::stderr().is_terminal() && !forbidden
}

/// What these locks guard is whole at any time.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_read_without_the_spaces_that_its_parser_stumbles_over() {
        let read = |text: &str| check_filter(text).map_err(|error| error.to_string());
        assert_eq!(read(" ").unwrap(), "info");
        assert_eq!(read(" warn, volley_server=debug ").unwrap(), "warn,volley_server=debug");
        // It panicked here.
        assert_eq!(read(" 0\u{11370}=debug").unwrap(), "0\u{11370}=debug");
        assert_eq!(
            read("inof").unwrap_err(),
            "`inof` is no level: write error, warn, info, debug, trace or off"
        );
    }
}
