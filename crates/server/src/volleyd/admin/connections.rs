//! The open connections, as JSON.

use serde::Serialize;
use volley_proto::Endpoint;
use volley_server::{ConnectionStatus, Credentials, Handle};

/// How many are shown unless more are asked for.
pub(super) const DEFAULT_LIMIT: usize = 1000;

/// How many can be asked for: some 3 MB.
pub(super) const MOST: usize = 10_000;

/// `{"total": 2, "connections": [{"id": 1, …}, …]}`
#[derive(Debug, Serialize)]
pub(super) struct Listing {
    /// How many are open, shown or not.
    total: usize,
    /// The oldest first.
    connections: Vec<Shown>,
}

#[derive(Debug, Serialize)]
struct Shown {
    id: u64,
    listener: String,
    peer: String,
    /// The balancer through which it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    via: Option<String>,
    /// Whom the certificate names that it has shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_certificate: Option<String>,
    /// Of a process of this machine, with what the system tells of it.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    process: Option<Process>,
    client: Box<str>,
    state: &'static str,
    age_seconds: f64,
    frames_received: u64,
    frames_answered: u64,
    payload_bytes: u64,
    bytes_in: u64,
    bytes_out: u64,
    buffered_bytes: u64,
}

#[derive(Debug, Serialize)]
struct Process {
    pid: Option<u32>,
    uid: u32,
    gid: u32,
}

impl Listing {
    /// Of all listeners, the `limit` oldest.
    pub(super) fn of(handles: &[Handle], limit: usize) -> Self {
        let mut open: Vec<(&Endpoint, ConnectionStatus)> = Vec::new();
        for handle in handles {
            let listener = handle.endpoint();
            open.extend(handle.connections().into_iter().map(|status| (listener, status)));
        }
        open.sort_unstable_by_key(|(_, status)| status.id);
        let total = open.len();
        open.truncate(limit);
        let connections = open.into_iter().map(|(listener, status)| Shown::of(listener, status));
        Self { total, connections: connections.collect() }
    }
}

impl Shown {
    fn of(listener: &Endpoint, status: ConnectionStatus) -> Self {
        Self {
            id: status.id,
            listener: listener.to_string(),
            peer: status.peer.to_string(),
            via: status.peer.via().map(|via| via.to_string()),
            client_certificate: status.peer.certificate().map(str::to_owned),
            process: status.peer.credentials().map(Process::of),
            client: status.client,
            state: status.state.label(),
            age_seconds: status.age.as_secs_f64(),
            frames_received: status.frames_received,
            frames_answered: status.frames_answered,
            payload_bytes: status.payload_bytes,
            bytes_in: status.bytes_in,
            bytes_out: status.bytes_out,
            buffered_bytes: status.buffered,
        }
    }
}

impl Process {
    const fn of(credentials: Credentials) -> Self {
        let Credentials { pid, uid, gid, .. } = credentials;
        Self { pid, uid, gid }
    }
}
