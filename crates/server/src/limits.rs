//! What bounds the daemon: how many connections, how much memory, how fast.

pub(crate) mod buffers;
pub(crate) mod connections;
pub(crate) mod rate;
pub(crate) mod source;
