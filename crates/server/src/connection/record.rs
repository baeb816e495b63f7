//! What a connection leaves in the log.

use std::sync::Arc;

use tracing::{Level, Span, debug, error_span, info, warn};
use volley_proto::Reason;

use super::Connection;
use crate::End;
use crate::framing::Cut;
use crate::transport::Transport;

impl<S: Transport, R, F: Cut> Connection<S, R, F> {
    #[cold]
    pub(super) fn log_hello(&mut self) {
        if tracing::enabled!(Level::DEBUG) {
            let seat = Arc::clone(&self.member.seat);
            debug!(parent: self.span(), client = seat.hello.get().map(|name| &**name), "HELLO");
        }
    }

    /// Writes the record that every connection leaves in the log.
    pub(super) fn record(&mut self) {
        let end = self.end;
        let seat = Arc::clone(&self.member.seat);
        let (frames, bytes, unanswered) = (seat.frames(), seat.payload_bytes(), self.unanswered());
        let last_seq = frames - unanswered;
        let client = seat.hello.get().map(|name| &**name).filter(|name| !name.is_empty());
        let fragment = Some(self.kept.len()).filter(|&bytes| bytes > 0);
        let cause = self.fault.as_ref().map(|fault| fault.to_string());
        // As texts and not as displayed values: those would stand in the log without quotes.
        let (cause, reason) = (cause.as_deref(), end.to_string());
        let duration = seat.accepted_at.elapsed();
        let path = self.stream.path();
        let (rtt, retransmits) = (path.map(|path| path.rtt), path.map(|path| path.retransmits));
        let span = self.span();
        macro_rules! record {
            ($log:ident) => {
                $log!(parent: span, reason, frames, bytes, last_seq, unanswered, fragment, client,
                      cause, ?duration, rtt = rtt.map(tracing::field::debug), retransmits,
                      "connection over")
            };
        }
        match end {
            End::Closed | End::Drained | End::Error(Reason::LifetimeOver) => record!(info),
            _ => record!(warn),
        }
    }
}

impl<S, R, F: Cut> Connection<S, R, F> {
    pub(super) fn span(&mut self) -> &Span {
        let seat = &self.member.seat;
        self.span.get_or_insert_with(|| {
            let credentials = seat.peer.credentials();
            // Of the highest level: a filter that lets a line through must not hide whose it is.
            Box::new(error_span!(
                "connection",
                id = seat.id,
                peer = %seat.peer,
                via = seat.peer.via().map(tracing::field::display),
                client_certificate = seat.peer.certificate(),
                pid = credentials.and_then(|process| process.pid),
                uid = credentials.map(|process| process.uid),
                gid = credentials.map(|process| process.gid),
            ))
        })
    }
}
