//! What is asked of a connection from outside, a shutdown or a deadline, and what it tells its peer
//! of it.

use std::pin::Pin;
use std::task::{Context, Poll};

use volley_proto::{Control, Reason, Text};

use super::Connection;
use crate::answer::FaultError;
use crate::deadlines::Overdue;
use crate::framing::Cut;
use crate::seat::Orders;
use crate::sweep::YOUTH;
use crate::throttle::Throttle;
use crate::transport::Transport;
use crate::unsent::Unsent;
use crate::{End, Responder};

impl<S: Transport, R: Responder, F: Cut> Connection<S, R, F> {
    /// Nothing is owed to the peer, it was not promised that later frames are answered, and it
    /// has had the time to send its first.
    pub(super) fn is_idle(&self) -> bool {
        let is_young = self.seat().frames() == 0 && self.seat().accepted_at.elapsed() < YOUTH;
        self.kept.is_empty() && self.unsent.rest().is_none() && !self.goaway_sent && !is_young
    }

    /// The peer has nothing more to get and the connection is asked to go.
    pub(super) fn leave_idle(&mut self, orders: Orders) -> Poll<Result<(), End>> {
        if orders.contain(Orders::DRAIN) {
            return Poll::Ready(Err(End::Drained));
        }
        if self.stream.has_input() {
            // The runtime will tell of it soon.
            return Poll::Pending;
        }
        Poll::Ready(self.end_overdue(Overdue::Lifetime))
    }

    /// Follows the orders that can be followed at once.
    #[cold]
    pub(super) fn obey(&mut self, orders: Orders, cx: &mut Context<'_>) -> Result<(), End> {
        if orders.contain(Orders::CUT_OFF) {
            self.say_cut_off(cx);
            return Err(End::CutOff);
        }
        if orders.contain(Orders::RECONFIGURE) {
            self.seat().done(Orders::RECONFIGURE);
            let config = self.member.roster.config();
            self.throttle = Throttle::adopt(self.throttle.take(), &config);
        }
        let Some(overdue) = orders.overdue() else { return Ok(()) };
        // What was seen a moment ago may have changed since.
        let is_so = match overdue {
            Overdue::FirstFrame if !self.kept.is_empty() => self.seat().frames() == 0,
            Overdue::FirstFrame | Overdue::Idle => {
                self.kept.is_empty() && self.unsent.rest().is_none() && !self.stream.has_input()
            }
            Overdue::Frame => !self.kept.is_empty() && self.unsent.rest().is_none(),
            Overdue::Write => self.unsent.rest().is_some(),
            Overdue::Lifetime => true,
        };
        self.seat().caught_up();
        if is_so { self.end_overdue(overdue) } else { Ok(()) }
    }

    /// Ends the connection because something took too long. Behind a reply that is half out nothing
    /// more can be said.
    fn end_overdue(&mut self, overdue: Overdue) -> Result<(), End> {
        if self.fault.is_none() {
            let deadlines = &self.member.roster.config().deadlines;
            let fault = FaultError::Overdue(deadlines.explain(overdue, self.needs()));
            if self.unsent.rest().is_none() {
                self.fail(fault);
                return Ok(());
            }
            self.fault = Some(Box::new(fault));
        }
        Err(End::Error(self.fault.as_ref().map_or(Reason::Internal, |fault| fault.reason())))
    }

    pub(super) fn say_goaway(&mut self, orders: Orders) {
        let (reason, text, closes_in) = if orders.contain(Orders::DRAIN) {
            let deadline = self.member.roster.deadline();
            let left = deadline
                .map(|deadline| deadline.saturating_duration_since(tokio::time::Instant::now()));
            (Reason::ShuttingDown, "the server is shutting down", left.unwrap_or_default())
        } else {
            let text = "the connection is as old as one may get";
            (Reason::LifetimeOver, text, self.member.roster.config().drain)
        };
        let mut frame = Vec::new();
        Control::GoAway { reason, closes_in, text: Text::new(text) }.encode(&mut frame);
        self.unsent = Unsent::keep(frame, 0, None);
        self.goaway_sent = true;
    }

    /// Tells the peer, if it takes it at once, that the drain deadline is over.
    fn say_cut_off(&mut self, cx: &mut Context<'_>) {
        if F::HAS_CONTROL && self.unsent.rest().is_none() && self.fault.is_none() {
            let text = Text::new("the server is shutting down and waits no longer");
            let last_seq = self.seat().frames();
            let mut frame = Vec::new();
            Control::Error { reason: Reason::ShuttingDown, last_seq, text }.encode(&mut frame);
            // The connection ends here whether it is taken or not.
            if let Poll::Ready(Ok(n)) = Pin::new(&mut self.stream).poll_write(cx, &frame) {
                self.seat().count_written(n);
            }
        }
    }
}
