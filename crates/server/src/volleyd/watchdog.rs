//! The service manager's watchdog. It is fed when a frame has gone through each listener and come
//! back, and not because time has passed: a daemon that runs and answers nobody is started anew.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, warn};

use crate::notify;
use crate::probe::{Dead, Probed, find_dead};

/// How many round trips are tried in the time in which one must succeed. Each may take as long as
/// there is until the next.
const TRIES: u32 = 3;

/// Feeds the watchdog that the environment tells of, if any, for as long as it is polled.
pub(crate) async fn feed(listeners: &[Probed]) -> Infallible {
    let limit = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero());
    match limit.filter(|_| notify::is_heard()) {
        Some(limit) => watch(listeners, limit / TRIES, notify::watchdog).await,
        None => std::future::pending().await,
    }
}

/// Calls `alive` after each round in which all listeners answered.
async fn watch(listeners: &[Probed], every: Duration, mut alive: impl FnMut()) -> Infallible {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if all_answer(listeners, every).await {
            debug!("all listeners answer: feeding the watchdog");
            alive();
        }
    }
}

/// Whether each listener answers a frame within `limit`; tells of those that don't.
async fn all_answer(listeners: &[Probed], limit: Duration) -> bool {
    let dead = find_dead(listeners, limit).await;
    for Dead { endpoint, error } in &dead {
        warn!(%endpoint, %error, "a listener does not answer");
    }
    dead.is_empty()
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio::time::timeout;
    use volley_proto::Endpoint;
    use volley_server::{Config, bind, serve};

    use super::*;

    /// No test comes near it.
    const LIMIT: Duration = Duration::from_secs(20);

    const EVERY: Duration = Duration::from_millis(20);

    /// Where a server answers until the runtime ends.
    fn healthy() -> Probed {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let target = Probed::Stream(Endpoint::from(listener.local_addr().unwrap()).into());
        tokio::spawn(serve(listener, Config::default(), std::future::pending::<()>()));
        target
    }

    #[tokio::test]
    async fn healthy_listeners_feed_it_again_and_again() {
        let (fed, mut meals) = tokio::sync::mpsc::unbounded_channel();
        let listeners = [healthy(), healthy()];
        let watch = watch(&listeners, EVERY, || fed.send(()).unwrap());
        let meals = async {
            for _ in 0..5 {
                meals.recv().await.unwrap();
            }
        };
        tokio::select! {
            never = watch => match never {},
            eaten = timeout(LIMIT, meals) => eaten.unwrap(),
        }
    }

    #[tokio::test]
    async fn one_listener_that_accepts_and_never_answers_starves_it() {
        let stuck = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stuck_at = Probed::Stream(Endpoint::from(stuck.local_addr().unwrap()).into());
        let listeners = [healthy(), stuck_at];
        // Each round comes by here; it is over when the next one does.
        let rounds = async {
            let mut streams = Vec::new();
            for _ in 0..5 {
                streams.push(stuck.accept().await.unwrap());
            }
        };
        tokio::select! {
            never = watch(&listeners, EVERY, || panic!("fed")) => match never {},
            rounds = timeout(LIMIT, rounds) => rounds.unwrap(),
        }
    }
}
