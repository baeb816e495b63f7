//! A volley from its first frame to its last reply, over as many connections as it takes.

use std::time::Duration;

use tokio::time::{sleep, timeout};
use volley_client::{Connection, Error, Options};
use volley_proto::{Endpoint, Reason, ReplyKind};

use super::flight::Flight;
use super::inbound::Inbound;
use super::outbound::Outbound;
use super::retry::{NextTry, Retry, is_idle_end};
use crate::failure::Failure;
use crate::patience::connecting;

/// How long the input may take to end after the server has closed with nothing in flight. Without
/// it, who is first would decide over the exit code.
const LAST_FRAME: Duration = Duration::from_millis(50);

/// A volley.
#[derive(Debug)]
pub(crate) struct Session<'a> {
    pub(crate) endpoint: Endpoint,
    pub(crate) options: Options,
    /// The reply that must be granted.
    pub(crate) wanted: Option<ReplyKind>,
    pub(crate) retry: Retry,
    pub(crate) outbound: Outbound,
    pub(crate) inbound: Inbound<'a>,
    pub(crate) flight: &'a Flight,
    /// No attempt at connecting takes longer, whatever it may take by itself.
    pub(crate) longest: Duration,
    /// There is a connection, on which frames are sent.
    pub(crate) is_connected: bool,
}

impl Session<'_> {
    /// Sends all frames and receives all replies.
    pub(crate) async fn run(&mut self) -> Result<(), Failure> {
        let failure = self.try_until_done().await.err();
        if let Some(failure) = &failure {
            self.inbound.give_up(&failure.to_string(), self.flight);
        }
        let failure = failure.map(|failure| advise_to_split(self.retry.advise(failure)));
        let bad_input = self.outbound.take_bad_input();
        self.inbound.conclude(failure.or(bad_input))
    }

    /// Gives up, since it has taken as long as it may.
    pub(crate) fn give_up_after(&mut self, longest: Duration) -> Result<(), Failure> {
        self.inbound.give_up_after(longest, self.progress(), self.flight)
    }

    /// Gives up, since somebody wants that.
    pub(crate) fn interrupt(&mut self) {
        self.inbound.interrupt(&self.progress(), self.flight);
    }

    /// How far it has come.
    fn progress(&self) -> String {
        if self.is_connected {
            self.inbound.progress(self.flight)
        } else {
            format!("no connection to {}", self.endpoint)
        }
    }

    async fn try_until_done(&mut self) -> Result<(), Failure> {
        loop {
            let before = self.inbound.tally().replies;
            let Err(failure) = self.connect_and_exchange().await else {
                return Ok(());
            };
            if self.inbound.tally().replies > before {
                self.retry.succeed();
            }
            let Some(NextTry { number, pause }) = self.retry.after(&failure) else {
                return Err(failure);
            };
            let most = self.retry.most();
            let pausing = pause.as_millis();
            self.inbound.tell(&format!("{failure}; try {number} of {most} in {pausing} ms"));
            sleep(pause).await;
        }
    }

    async fn connect_and_exchange(&mut self) -> Result<(), Failure> {
        let connection = self.connect().await?;
        if let Some(wanted) = self.wanted
            && wanted != connection.reply_kind()
        {
            return Err(Failure::NotGranted { wanted, granted: connection.reply_kind() });
        }
        self.is_connected = true;
        let exchanged = self.exchange(connection).await;
        self.is_connected = false;
        exchanged
    }

    /// Connects; says so if it takes long.
    async fn connect(&self) -> Result<Connection, Error> {
        let (endpoint, options) = (&self.endpoint, &self.options);
        let connect = Connection::connect(endpoint, options);
        let longest = options.connect_timeout.min(self.longest);
        connecting(endpoint, longest, connect).await
    }

    /// Sends and receives until both are done, or one has failed.
    async fn exchange(&mut self, connection: Connection) -> Result<(), Failure> {
        let max = connection.max_frame().get() as usize;
        let (sender, receiver) = connection.split();
        let send = self.outbound.send(sender, max, self.flight);
        let receive = self.inbound.receive(receiver, self.flight);
        tokio::pin!(send, receive);
        let mut not_sent = None;
        loop {
            tokio::select! {
                biased;
                // The receiver knows best why a connection ended.
                received = &mut receive => match received {
                    Ok(()) => return not_sent.map_or(Ok(()), Err),
                    Err(failure) if is_idle_end(&failure) && not_sent.is_none() => {
                        // With nothing in flight and nothing to follow it is no failure.
                        let _ = timeout(LAST_FRAME, &mut send).await;
                        return if self.flight.is_over() { Ok(()) } else { Err(failure) };
                    }
                    Err(failure) => return Err(failure),
                },
                // The replies to what has been sent still come.
                sent = &mut send, if not_sent.is_none() => match sent {
                    Ok(()) => return receive.await,
                    Err(failure) => not_sent = Some(failure),
                },
            }
        }
    }
}

/// What to do about a frame that is longer than the server takes, which without HELLO only the
/// server knows.
fn advise_to_split(failure: Failure) -> Failure {
    match &failure {
        Failure::Client(error @ Error::Refused { reason: Reason::TooLarge, .. }) => {
            let advice = "send less at once, as --chunk 64KiB does, or give the server a larger \
                          --max-frame";
            Failure::Advised { why: error.to_string(), advice, exit: failure.exit() }
        }
        _ => failure,
    }
}
