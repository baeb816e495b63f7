//! Frames out: what is in flight from another connection, then the input.

use std::pin::pin;

use bytes::Bytes;
use volley_client::{Error, GoAway, Sender};

use super::flight::Flight;
use super::input::Input;
use super::pace::Pace;
use crate::failure::Failure;
use crate::stderr;

/// Where frames come from, over all connections.
#[derive(Debug)]
pub(crate) struct Outbound {
    input: Input,
    pace: Pace,
    /// Half-closes behind the last frame and not behind the last reply.
    half_close: bool,
    /// Taken from the input and not yet due, or without room.
    next: Option<Bytes>,
    /// What was wrong with the input. Frames before it are sent and answered all the same.
    bad_input: Option<Failure>,
}

impl Outbound {
    pub(crate) const fn new(input: Input, pace: Pace, half_close: bool) -> Self {
        Self { input, pace, half_close, next: None, bad_input: None }
    }

    /// What was wrong with the input.
    pub(crate) const fn take_bad_input(&mut self) -> Option<Failure> {
        self.bad_input.take()
    }

    /// Sends every frame, no more than there is room for in flight, and half-closes. Unless told
    /// otherwise it does so when all have been answered: there are servers, and more proxies, that
    /// take a half-close for a close.
    ///
    /// # Cancel safety
    ///
    /// No frame is lost: those that may have been sent are in flight.
    pub(crate) async fn send(
        &mut self,
        mut sender: Sender,
        max: usize,
        flight: &Flight,
    ) -> Result<(), Failure> {
        let sent = self.send_all(&mut sender, max, flight).await;
        let finished = sender.finish().await;
        sent?;
        Ok(finished?)
    }

    async fn send_all(
        &mut self,
        sender: &mut Sender,
        max: usize,
        flight: &Flight,
    ) -> Result<(), Error> {
        for payload in flight.payloads() {
            // In flight from the connection before.
            sender.feed(payload).await?;
        }
        let goaway = self.send_input(sender, max, flight).await?;
        sender.flush().await?;
        if !self.half_close {
            flight.empty().await;
        }
        match goaway {
            Some(GoAway { reason, .. }) => Err(Error::GoingAway { reason }),
            None => Ok(()),
        }
    }

    /// Sends the input up to its end, or until the server wants no more of it.
    async fn send_input(
        &mut self,
        sender: &mut Sender,
        max: usize,
        flight: &Flight,
    ) -> Result<Option<GoAway>, Error> {
        let mut going_away = pin!(sender.going_away());
        loop {
            // All branches are cancel safe. What has been fed goes out as soon as no frame is
            // ready.
            tokio::select! {
                biased;
                goaway = &mut going_away => return Ok(Some(goaway)),
                frame = self.next_frame(max, flight) => match frame {
                    Some(frame) => {
                        flight.add(frame.clone());
                        sender.feed(frame).await?;
                    }
                    None => return Ok(None),
                },
                flushed = sender.flush(), if sender.has_unsent() => flushed?,
            }
        }
    }

    /// The next frame, once it is due and there is room for it.
    ///
    /// # Cancel safety
    ///
    /// No frame is lost.
    pub(super) async fn next_frame(&mut self, max: usize, flight: &Flight) -> Option<Bytes> {
        if self.next.is_none() {
            self.next = match self.input.next(max).await {
                Ok(next) => next,
                Err(failure) => {
                    self.bad_input = Some(failure);
                    None
                }
            };
        }
        // Whether something follows is known before there is room for it.
        if self.next.is_none() {
            flight.expect_no_more();
            return None;
        }
        flight.room().await;
        stderr::room().await;
        self.pace.due().await;
        self.pace.begin_next();
        self.next.take()
    }
}
