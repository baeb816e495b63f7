//! A word to people who would otherwise wonder what the program is at.

use std::time::Duration;

use tokio::time::timeout;
use volley_cli::format_duration;
use volley_proto::Endpoint;

use crate::failure::tell;

/// How long to be silent about a connection that is not there yet. A tenth of a second is what
/// people take for an answer at once.
const SILENT: Duration = Duration::from_millis(80);

/// Awaits `connect`, which takes at most `longest`, and says so if it takes long.
pub(crate) async fn connecting<T>(
    endpoint: &Endpoint,
    longest: Duration,
    connect: impl Future<Output = T>,
) -> T {
    tokio::pin!(connect);
    if let Ok(connected) = timeout(SILENT, &mut connect).await {
        return connected;
    }
    tell(&format!("connecting to {endpoint}, for up to {}", format_duration(longest)));
    connect.await
}
