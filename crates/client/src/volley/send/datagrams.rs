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
use volley_proto::{DatagramReply, Endpoint, LONGEST_DATAGRAM, ReplyKind};

use super::flight::Flight;
use super::inbound::Inbound;
use super::outbound::Outbound;
use crate::failure::{Failure, tell};
use crate::render::counted;

/// Payload bytes in flight at most: a socket keeps some 200 KiB for its reader unless told otherwise
/// (`net.core.rmem_default`), its own overhead included, and drops what comes beyond.
pub(crate) const WINDOW: NonZeroUsize = NonZeroUsize::new(64 << 10).unwrap();

/// Frames that are remembered once they wait no more, to tell a reply that comes again or late from
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
    /// Frames that wait no more, the last one last.
    settled: VecDeque<Settled>,
    duplicates: u64,
    /// The system has heard that nobody is there, and no reply has come since.
    unreachable: Option<Error>,
}

/// A frame that has been sent.
#[derive(Debug)]
struct Waiting {
    sent: Sent,
    sent_at: Instant,
    /// How often it can still be sent again.
    tries: usize,
    /// How many replies to it may still come: one for each time that it was sent.
    due: usize,
    /// What has become of it, while earlier frames still wait.
    outcome: Option<Outcome>,
}

/// A frame of which has been told what has become of it.
#[derive(Debug)]
struct Settled {
    sent: Sent,
    due: usize,
    is_lost: bool,
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
        let (waiting, settled) = (VecDeque::new(), VecDeque::new());
        Self {
            endpoint,
            options,
            is_strict,
            retries,
            outbound,
            inbound,
            flight,
            waiting,
            settled,
            duplicates: 0,
            unreachable: None,
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
                received = socket.receive() => match received {
                    Ok(reply) => self.land(reply),
                    // It may have been said of one that is sent again.
                    Err(error @ Error::Connect { .. }) if self.retries > 0 => {
                        self.unreachable = Some(error);
                    }
                    Err(error) => return Err(error.into()),
                },
                () = overdue => self.expire(&mut socket).await?,
                frame = self.outbound.next_frame(LONGEST_DATAGRAM, self.flight), if !is_over => {
                    match frame {
                        Some(frame) => self.send(&mut socket, frame).await?,
                        None => is_over = true,
                    }
                }
                flushed = self.inbound.flush(), if self.inbound.is_pending() => flushed?,
            }
            self.settle();
        }
        // That is why they were lost.
        match self.unreachable.take() {
            Some(error) if self.inbound.tally().lost > 0 => Err(error.into()),
            _ => Ok(()),
        }
    }

    async fn send(&mut self, socket: &mut Datagrams, payload: Bytes) -> Result<(), Failure> {
        if self.is_strict
            && let Err(why) = DatagramReply::to(&payload, self.options.reply, 0)
        {
            let message = format!("this datagram would get no reply: {why}");
            return Err(Failure::Input { message, exit: Exit::BadData });
        }
        self.flight.add(payload.clone());
        let (sent_at, tries) = (Instant::now(), self.retries);
        let sent = sent(&payload);
        self.waiting.push_back(Waiting { sent, sent_at, tries, due: 1, outcome: None });
        self.put(socket, &payload).await
    }

    /// Hands a datagram to the system.
    async fn put(&mut self, socket: &mut Datagrams, payload: &[u8]) -> Result<(), Failure> {
        match socket.send(payload).await {
            Err(error @ Error::Connect { .. }) if self.retries > 0 => {
                self.unreachable = Some(error);
            }
            sent => return Ok(sent?),
        }
        // This was said of those before, and the next attempt sends.
        match socket.send(payload).await {
            Err(error @ Error::Connect { .. }) => {
                self.unreachable = Some(error);
                Ok(())
            }
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
    async fn expire(&mut self, socket: &mut Datagrams) -> Result<(), Failure> {
        let now = Instant::now();
        let mut again = Vec::new();
        for waiting in self.waiting.iter_mut().filter(|waiting| waiting.outcome.is_none()) {
            if now - waiting.sent_at < self.options.reply_timeout {
                continue;
            }
            match waiting.tries.checked_sub(1) {
                Some(left) => {
                    (waiting.tries, waiting.sent_at) = (left, now);
                    waiting.due += 1;
                    again.push(waiting.sent.payload.clone());
                }
                None => waiting.outcome = Some(Outcome::Lost),
            }
        }
        for payload in again {
            self.put(socket, &payload).await?;
        }
        Ok(())
    }

    /// Finds the frame that this answers: the oldest that waits for it, or else one to which it
    /// comes once more, or else the oldest of all.
    fn land(&mut self, reply: &[u8]) {
        self.unreachable = None;
        let now = Instant::now();
        let (kind, is_strict) = (self.options.reply, self.is_strict);
        let is_right = |sent: &Sent| !is_strict || sent.is_answered_by(reply, kind);
        let mut open = self.waiting.iter_mut().filter(|waiting| waiting.outcome.is_none());
        if let Some(waiting) = open.find(|waiting| is_right(&waiting.sent)) {
            return waiting.land(reply, kind, now);
        }
        match self.place_again(is_right) {
            Some(Again::Repeat) => {}
            Some(Again::Late) => tell(&format!("a reply of {} came late", bytes(reply.len()))),
            Some(Again::Duplicate) => {
                self.duplicates += 1;
                tell(&format!("a reply of {} came again", bytes(reply.len())));
            }
            None => match self.waiting.iter_mut().find(|waiting| waiting.outcome.is_none()) {
                Some(oldest) => oldest.land(reply, kind, now),
                None => {
                    self.duplicates += 1;
                    let len = bytes(reply.len());
                    tell(&format!("a reply of {len} while none was awaited"));
                }
            },
        }
    }

    /// Finds a frame that waits no more for which this reply is right: if there is one, one that
    /// has had fewer replies than it was sent.
    fn place_again(&mut self, is_right: impl Fn(&Sent) -> bool) -> Option<Again> {
        let settled = self.settled.iter_mut().map(|settled| {
            let kind = if settled.is_lost { Again::Late } else { Again::Repeat };
            (&settled.sent, &mut settled.due, kind)
        });
        let held = self.waiting.iter_mut().filter_map(|waiting| {
            let kind = match waiting.outcome.as_ref()? {
                Outcome::Arrived(_) => Again::Repeat,
                Outcome::Lost => Again::Late,
            };
            Some((&waiting.sent, &mut waiting.due, kind))
        });
        let mut found = None;
        for (_, due, kind) in settled.chain(held).filter(|(sent, ..)| is_right(sent)) {
            if let Some(left) = due.checked_sub(1) {
                *due = left;
                return Some(kind);
            }
            found = Some(Again::Duplicate);
        }
        // Where every reply is right there is none that comes again.
        found.filter(|_| self.is_strict)
    }

    /// Prints what has become of the frames at the front.
    fn settle(&mut self) {
        while let Some(outcome) = self.waiting.front_mut().and_then(|front| front.outcome.take()) {
            let Some(Waiting { sent, due, .. }) = self.waiting.pop_front() else { return };
            let is_lost = matches!(outcome, Outcome::Lost);
            match outcome {
                Outcome::Arrived(arrival) => self.inbound.take(&arrival, self.flight),
                Outcome::Lost => {
                    let within = format_duration(self.options.reply_timeout);
                    self.inbound.lose_oldest(&format!("no reply within {within}"), self.flight);
                }
            }
            self.settled.push_back(Settled { sent, due, is_lost });
            if self.settled.len() > REMEMBERED {
                self.settled.pop_front();
            }
        }
    }
}

impl Waiting {
    /// Takes this reply for its own, right or wrong.
    fn land(&mut self, reply: &[u8], kind: ReplyKind, now: Instant) {
        let arrival = Arrival::new(self.sent.clone(), reply, kind, now - self.sent_at);
        self.due = self.due.saturating_sub(1);
        self.outcome = Some(Outcome::Arrived(arrival));
    }
}

/// What a reply is to a frame that waits no more.
#[derive(Debug)]
enum Again {
    /// The server has answered a frame each time that it was sent.
    Repeat,
    /// The first one, after the frame was given up.
    Late,
    /// One more than the frame was sent.
    Duplicate,
}

fn bytes(len: usize) -> String {
    counted(len as u64, "byte")
}

/// Datagrams are not counted: each receipt is for one alone.
fn sent(payload: &Bytes) -> Sent {
    Sent { seq: 0, total: payload.len() as u64, payload: payload.clone() }
}
