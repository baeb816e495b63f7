//! When a wait is over.

use std::time::Duration;

use tokio::time::Instant;

/// 30 years: longer than any wait, short enough for every clock. Without this bound, an instant
/// beyond the clock's range would be a panic.
const FOREVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// The instant at which a wait from `start` on has taken as long as it may. `Duration::MAX` is
/// without end.
pub(crate) fn deadline(start: Instant, longest: Duration) -> Instant {
    start + longest.min(FOREVER)
}
