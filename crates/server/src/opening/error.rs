//! Why a connection came to nothing before its first frame.

use std::io;
use std::time::Duration;

use volley_proto::Reason;

use super::Stage;
use crate::limits::connections::Full;
use crate::proxy::HeaderError;
#[cfg(feature = "tls")]
use crate::tls::TlsError;
use crate::{OpenFailure, Refusal};

/// What went wrong, in words for the log and, where there is somebody to tell, for the peer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("{} within {limit:?} of connecting", .stage.undone())]
    TooSlow { stage: Stage, limit: Duration },
    #[error("the peer closed before it was served")]
    Closed,
    #[error("the socket failed: {0}")]
    Io(#[source] io::Error),
    #[error("nothing has come, and the server shuts down")]
    Drained,
    #[error("the server waits no longer")]
    CutOff,
    #[error("{}", Refusal::from(*.0))]
    Full(Full),
    #[error("this listener takes connections from its balancers only")]
    Untrusted,
    #[error(transparent)]
    Header(HeaderError),
    #[cfg(feature = "tls")]
    #[error(transparent)]
    Tls(TlsError),
}

impl OpenError {
    /// `limit` is there, or nothing could have been too slow.
    pub(super) fn too_slow(stage: Stage, limit: Option<Duration>) -> Self {
        Self::TooSlow { stage, limit: limit.unwrap_or_default() }
    }

    /// What an error of a socket means, the end of its stream among them.
    pub(crate) fn of_socket(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Io(error),
        }
    }

    /// How it is counted: as a failure, or as the refusal that it is.
    pub(super) const fn failure(&self) -> Result<OpenFailure, Refusal> {
        Ok(match self {
            Self::TooSlow { .. } => OpenFailure::TimedOut,
            Self::Closed => OpenFailure::Closed,
            Self::Io(_) => OpenFailure::Io,
            Self::Drained => OpenFailure::Drained,
            Self::CutOff => OpenFailure::CutOff,
            Self::Full(Full::All) => return Err(Refusal::Connections),
            Self::Full(Full::Source) => return Err(Refusal::Source),
            Self::Untrusted => OpenFailure::ProxyUntrusted,
            Self::Header(_) => OpenFailure::ProxyHeader,
            #[cfg(feature = "tls")]
            Self::Tls(error) => error.failure(),
        })
    }

    /// What the peer is told.
    pub(crate) const fn reason(&self) -> Reason {
        match self {
            Self::Full(_) => Reason::Busy,
            Self::Untrusted => Reason::Denied,
            _ => Reason::Protocol,
        }
    }
}

impl Stage {
    const fn undone(self) -> &'static str {
        match self {
            Self::FirstByte => "nothing came",
            Self::Place => "there was no place among those under way (max-handshakes)",
            Self::Handshake => "the TLS handshake was not over",
            Self::Header => "no whole PROXY header came",
        }
    }
}
