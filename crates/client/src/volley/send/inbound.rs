//! Replies in: judged, printed, and counted.

use std::time::Duration;

use bytes::Bytes;
use volley_client::{Arrival, Error, Receiver};

use super::flight::Flight;
use super::output::Output;
use crate::check::{Check, Verdict};
use crate::failure::{Failure, tell};
use crate::{dump, stderr};

/// Wrong replies that are shown. With more of them there is nothing new to see.
const SHOWN: u64 = 8;

/// What is made of replies, over all connections.
#[derive(Debug)]
pub(crate) struct Inbound<'a> {
    check: Check,
    output: &'a mut Output,
    tally: Tally,
}

/// What has come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// All replies.
    pub(crate) replies: u64,
    /// Those that were not right.
    pub(crate) wrong: u64,
    /// Frames that the server says it has answered, without a reply.
    pub(crate) lost: u64,
}

impl<'a> Inbound<'a> {
    pub(crate) const fn new(check: Check, output: &'a mut Output) -> Self {
        Self { check, output, tally: Tally { replies: 0, wrong: 0, lost: 0 } }
    }

    pub(crate) const fn tally(&self) -> Tally {
        self.tally
    }

    /// What is to be said at the end, if something ended it before its time or if nothing did. A
    /// server that answered wrongly has done so whatever happened then: another try, for which the
    /// exit code of that may ask, would hide it.
    pub(super) fn conclude(&mut self, failure: Option<Failure>) -> Result<(), Failure> {
        let Tally { replies, wrong, lost } = self.tally;
        match (failure, wrong, lost) {
            (None, 0, 0) => Ok(()),
            (None, 0, lost) => Err(Failure::Lost { lost, replies }),
            (Some(failure), 0, _) => Err(failure),
            (failure, wrong, _) => {
                if let Some(failure) = failure {
                    self.output.flush_now();
                    failure.report();
                }
                Err(Failure::Mismatches { wrong, replies })
            }
        }
    }

    /// Whether a reply must be what docs/PROTOCOL.md says.
    pub(super) const fn is_strict(&self) -> bool {
        matches!(self.check, Check::Due { .. })
    }

    /// Whether whoever read stdout has gone.
    pub(super) const fn is_closed(&self) -> bool {
        self.output.is_closed()
    }

    /// Whether so much is printed and not out that it should go out before more is.
    pub(super) fn is_full(&self) -> bool {
        self.output.is_full()
    }

    /// Whether something is printed and not out.
    pub(super) fn is_pending(&self) -> bool {
        self.output.is_pending()
    }

    /// Writes what has been printed.
    ///
    /// # Cancel safety
    ///
    /// What has not been written is kept for the next call.
    pub(super) async fn flush(&mut self) -> Result<(), Failure> {
        self.output.flush().await
    }

    /// How far it has come.
    pub(super) fn progress(&self, flight: &Flight) -> String {
        let (replies, outstanding) = (self.tally.replies, flight.len());
        format!("{replies} answered, {outstanding} without a reply")
    }

    /// Gives up what is in flight, since everything has taken as long as it may; `progress` says how
    /// far it has come.
    pub(super) fn give_up_after(
        &mut self,
        longest: Duration,
        progress: String,
        flight: &Flight,
    ) -> Result<(), Failure> {
        let failure = Failure::Deadline { after: longest, progress };
        self.give_up(&failure.to_string(), flight);
        self.conclude(Some(failure))
    }

    /// Gives up what is in flight, since somebody wants that; `progress` says how far it has come.
    pub(super) fn interrupt(&mut self, progress: &str, flight: &Flight) {
        if flight.len() > 0 {
            self.tell(&format!("interrupted: {progress}"));
        }
        self.give_up("interrupted", flight);
        if let Err(failure @ Failure::Mismatches { .. }) = self.conclude(None) {
            self.output.flush_now();
            failure.report();
        }
    }

    /// Prints every reply, also those behind a wrong one, until no more will come or nobody reads
    /// what is printed.
    pub(crate) async fn receive(
        &mut self,
        mut receiver: Receiver,
        flight: &Flight,
    ) -> Result<(), Failure> {
        let before = self.tally.replies;
        while !self.output.is_closed() {
            if self.output.is_full() {
                self.output.flush().await?;
            }
            stderr::room().await;
            // Both branches are cancel safe. What has been printed goes out as soon as no reply is
            // ready.
            let received = tokio::select! {
                biased;
                received = receiver.receive_unchecked() => received,
                flushed = self.output.flush(), if self.output.is_pending() => {
                    flushed?;
                    continue;
                }
            };
            match received {
                Ok(Some(arrival)) => self.take(&arrival, flight),
                Ok(None) => break,
                Err(error) => {
                    if let Error::Refused { last_seq, .. } = error {
                        let answered = self.tally.replies - before;
                        self.lose(last_seq.saturating_sub(answered), flight);
                    }
                    return Err(error.into());
                }
            }
        }
        Ok(())
    }

    /// Gives up what is in flight.
    pub(crate) fn give_up(&mut self, why: &str, flight: &Flight) {
        while let Some(frame) = flight.take_oldest() {
            self.output.print_lost(&frame, why);
        }
    }

    /// Takes the reply to the oldest frame in flight.
    pub(super) fn take(&mut self, arrival: &Arrival, flight: &Flight) {
        // Whatever is answered was in flight.
        let number = flight.take_oldest().map_or(arrival.seq, |frame| frame.number);
        let verdict = self.check.judge(arrival);
        self.tally.replies += 1;
        if let Verdict::Wrong(wrong) = &verdict {
            self.tally.wrong += 1;
            if self.tally.wrong <= SHOWN {
                // What to try need not be said again.
                let why = if self.tally.wrong == 1 { wrong.message() } else { wrong.why.clone() };
                self.show_wrong(number, arrival, &why, wrong.due.as_ref());
            }
        }
        self.output.print(number, arrival, &verdict);
    }

    /// Tells of a wrong reply on stderr: what should have come, and what came.
    fn show_wrong(&mut self, number: u64, arrival: &Arrival, why: &str, due: Option<&Bytes>) {
        // A reply is numbered on its connection. After another try that is not where its frame
        // stands in the input.
        if number == arrival.seq {
            self.tell(why);
        } else {
            self.tell(&format!("frame {number}: {why}"));
        }
        stderr::show(dump::comparison(due, &arrival.payload));
    }

    /// Tells something on stderr, behind the replies that came before it.
    pub(super) fn tell(&mut self, message: &str) {
        self.output.flush_now();
        tell(message);
    }

    /// The server has answered so many more frames than there were replies. To send those again
    /// would be to send them twice.
    fn lose(&mut self, count: u64, flight: &Flight) {
        for _ in 0..count {
            self.lose_oldest("the server says that it has answered it", flight);
        }
    }

    /// Gives up the oldest frame in flight, and says why.
    pub(super) fn lose_oldest(&mut self, why: &str, flight: &Flight) {
        let Some(frame) = flight.take_oldest() else { return };
        self.tally.lost += 1;
        if self.tally.lost <= SHOWN {
            self.tell(&format!("no reply to frame {}: {why}", frame.number));
        }
        self.output.print_lost(&frame, why);
    }
}
