//! What pinging a target begins with, whether it is pinged over one connection or over many.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until, timeout};
use volley_cli::format_duration;
use volley_client::flags::Approach;
use volley_client::{Datagrams, Error, open};
use volley_proto::Endpoint;

use super::args::PingArgs;
use super::arrival::Took;
use super::datagram_link::DatagramLink;
use super::event::{Event, Loss, Reporter};
use super::flight::Landing;
use super::link::Link;
use super::payload::Payloads;
use super::way::Way;
use crate::failure::Failure;
use crate::patience::connecting;

/// A target and all that its pings need to know.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) endpoint: Endpoint,
    pub(crate) args: Arc<PingArgs>,
    pub(crate) approach: Approach,
    pub(crate) payloads: Payloads,
    pub(crate) reporter: Reporter,
}

/// An attempt at connecting.
pub(crate) type Dialling = Pin<Box<dyn Future<Output = Result<Way, Failure>> + Send>>;

/// How the first attempt at connecting went.
pub(crate) enum First {
    Connected(Way),
    Failed(Failure),
    /// It is still under way after the time that a ping has.
    Slow(Dialling),
    /// There is no address to connect to, which has been told.
    Hopeless,
}

impl Target {
    /// Connects and agrees on terms.
    pub(crate) fn dial(&self, limit: Duration) -> Dialling {
        let mut options = self.args.options(limit);
        self.approach.apply(&mut options);
        let (endpoint, terms) = (self.endpoint.clone(), self.args.terms());
        let payloads = self.payloads.clone();
        Box::pin(async move {
            let start = Instant::now();
            if matches!(endpoint, Endpoint::Udp(_)) {
                let socket = Datagrams::open(&endpoint, &options).await?;
                let took = Took::new(start.elapsed(), None);
                let link = DatagramLink::new(socket, payloads, took);
                return Ok(Way::Datagrams(Box::new(link)));
            }
            let opened = open(&endpoint, &options).await?;
            let took = Took::new(start.elapsed(), opened.stream.handshake());
            terms.check(opened.reply)?;
            Ok(Way::Stream(Box::new(Link::new(opened, options.framing, payloads, took))))
        })
    }

    /// Connects for the first time, and tells that pings begin.
    pub(crate) async fn start(&self, limit: Duration) -> First {
        let longest = limit.min(self.args.deadline.unwrap_or(Duration::MAX));
        let (endpoint, dialling) = (self.endpoint.clone(), self.dial(limit));
        let mut dialling: Dialling =
            Box::pin(async move { connecting(&endpoint, longest, dialling).await });
        let first = match timeout(self.args.timeout, &mut dialling).await {
            Ok(Ok(link)) => First::Connected(link),
            Ok(Err(failure)) if is_hopeless(&failure) => {
                self.reporter.tell(Event::Unreachable { why: failure.message() }).await;
                return First::Hopeless;
            }
            Ok(Err(failure)) => First::Failed(failure),
            Err(_) => First::Slow(dialling),
        };
        let link = match &first {
            First::Connected(link) => Some(link),
            _ => None,
        };
        let address = link.and_then(Way::address);
        let (reply, bytes) = (link.map(Way::reply), self.payloads.len());
        self.reporter.tell(Event::Start { address, reply, bytes }).await;
        first
    }

    /// When pings are due: at multiples of the interval from now on. Those that are missed are left
    /// out, and move no later one.
    pub(crate) fn ticks(&self) -> Interval {
        let mut ticks = interval(self.args.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        ticks
    }

    /// Tells what a reply turned out to be. `took` is what its connection took, if it has one of its
    /// own.
    pub(crate) async fn tell_landing(&self, landing: Landing, took: Option<Took>) {
        let bytes = self.payloads.len();
        let event = match landing {
            Landing::Reply { seq, rtt, reordered } => {
                let (connect, handshake) =
                    (took.map(|took| took.connect), took.and_then(|took| took.handshake));
                Event::Reply { seq, bytes, rtt, connect, handshake, reordered }
            }
            Landing::Late { seq, rtt, was } => Event::Late { seq, bytes, rtt, was },
            Landing::Duplicate { seq, rtt } => Event::Duplicate { seq, bytes, rtt },
            Landing::Corrupt { seq, damage } => {
                Event::Lost { seq, reason: Loss::Corrupt, why: damage.to_string() }
            }
            Landing::Stray { len } => Event::Stray { bytes: len },
        };
        self.reporter.tell(event).await;
    }

    pub(crate) async fn tell_lost(&self, seq: u64, reason: Loss, why: impl Into<String>) {
        self.reporter.tell(Event::Lost { seq, reason, why: why.into() }).await;
    }

    /// Tells that a ping had no reply in time.
    pub(crate) async fn tell_no_reply(&self, seq: u64) {
        let why = format!("no reply within {}", format_duration(self.args.timeout));
        self.tell_lost(seq, Loss::NoReply, why).await;
    }

    /// Waits until the oldest ping of `link` has waited too long; for ever if there is none.
    pub(crate) fn overdue(&self, link: Option<&Way>) -> impl Future<Output = ()> + use<> {
        let deadline = link
            .and_then(|link| link.flight().waiting_since())
            .and_then(|since| since.checked_add(self.args.timeout));
        async move {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        }
    }
}

/// Whether no later attempt can get further.
const fn is_hopeless(failure: &Failure) -> bool {
    matches!(
        failure,
        Failure::Client(
            Error::Resolve { .. }
                | Error::Unsupported { .. }
                | Error::Family { .. }
                | Error::Bind { .. }
        )
    )
}
