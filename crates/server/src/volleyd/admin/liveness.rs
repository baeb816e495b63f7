//! Whether frames come back: a real one through each listener.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::probe::{Dead, Probed, find_dead};

/// How long a frame may take through a listener that is alive. It takes well under a millisecond;
/// whoever asks gives up after a second or more (in Kubernetes 1 s is the default).
const LIMIT: Duration = Duration::from_secs(1);

/// What came of a look: nothing, or what is wrong.
pub(super) type Verdict = Result<(), String>;

/// Looks at the listeners, one look at a time.
#[derive(Debug)]
pub(super) struct Liveness {
    listeners: Vec<Probed>,
    /// For each frame.
    limit: Duration,
    /// The last look, which may still be under way.
    look: Mutex<watch::Receiver<Option<Verdict>>>,
}

impl Liveness {
    pub(super) fn of(listeners: Vec<Probed>) -> Self {
        Self::within(LIMIT, listeners)
    }

    fn within(limit: Duration, listeners: Vec<Probed>) -> Self {
        // None is under way: its sender is gone.
        Self { listeners, limit, look: Mutex::new(watch::channel(None).1) }
    }

    /// Looks whether all listeners answer. Those who ask while a look is under way share it: many
    /// who ask cost no more connections than one.
    pub(super) async fn look(&self) -> Verdict {
        let mut look = self.join_or_begin();
        match look.wait_for(Option::is_some).await {
            Ok(verdict) => verdict.clone().unwrap_or(Ok(())),
            Err(_) => Err("the look itself failed".to_owned()),
        }
    }

    fn join_or_begin(&self) -> watch::Receiver<Option<Verdict>> {
        let mut last = self.look.lock().unwrap_or_else(PoisonError::into_inner);
        // The sender lives exactly as long as the look.
        if last.has_changed().is_err() {
            let (sender, receiver) = watch::channel(None);
            let (listeners, limit) = (self.listeners.clone(), self.limit);
            // A task of its own: it goes on when those who asked have gone.
            tokio::spawn(async move {
                sender.send_replace(Some(look_at(&listeners, limit).await));
            });
            *last = receiver;
        }
        last.clone()
    }
}

async fn look_at(listeners: &[Probed], limit: Duration) -> Verdict {
    let dead = find_dead(listeners, limit).await;
    let wrong: Vec<_> =
        dead.iter().map(|Dead { endpoint, error }| format!("{endpoint}: {error}")).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::task::Poll;

    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;
    use tokio::task::{JoinSet, yield_now};
    use volley_proto::Endpoint;
    use volley_server::{Config, ConnectionLimit, Server, bind};

    use super::*;
    use crate::probe::Target;

    /// For those who answer.
    const LONG: Duration = Duration::from_secs(20);

    /// For those who don't.
    const SHORT: Duration = Duration::from_secs(2);

    /// A listener that is served, and what shows its books.
    fn served(config: Config) -> (Target, volley_server::Handle) {
        let server = Server::new(bind("127.0.0.1:0".parse().unwrap()).unwrap(), config).unwrap();
        let handle = server.handle();
        tokio::spawn(server.run(std::future::pending::<()>()));
        (handle.endpoint().clone().into(), handle)
    }

    async fn silent() -> (Target, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        (Endpoint::from(listener.local_addr().unwrap()).into(), listener)
    }

    #[tokio::test]
    async fn all_is_well_while_every_listener_answers() {
        let listeners = [served(Config::default()), served(Config::default())];
        let targets = listeners.iter().map(|(target, _)| Probed::Stream(target.clone())).collect();
        let liveness = Liveness::within(LONG, targets);
        assert_eq!(liveness.look().await, Ok(()));
        for (_, handle) in listeners {
            assert_eq!((handle.books().accepted, handle.books().frames_answered), (1, 1));
        }
    }

    #[tokio::test]
    async fn a_listener_that_is_full_is_alive() {
        let mut config = Config::default();
        config.connections = ConnectionLimit::new(0);
        let (target, handle) = served(config);
        assert_eq!(Liveness::within(LONG, vec![Probed::Stream(target)]).look().await, Ok(()));
        assert_eq!(handle.books().refused(), 1);
    }

    #[tokio::test]
    async fn one_listener_that_does_not_answer_is_named() {
        let (good, _) = served(Config::default());
        let (bad, _listener) = silent().await;
        let verdict =
            Liveness::within(SHORT, [good, bad.clone()].map(Probed::Stream).into()).look().await;
        assert_eq!(verdict, Err(format!("{}: no reply within 2s", bad.endpoint)));
    }

    #[tokio::test]
    async fn a_listener_that_is_gone_is_dead() {
        let (target, listener) = silent().await;
        drop(listener);
        let endpoint = target.endpoint.clone();
        let verdict = Liveness::within(LONG, vec![Probed::Stream(target)]).look().await;
        let error = verdict.unwrap_err();
        assert!(error.starts_with(&format!("{endpoint}: cannot connect: ")), "{error}");
    }

    #[tokio::test]
    async fn many_who_ask_at_once_share_one_look_and_the_next_one_is_new() {
        let (target, listener) = silent().await;
        let liveness = Arc::new(Liveness::within(LONG, vec![Probed::Stream(target)]));
        for _ in 0..2 {
            let mut looks = JoinSet::new();
            for _ in 0..50 {
                let liveness = Arc::clone(&liveness);
                looks.spawn(async move { liveness.look().await });
            }
            let (mut stream, _) = listener.accept().await.unwrap();
            // All tasks take turns: when this one has had a few, each has asked.
            for _ in 0..10 {
                yield_now().await;
            }
            stream.write_all(&[0; 4]).await.unwrap();
            assert!(looks.join_all().await.iter().all(Result::is_ok));
        }
        let further = poll_fn(|cx| Poll::Ready(listener.poll_accept(cx).is_ready())).await;
        assert!(!further, "two looks are two connections");
    }
}
