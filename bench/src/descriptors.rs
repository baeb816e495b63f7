//! The limit on open descriptors, which bounds the connections of a measurement.

use anyhow::{Context, Result};
use volley_cli::raise_descriptor_limit;

/// Descriptors that a server or a load needs besides its connections; a runtime needs about ten.
const RESERVE: u64 = 64;

/// Raises the limit for this process and the children that it starts, as far as it may, and gives
/// the connections that then fit into one process.
///
/// # Errors
///
/// When the system refuses.
pub(crate) fn connections() -> Result<usize> {
    let limit = raise_descriptor_limit().context("cannot raise the limit on open files")?;
    Ok(usize::try_from(limit.saturating_sub(RESERVE)).unwrap_or(usize::MAX))
}
