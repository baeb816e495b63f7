//! One opening, from accept(2) to its connection or to its record in the log.

use std::future::{Future, poll_fn};
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};
use tracing::{Level, Span, debug, error_span, info, warn};

use super::{Arrival, Handshake, Leave, OpenError, Opener, Stage, Unopened};
use crate::roster::Roster;
use crate::sweep::YOUTH;
use crate::transport::Socket;
use crate::{OpenFailure, Peer};

/// Opens what was accepted, and enters into the books what comes of it. `None` if nothing does:
/// then the log has the cause.
pub(crate) async fn open<O: Opener>(
    opener: O,
    raw: O::Raw,
    arrival: &mut Arrival,
    roster: &Roster,
) -> Option<O::Stream> {
    let begun = Instant::now();
    let leave = {
        let _under_way = UnderWay::begin(roster);
        let limit = roster.config().deadlines.handshake;
        let attempt = within(limit, attempt(opener, raw, arrival, begun, roster));
        // Cancel safe: what is not open when it is cut off is closed.
        let outcome = tokio::select! {
            biased;
            outcome = attempt => outcome,
            () = roster.openings_end.cancelled() => Some(Err(OpenError::CutOff.into())),
        };
        let timed_out = || Err(OpenError::too_slow(arrival.stage, limit).into());
        match outcome.unwrap_or_else(timed_out) {
            Ok(stream) => {
                opened(arrival, roster);
                return Some(stream);
            }
            Err(Unopened { error, leave }) => {
                let Arrival { id, peer, .. } = &*arrival;
                enter_failure(&error, *id, peer, begun.elapsed(), roster);
                leave
            }
        }
    };
    if let Some(leave) = leave {
        finish(leave, roster).await;
    }
    None
}

/// `None` if it takes longer.
async fn within<T>(limit: Option<Duration>, future: impl Future<Output = T>) -> Option<T> {
    match limit {
        Some(limit) => timeout(limit, future).await.ok(),
        None => Some(future.await),
    }
}

async fn attempt<O: Opener>(
    opener: O,
    raw: O::Raw,
    arrival: &mut Arrival,
    begun: Instant,
    roster: &Roster,
) -> Result<O::Stream, Unopened> {
    first_byte(&raw, begun, roster).await?;
    arrival.stage = Stage::Place;
    let waits = || roster.book(|books| books.handshake_waits += 1);
    let _place = roster.places.take(roster.config().max_handshakes, waits).await;
    opener.open(raw, arrival).await
}

/// Waits until the peer has spoken. In a drain it gets no more time for that than one has whose
/// frames begin at once.
async fn first_byte(raw: &impl Socket, begun: Instant, roster: &Roster) -> Result<(), OpenError> {
    let mut spoken = poll_fn(|cx| raw.poll_spoken(cx));
    let patience = async {
        roster.drain_begins.cancelled().await;
        sleep_until(begun + YOUTH).await;
    };
    // Cancel safe: looking takes nothing.
    tokio::select! {
        biased;
        spoken = &mut spoken => return spoken.map_err(OpenError::of_socket),
        () = patience => {}
    }
    if !raw.has_input() {
        return Err(OpenError::Drained);
    }
    // The runtime will tell of it soon.
    spoken.await.map_err(OpenError::of_socket)
}

/// Lets a peer read why it is not served.
async fn finish(leave: Leave, roster: &Roster) {
    // Cancel safe: the peer may then miss it.
    tokio::select! {
        () = leave => {}
        () = roster.openings_end.cancelled() => {}
    }
}

fn opened(arrival: &Arrival, roster: &Roster) {
    let Some(handshake) = &arrival.handshake else { return };
    roster.book(|books| {
        books.handshakes += 1;
        books.resumed += u64::from(handshake.is_resumed);
    });
    if tracing::enabled!(Level::DEBUG) {
        let Handshake { version, cipher, is_resumed: resumed } = handshake;
        let span = span(arrival.id, &arrival.peer);
        debug!(parent: &span, version, cipher, resumed, "handshake done");
    }
}

/// Enters into the books and into the log that a connection came to nothing.
pub(crate) fn enter_failure(
    error: &OpenError,
    id: u64,
    peer: &Peer,
    duration: Duration,
    roster: &Roster,
) {
    let failure = error.failure();
    roster.book(|books| match failure {
        Ok(failure) => *books.open_failures.entry(failure).or_default() += 1,
        Err(refusal) => *books.refused.entry(refusal).or_default() += 1,
    });
    // As texts and not as displayed values: those would stand in the log without quotes.
    let reason = failure.map_or_else(|_| "refused".to_owned(), |failure| failure.to_string());
    let (span, cause) = (span(id, peer), error.to_string());
    match failure {
        // Whoever only looks whether the port is open is closed upon, or closes.
        Ok(OpenFailure::Closed | OpenFailure::Drained) => {
            info!(parent: &span, reason, cause, ?duration, "connection not opened");
        }
        _ => warn!(parent: &span, reason, cause, ?duration, "connection not opened"),
    }
}

fn span(id: u64, peer: &Peer) -> Span {
    // Of the highest level: a filter that lets a line through must not hide whose it is.
    error_span!(
        "connection",
        id,
        %peer,
        via = peer.via().map(tracing::field::display),
        client_certificate = peer.certificate(),
    )
}

/// Counts one that is under way.
struct UnderWay<'a>(&'a Roster);

impl<'a> UnderWay<'a> {
    fn begin(roster: &'a Roster) -> Self {
        roster.book(|books| books.opening += 1);
        Self(roster)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.book(|books| books.opening -= 1);
    }
}
