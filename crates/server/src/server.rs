//! The life of a listener: accept, then drain.

use std::future::{Future, poll_fn};
use std::io;
use std::marker::PhantomData;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::accept::{self, Backoff, Fault, fault};
use crate::bind::BACKLOG;
use crate::connection::Connection;
use crate::limits::connections::{Full, Permit};
use crate::limits::rate::Bucket;
use crate::listener::{Accepted, Incoming};
use crate::opening::{Arrival, Opener, enter_failure, open};
use crate::refusal::Refusals;
use crate::roster::Roster;
use crate::seat::Seat;
use crate::sweep::sweep;
use crate::transport::Transport;
use crate::{
    Books, Config, Echo, Framed, Framing, Handle, Listener, Negotiated, Peer, Raw, Refusal,
    Responder,
};

/// How many connections are refused in a row for want of descriptors before the others on this
/// thread, which may free some, get their turn.
const REFUSALS_PER_TURN: u64 = 64;

/// Pauses from this length on are told in the log: no more than three a second.
const TOLD_FROM: Duration = Duration::from_millis(300);

/// What a longer drain is cut to, thirty years: an instant that far away can still be told.
const LONGEST_DRAIN: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// What may still run after the drain deadline: a lingering close, of 1 s at most.
const AFTER_CUT_OFF: Duration = Duration::from_millis(1100);

/// What ended a server before its time.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The listener can't be used: not a listening socket, or broken.
    #[error("cannot accept on the listener")]
    Listener(#[source] io::Error),
}

/// Serves `listener` until `shutdown` completes, then drains it: accepts what has already
/// connected, tells those who said HELLO to send no more, answers what has been received, closes
/// idle connections at once and the others when they are done or when [`Config::drain`] is over.
///
/// Each connection is a task of its own on the current runtime. Dropping the returned future ends
/// them all without draining. [`Server`] does the same, and lets you look at it meanwhile.
///
/// # Errors
///
/// [`ServeError`] when nothing can ever be accepted again. A peer's fault, a lack of descriptors
/// or memory never ends a server.
pub async fn serve<L: Listener>(
    listener: L,
    config: Config,
    shutdown: impl Future,
) -> Result<Books, ServeError> {
    Server::new(listener, config)?.run(shutdown).await
}

/// As [`serve`], with replies of your own: each connection gets a clone of `responder`.
///
/// # Errors
///
/// As [`serve`].
///
/// # Examples
///
/// See `examples/shout.rs`.
pub async fn serve_with<L: Listener, R: Responder>(
    listener: L,
    config: Config,
    responder: R,
    shutdown: impl Future,
) -> Result<Books, ServeError> {
    Server::with_responder(listener, config, responder)?.run(shutdown).await
}

/// Numbers connections over all listeners of the process, for the log.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

fn next_id() -> u64 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

/// A listener that is going to be served.
#[derive(Debug)]
pub struct Server<L: Listener = TcpListener, R = Negotiated, F = Framed> {
    listener: L,
    opener: L::Opener,
    responder: R,
    roster: Arc<Roster>,
    tasks: TaskTracker,
    refusals: Refusals,
    backoff: Backoff,
    /// What is left of [`Config::accept_rate`].
    allowance: Option<Bucket>,
    /// Nothing is accepted before this instant.
    paused_until: Option<Instant>,
    framing: PhantomData<F>,
}

impl<L: Listener> Server<L> {
    /// With echoes or receipts for replies.
    ///
    /// # Errors
    ///
    /// When `listener` is no listening socket.
    pub fn new(listener: L, config: Config) -> Result<Self, ServeError> {
        let responder = Negotiated::new(config.reply);
        Self::with_responder(listener, config, responder)
    }
}

impl<L: Listener> Server<L, Echo, Raw> {
    /// Without frames: what comes in goes back. [`Config::reply`] and [`Config::max_frame`] mean
    /// nothing to it.
    ///
    /// # Errors
    ///
    /// As [`Server::new`].
    pub fn raw(listener: L, config: Config) -> Result<Self, ServeError> {
        Self::build(listener, config, Echo)
    }
}

impl<L: Listener, R: Responder> Server<L, R> {
    /// With replies of your own: each connection gets a clone of `responder`.
    ///
    /// # Errors
    ///
    /// As [`Server::new`].
    pub fn with_responder(listener: L, config: Config, responder: R) -> Result<Self, ServeError> {
        Self::build(listener, config, responder)
    }
}

impl<L: Listener, R: Responder, F: Framing> Server<L, R, F> {
    fn build(listener: L, config: Config, responder: R) -> Result<Self, ServeError> {
        listener.tune().map_err(ServeError::Listener)?;
        let endpoint = listener.endpoint().map_err(ServeError::Listener)?;
        accept::spare().take_back();
        Ok(Self {
            opener: listener.opener(),
            listener,
            responder,
            roster: Arc::new(Roster::new(endpoint, config)),
            tasks: TaskTracker::new(),
            refusals: Refusals::new(F::HAS_CONTROL),
            backoff: Backoff::new(),
            allowance: None,
            paused_until: None,
            framing: PhantomData,
        })
    }

    /// To look at it while it runs.
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.roster))
    }

    /// Serves until `shutdown` completes, then drains, as [`serve`] does.
    ///
    /// # Errors
    ///
    /// As [`serve`].
    pub async fn run(self, shutdown: impl Future) -> Result<Books, ServeError> {
        let roster = Arc::clone(&self.roster);
        // Whatever way this future ends, no connection outlives it.
        let _guard = CutOff(Arc::clone(&roster));
        // Cancel safe: the sweep is over when the server is.
        tokio::select! {
            books = self.accept_and_drain(shutdown) => books,
            never = sweep(&roster) => match never {},
        }
    }

    async fn accept_and_drain(mut self, shutdown: impl Future) -> Result<Books, ServeError> {
        let mut shutdown = pin!(shutdown);
        loop {
            // Cancel safe: `next` only waits.
            tokio::select! {
                biased;
                _ = &mut shutdown => break,
                accepted = self.next() => self.take(accepted).await?,
            }
        }
        self.drain().await
    }

    /// Waits out a pause, then for the next connection.
    async fn next(&mut self) -> Accepted<L> {
        if let Some(until) = self.paused_until {
            sleep_until(until).await;
            self.paused_until = None;
        }
        if let Some(until) = self.too_fast() {
            let _waiting = AcceptingWaits::begin(&self.roster);
            sleep_until(until).await;
        }
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    /// Serves or refuses a connection, or deals with the error that came in its place.
    async fn take(&mut self, accepted: Accepted<L>) -> Result<(), ServeError> {
        let error = match accepted {
            Ok((stream, peer)) => {
                self.backoff.reset();
                self.admit(stream, peer);
                return Ok(());
            }
            Err(error) => error,
        };
        let fault = fault(&error);
        if let Some(kind) = fault.kind() {
            self.roster.book(|books| *books.accept_errors.entry(kind).or_default() += 1);
        }
        match fault {
            Fault::Peer => debug!(%error, "a connection died before it was accepted"),
            Fault::Listener => return Err(ServeError::Listener(error)),
            Fault::Machine => self.pause(&error),
            Fault::Descriptors => self.refuse_without_descriptors(&error).await,
        }
        Ok(())
    }

    fn admit(&mut self, raw: Incoming<L>, peer: Peer) {
        if let Some(allowance) = &mut self.allowance {
            allowance.spend(1.0);
        }
        if let Err(error) = self.opener.admit(&peer) {
            enter_failure(&error, next_id(), &peer, Duration::ZERO, &self.roster);
            let text = error.to_string();
            let farewell = L::Opener::farewell(error.reason(), &text, F::HAS_CONTROL);
            self.refusals.dismiss(raw, farewell, &self.tasks);
            return;
        }
        let permit = match self.permit(&peer) {
            Ok(permit) => permit,
            Err(full) => {
                self.book_refusals(full.into(), 1);
                self.refusals.refuse::<L::Opener>(raw, &peer, full.into(), &self.tasks);
                return;
            }
        };
        if let Err(error) = raw.tune() {
            // The peer has gone already; its first read will say so.
            debug!(%peer, %error, "cannot set the socket's options");
        }
        let id = next_id();
        let (responder, roster) = (self.responder.clone(), Arc::clone(&self.roster));
        match self.opener.open_at_once(raw) {
            Ok(stream) => {
                let seat = Arc::new(Seat::new(id, peer, permit));
                self.tasks.spawn(Connection::<_, _, F>::new(stream, responder, roster, seat));
            }
            Err(raw) => self.open(raw, Arrival::new(id, peer, permit, F::HAS_CONTROL)),
        }
    }

    fn permit(&self, peer: &Peer) -> Result<Permit, Full> {
        let connections = &self.roster.config().connections;
        if L::Opener::KNOWS_PEER {
            connections.try_acquire(peer)
        } else {
            connections.try_acquire_unnamed()
        }
    }

    /// Has the connection opened, in a task of its own, and then served, in another.
    fn open(&self, raw: Incoming<L>, mut arrival: Arrival) {
        let (opener, responder) = (self.opener.clone(), self.responder.clone());
        let (roster, tasks) = (Arc::clone(&self.roster), self.tasks.clone());
        self.tasks.spawn(async move {
            if let Some(stream) = open(opener, raw, &mut arrival, &roster).await {
                let Arrival { id, peer, permit, .. } = arrival;
                let seat = Arc::new(Seat::new(id, peer, permit));
                tasks.spawn(Connection::<_, _, F>::new(stream, responder, roster, seat));
            }
        });
    }

    fn book_refusals(&self, why: Refusal, count: u64) {
        self.roster.book(|books| *books.refused.entry(why).or_default() += count);
    }

    /// Until when nothing more may be accepted, if the rate has been reached.
    fn too_fast(&mut self) -> Option<Instant> {
        let rate = self.roster.config().accept_rate;
        let Some(rate) = rate else {
            self.allowance = None;
            return None;
        };
        let allowance = self.allowance.get_or_insert_with(|| Bucket::new(rate));
        allowance.set_rate(rate);
        allowance.ready_at()
    }

    /// Refuses what waits in the backlog, one at a time on the spare descriptor, then pauses.
    async fn refuse_without_descriptors(&mut self, error: &io::Error) {
        let mut refused = 0;
        while refused < REFUSALS_PER_TURN && poll_fn(|cx| self.poll_refuse(cx)).await {
            refused += 1;
        }
        if refused > 0 {
            self.book_refusals(Refusal::Descriptors, refused);
            self.backoff.reset();
        }
        self.pause(error);
    }

    /// Refuses one connection on the spare descriptor. False if there is none to refuse.
    fn poll_refuse(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut spare = accept::spare();
        spare.lend();
        let accepted = self.listener.poll_accept(cx);
        if let Poll::Ready(Ok((stream, peer))) = &accepted {
            self.refusals.refuse_at_once::<L::Opener>(stream, peer, Refusal::Descriptors);
        }
        let refused = matches!(accepted, Poll::Ready(Ok(_)));
        drop(accepted);
        spare.take_back();
        Poll::Ready(refused)
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Accepted<L>> {
        let _spare = accept::without_spare();
        self.listener.poll_accept(cx)
    }

    /// Accepts what is there already, without waiting.
    async fn accept_now(&self) -> Option<Accepted<L>> {
        poll_fn(|cx| match self.poll_accept(cx) {
            Poll::Ready(accepted) => Poll::Ready(Some(accepted)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    fn pause(&mut self, error: &io::Error) {
        let pause = self.backoff.pause();
        // Short pauses come many a second; what was refused meanwhile is told by `Refusals`.
        if pause >= TOLD_FROM {
            warn!(%error, ?pause, "cannot accept for now");
        } else {
            debug!(%error, ?pause, "cannot accept for now");
        }
        self.paused_until = Some(Instant::now() + pause);
    }

    /// Accepts those who connected before the shutdown: they are among those to be drained.
    async fn empty_backlog(&mut self) {
        let mut left = BACKLOG;
        loop {
            // The runtime looks at the sockets before it runs a task that has yielded. And it lets
            // a task accept only about a hundred in one turn.
            yield_now().await;
            let before = left;
            while let Some(accepted) = self.accept_now().await {
                let failed = matches!(&accepted, Err(error) if fault(error) != Fault::Peer);
                // What is fatal to a listener is so no longer.
                let _ = self.take(accepted).await;
                left -= 1;
                if failed || left == 0 {
                    return;
                }
            }
            if left == before {
                return;
            }
        }
    }

    async fn drain(mut self) -> Result<Books, ServeError> {
        let drain = self.roster.config().drain;
        let deadline = Instant::now() + drain.min(LONGEST_DRAIN);
        if !self.roster.leaves_backlog.load(Ordering::Relaxed) {
            self.empty_backlog().await;
        }
        let Self { listener, roster, tasks, refusals, .. } = self;
        drop(listener);
        drop(refusals);
        info!(connections = tasks.len(), ?drain, "draining");
        roster.drain(deadline);
        tasks.close();
        if timeout_at(deadline, tasks.wait()).await.is_err() {
            roster.cut_off();
            // Each ends with its next poll, or with its lingering close.
            let _ = timeout(AFTER_CUT_OFF, tasks.wait()).await;
        }
        Ok(roster.books())
    }
}

/// Accepting waits for its rate, until this is dropped: a shutdown ends a wait before its time.
struct AcceptingWaits<'a>(&'a Roster);

impl<'a> AcceptingWaits<'a> {
    fn begin(roster: &'a Roster) -> Self {
        roster.book(|books| books.accept_pauses += 1);
        roster.accepting_waits.store(true, Ordering::Relaxed);
        Self(roster)
    }
}

impl Drop for AcceptingWaits<'_> {
    fn drop(&mut self) {
        self.0.accepting_waits.store(false, Ordering::Relaxed);
    }
}

/// Ends the connections of a server whose future is over.
struct CutOff(Arc<Roster>);

impl Drop for CutOff {
    fn drop(&mut self) {
        self.0.cut_off();
    }
}
