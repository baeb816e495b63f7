//! The frames that a script has sent, found in its bytes: however they are cut into pieces, the
//! server counts the frames that they make up, and so must whoever checks its replies.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use volley_client::{Arrival, Sent};
use volley_proto::ReplyKind;

use super::finder::Finder;

/// The data frames that have been sent on a connection, and have no reply yet.
#[derive(Debug, Default)]
pub(super) struct SentFrames {
    awaited: VecDeque<(Sent, Instant)>,
    finder: Finder,
    seq: u64,
    /// Payload bytes of all data frames.
    total: u64,
    /// What has been sent is no frame: the server can make nothing of what follows either.
    is_broken: bool,
}

impl SentFrames {
    /// Takes bytes that are sent now.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        if self.is_broken {
            return;
        }
        let mut payloads = Vec::new();
        self.is_broken = self.finder.take(bytes, |payload| payloads.push(payload)).is_err();
        for payload in payloads {
            self.add(payload);
        }
    }

    /// The frame that the next reply answers.
    pub(super) fn next_answered(&mut self) -> Option<(Sent, Instant)> {
        self.awaited.pop_front()
    }

    /// The frame that this datagram answers, in whatever order they come: the oldest for which it
    /// is right, or else the oldest.
    pub(super) fn next_answered_by(&mut self, payload: &[u8]) -> Option<(Sent, Instant)> {
        let is_right = |(sent, _): &(Sent, Instant)| {
            [ReplyKind::Echo, ReplyKind::Ack].into_iter().any(|kind| {
                let sent = as_datagram(sent.clone(), kind);
                Arrival::new(sent, payload, kind, Duration::ZERO).check().is_ok()
            })
        };
        let place = self.awaited.iter().position(is_right).unwrap_or(0);
        self.awaited.remove(place)
    }

    /// How many frames have no reply.
    pub(super) fn outstanding(&self) -> u64 {
        self.awaited.len() as u64
    }

    /// Whether all that has been sent is whole frames.
    pub(super) fn is_whole(&self) -> bool {
        !self.is_broken && self.finder.is_whole()
    }

    /// The number of the last frame.
    pub(super) const fn seq(&self) -> u64 {
        self.seq
    }

    fn add(&mut self, payload: Bytes) {
        self.seq += 1;
        self.total += payload.len() as u64;
        let sent = Sent { seq: self.seq, total: self.total, payload };
        self.awaited.push_back((sent, Instant::now()));
    }
}

/// A frame that is a datagram, of which a receipt is for itself alone, and has no number.
pub(super) fn as_datagram(sent: Sent, kind: ReplyKind) -> Sent {
    match kind {
        ReplyKind::Echo => sent,
        ReplyKind::Ack => Sent { seq: 0, total: sent.payload.len() as u64, ..sent },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn awaited(pieces: &[&[u8]]) -> Vec<(u64, u64, Bytes)> {
        let mut frames = SentFrames::default();
        for piece in pieces {
            frames.take(piece);
        }
        let all = std::iter::from_fn(|| frames.next_answered());
        all.map(|(Sent { seq, total, payload }, _)| (seq, total, payload)).collect()
    }

    #[test]
    fn frames_are_found_however_they_are_cut() {
        // HELLO, `hi`, an empty frame.
        let hello = [&b"\x80\0\0\x0c\x01\0\0\x01"[..], &[0; 8]].concat();
        let bytes = [&hello[..], b"\0\0\0\x02hi\0\0\0\0"].concat();
        let expected = [(1, 2, Bytes::from("hi")), (2, 2, Bytes::new())];
        assert_eq!(awaited(&[&bytes]), expected);
        for cut in 0..bytes.len() {
            assert_eq!(awaited(&[&bytes[..cut], &bytes[cut..]]), expected, "{cut}");
        }
    }

    #[test]
    fn behind_what_is_no_frame_there_are_none() {
        assert_eq!(awaited(&[b"\0\0\0\x01a", b"GET / HTTP", b"\0\0\0\x01b"]).len(), 1);
        assert_eq!(awaited(&[b"\0\0\0\x05ab"]), []);
    }
}
