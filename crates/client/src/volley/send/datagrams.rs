//! A volley over UDP: a datagram for each frame. Replies come in any order, twice or never; here
//! they are put in order again, and what does not come is told as lost.

use std::collections::VecDeque;
use std::future::pending;
use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};
use volley_cli::{Exit, format_duration};
use volley_client::{Arrival, Datagrams, Error, Options, Sent};
use volley_proto::{DatagramReply, Endpoint, LONGEST_DATAGRAM};

use super::flight::Flight;
use super::inbound::Inbound;
use super::outbound::Outbound;
use crate::failure::{Failure, tell};

/// Payload bytes in flight at most: a socket keeps some 200 KiB for its reader unless told otherwise
/// (`net.core.rmem_default`), its own overhead included, and drops what comes beyond.
pub(crate) const WINDOW: NonZeroUsize = NonZeroUsize::new(64 << 10).unwrap();

/// Frames that are remembered once they have been answered, to tell a reply that comes again from
/// one that is wrong.
const REMEMBERED: usize = 1024;

/// A volley of datagrams.
#[derive(Debug)]
pub(crate) struct DatagramVolley<'a> {
    endpoint: Endpoint,
    options: Options,
    /// Whether replies must be what docs/PROTOCOL.md says.
    is_strict: bool,
    /// How often a frame is sent again that has no reply.
    retries: usize,
    outbound: Outbound,
    inbound: Inbound<'a>,
    flight: &'a Flight,
    /// What is known of each frame in flight, in the same order.
    waiting: VecDeque<Waiting>,
    /// Frames that were answered, the last one last.
    answered: VecDeque<Sent>,
    duplicates: u64,
}

/// A frame that has been sent.
#[derive(Debug)]
struct Waiting {
    payload: Bytes,
    sent_at: Instant,
    /// How often it can still be sent again.
    tries: usize,
    /// What has become of it, while earlier frames still wait.
    outcome: Option<Outcome>,
}

#[derive(Debug)]
enum Outcome {
    Arrived(Arrival),
    Lost,
}

impl<'a> DatagramVolley<'a> {
    pub(crate) fn new(
        endpoint: Endpoint,
        options: Options,
        outbound: Outbound,
        inbound: Inbound<'a>,
        flight: &'a Flight,
        retries: usize,
    ) -> Self {
        let is_strict = inbound.is_strict();
        let (waiting, answered) = (VecDeque::new(), VecDeque::new());
        Self {
            endpoint,
            options,
            is_strict,
            retries,
            outbound,
            inbound,
            flight,
            waiting,
            answered,
            duplicates: 0,
        }
    }

    /// Sends all frames, and waits until each is answered or lost.
    pub(crate) async fn run(&mut self) -> Result<(), Failure> {
        let failure = self.exchange().await.err();
        if let Some(failure) = &failure {
            self.settle();
            self.inbound.give_up(&failure.to_string(), self.flight);
        }
        let bad_input = self.outbound.take_bad_input();
        self.inbound.conclude(failure.or(bad_input))?;
        match self.duplicates {
            0 => Ok(()),
            duplicates => Err(Failure::Duplicates { duplicates }),
        }
    }

    /// Gives up, since it has taken as long as it may.
    pub(crate) fn give_up_after(&mut self, longest: Duration) -> Result<(), Failure> {
        self.settle();
        let progress = self.inbound.progress(self.flight);
        self.inbound.give_up_after(longest, progress, self.flight)
    }

    /// Gives up, since somebody wants that.
    pub(crate) fn interrupt(&mut self) {
        self.settle();
        self.inbound.interrupt(&self.inbound.progress(self.flight), self.flight);
    }

    async fn exchange(&mut self) -> Result<(), Failure> {
        let mut socket = Datagrams::open(&self.endpoint, &self.options).await?;
        let mut is_over = false;
        while !is_over || !self.waiting.is_empty() {
            if self.inbound.is_closed() {
                break;
            }
            if self.inbound.is_full() {
                self.inbound.flush().await?;
            }
            let deadline = self.deadline();
            let overdue = async {
                match deadline {
                    Some(deadline) => sleep_until(deadline).await,
                    None => pending().await,
                }
            };
            // All branches are cancel safe.
            tokio::select! {
                biased;
                received = socket.receive() => match received.map(Bytes::copy_from_slice) {
                    Ok(payload) => self.land(&payload),
                    // It may have been said of one that is sent again.
                    Err(Error::Connect { .. }) if self.retries > 0 => {}
                    Err(error) => return Err(error.into()),
                },
                () = overdue => self.expire(&socket).await?,
                frame = self.outbound.next_frame(LONGEST_DATAGRAM, self.flight), if !is_over => {
                    match frame {
                        Some(frame) => self.send(&socket, frame).await?,
                        None => is_over = true,
                    }
                }
                flushed = self.inbound.flush(), if self.inbound.is_pending() => flushed?,
            }
            self.settle();
        }
        Ok(())
    }

    async fn send(&mut self, socket: &Datagrams, payload: Bytes) -> Result<(), Failure> {
        if self.is_strict
            && let Err(why) = DatagramReply::to(&payload, self.options.reply, 0)
        {
            let message = format!("this datagram would get no reply: {why}");
            return Err(Failure::Input { message, exit: Exit::BadData });
        }
        self.flight.add(payload.clone());
        let (sent_at, tries) = (Instant::now(), self.retries);
        self.waiting.push_back(Waiting { payload: payload.clone(), sent_at, tries, outcome: None });
        self.put(socket, &payload).await
    }

    /// Hands a datagram to the system.
    async fn put(&self, socket: &Datagrams, payload: &[u8]) -> Result<(), Failure> {
        match socket.send(payload).await {
            // This tells of one before; it has not been sent itself.
            Err(Error::Connect { .. }) if self.retries > 0 => Ok(()),
            sent => Ok(sent?),
        }
    }

    /// When the next frame has waited as long as it may.
    fn deadline(&self) -> Option<Instant> {
        let open = self.waiting.iter().filter(|waiting| waiting.outcome.is_none());
        let oldest = open.map(|waiting| waiting.sent_at).min()?;
        oldest.checked_add(self.options.reply_timeout)
    }

    /// Gives up the frames that have waited too long, or sends them again.
    async fn expire(&mut self, socket: &Datagrams) -> Result<(), Failure> {
        let now = Instant::now();
        let mut again = Vec::new();
        for waiting in self.waiting.iter_mut().filter(|waiting| waiting.outcome.is_none()) {
            if now - waiting.sent_at < self.options.reply_timeout {
                continue;
            }
            match waiting.tries.checked_sub(1) {
                Some(left) => {
                    (waiting.tries, waiting.sent_at) = (left, now);
                    again.push(waiting.payload.clone());
                }
                None => waiting.outcome = Some(Outcome::Lost),
            }
        }
        for payload in again {
            self.put(socket, &payload).await?;
        }
        Ok(())
    }

    /// Finds the frame that this answers: the oldest for which it is right, or else the oldest.
    fn land(&mut self, reply: &Bytes) {
        let now = Instant::now();
        let kind = self.options.reply;
        let mut oldest = None;
        for waiting in self.waiting.iter_mut().filter(|waiting| waiting.outcome.is_none()) {
            let arrival = Arrival::new(sent(&waiting.payload), reply, kind, now - waiting.sent_at);
            if !self.is_strict || arrival.check().is_ok() {
                waiting.outcome = Some(Outcome::Arrived(arrival));
                return;
            }
            oldest.get_or_insert((&mut waiting.outcome, arrival));
        }
        let is_again =
            |sent: &Sent| Arrival::new(sent.clone(), reply, kind, Duration::ZERO).check().is_ok();
        match oldest {
            _ if self.answered.iter().any(is_again) => {
                self.duplicates += 1;
                tell(&format!("a reply of {} bytes came again", reply.len()));
            }
            Some((outcome, arrival)) => *outcome = Some(Outcome::Arrived(arrival)),
            None => {
                self.duplicates += 1;
                tell(&format!("a reply of {} bytes while none was awaited", reply.len()));
            }
        }
    }

    /// Prints what has become of the frames at the front.
    fn settle(&mut self) {
        while let Some(outcome) = self.waiting.front_mut().and_then(|front| front.outcome.take()) {
            let Some(Waiting { payload, .. }) = self.waiting.pop_front() else { return };
            match outcome {
                Outcome::Arrived(arrival) => self.inbound.take(&arrival, self.flight),
                Outcome::Lost => {
                    let within = format_duration(self.options.reply_timeout);
                    self.inbound.lose_oldest(&format!("no reply within {within}"), self.flight);
                }
            }
            self.answered.push_back(sent(&payload));
            if self.answered.len() > REMEMBERED {
                self.answered.pop_front();
            }
        }
    }
}

/// Datagrams are not counted: each receipt is for one alone.
fn sent(payload: &Bytes) -> Sent {
    Sent { seq: 0, total: payload.len() as u64, payload: payload.clone() }
}
