//! Pings with a new connection each.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::arrival::{Arrival, Unreachable};
use super::event::{Event, Loss};
use super::target::{First, Target};
use super::way::Way;
use crate::failure::Failure;

/// Pings `target` to the end. A ping that takes long does not hold up the next one.
pub(crate) async fn run(target: Target) {
    let limit = target.args.timeout;
    let mut first = match target.start(limit).await {
        First::Connected(link) => Some(Ok(link)),
        First::Failed(failure) => Some(Err(failure)),
        // Both were given the same time.
        First::Slow(dialling) => Some(dialling.await),
        First::Hopeless => return,
    };
    let mut ticks = target.ticks();
    let mut pings = FuturesUnordered::new();
    let mut seq = 0;
    let most = target.args.most();
    while seq < most || !pings.is_empty() {
        // Both branches are cancel safe.
        tokio::select! {
            Some(()) = pings.next() => {}
            _ = ticks.tick(), if seq < most => if target.reporter.has_room() {
                seq += 1;
                pings.push(ping(&target, seq, first.take()));
            }
        }
    }
}

/// One ping over a connection of its own, which may be there already.
async fn ping(target: &Target, seq: u64, dialled: Option<Result<Way, Failure>>) {
    target.reporter.tell(Event::Ping).await;
    let dialled = match dialled {
        Some(dialled) => dialled,
        None => target.dial(target.args.timeout).await,
    };
    match dialled {
        Ok(link) => exchange(target, seq, link).await,
        Err(failure) => target.tell_lost(seq, Loss::NotSent, failure.message()).await,
    }
}

/// Sends ping `seq` on `link`, awaits its reply, and looks whether there is a second one.
async fn exchange(target: &Target, seq: u64, mut link: Way) {
    if let Err(not_sent) = link.send(seq).await {
        return target.tell_lost(seq, Loss::NotSent, not_sent.to_string()).await;
    }
    while link.flight().awaited() > 0 {
        let overdue = target.overdue(Some(&link));
        // Both branches are cancel safe.
        let arrival = tokio::select! {
            arrival = link.next() => arrival,
            () = overdue => return target.tell_no_reply(seq).await,
        };
        match arrival {
            Arrival::Landing(landing) => target.tell_landing(landing, Some(link.took())).await,
            // It takes this ping.
            Arrival::GoingAway(_) => {}
            Arrival::Unreachable(Unreachable { why, .. }) | Arrival::End(why) => {
                return target.tell_lost(seq, Loss::Disconnected, why).await;
            }
        }
    }
    while let Some(landing) = link.last_look().await {
        target.tell_landing(landing, None).await;
    }
}
