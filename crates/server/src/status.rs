//! What can be told of one open connection.

use std::time::Duration;

use crate::Peer;
use crate::seat::{Doing, Seat};

/// What an open connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionState {
    /// It waits for a frame.
    Waiting,
    /// A frame has begun to arrive.
    Receiving,
    /// Its peer has to take replies before more is read.
    Writing,
    /// It has been faster than it may, and waits.
    Throttled,
    /// It is over; the peer may still read why.
    Closing,
}

impl ConnectionState {
    /// In one word.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Receiving => "receiving",
            Self::Writing => "writing",
            Self::Throttled => "throttled",
            Self::Closing => "closing",
        }
    }
}

/// One open connection at one instant.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectionStatus {
    /// Its number in the log.
    pub id: u64,
    /// Who it is with.
    pub peer: Peer,
    /// What the peer called itself in its HELLO; empty if it said none.
    pub client: Box<str>,
    /// Since when it is open.
    pub age: Duration,
    /// What it does.
    pub state: ConnectionState,
    /// Data frames that arrived whole.
    pub frames_received: u64,
    /// Data frames whose reply was handed to the kernel.
    pub frames_answered: u64,
    /// Payload bytes of the frames that arrived whole.
    pub payload_bytes: u64,
    /// Bytes read.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// Bytes kept for it, to the nearest 4 KiB below.
    pub buffered: u64,
}

impl ConnectionStatus {
    pub(crate) fn of(seat: &Seat) -> Self {
        let figures = seat.figures();
        Self {
            id: seat.id,
            peer: seat.peer.clone(),
            client: seat.hello.get().cloned().unwrap_or_default(),
            age: seat.accepted_at.elapsed(),
            state: match figures.doing {
                Doing::Waiting => ConnectionState::Waiting,
                Doing::Receiving(_) => ConnectionState::Receiving,
                Doing::Writing(_) => ConnectionState::Writing,
                Doing::Throttled => ConnectionState::Throttled,
                Doing::Closing => ConnectionState::Closing,
            },
            frames_received: figures.frames,
            frames_answered: figures.answered,
            payload_bytes: figures.payload_bytes,
            bytes_in: figures.read,
            bytes_out: figures.written,
            buffered: seat.buffered.load(std::sync::atomic::Ordering::Relaxed),
        }
    }
}
