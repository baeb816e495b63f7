//! The frames of one connection that were not answered in their turn, and those that were settled
//! as something else than ok: what must be known when a reply comes after all.

use std::collections::VecDeque;
use std::mem;

use crate::measure::interval::Interval;
use crate::measure::ledger::{Column, Loss};
use crate::plan::Plan;
use crate::run::flight::{InFlight, Stray, unanswered};

/// How many odd frames the connections of a run remember together, and for how many overdue ones
/// they keep waiting: what a server that loses frames for days may cost, some 100 MB.
const MOST_IN_ALL: u32 = 1 << 20;

/// How many each of them remembers.
const MOST: u32 = 1024;
const FEWEST: u32 = 16;

/// How many odd frames each connection of a run remembers, and how many overdue ones it keeps
/// waiting for: a whole pipeline in any case.
pub fn most_trouble(plan: &Plan) -> u32 {
    let share = MOST_IN_ALL / plan.connections.max(1);
    share.clamp(FEWEST, MOST).max(plan.pipeline)
}

/// What has gone wrong with the frames of one connection.
#[derive(Debug)]
pub struct Trouble {
    /// Overtaken by the replies to later frames.
    overtaken: Vec<InFlight>,
    /// Waited for longer than the time-out; a reply may still come.
    overdue: VecDeque<InFlight>,
    /// The last frames that were settled as something else than ok, for when a second reply comes.
    odd: VecDeque<Odd>,
    /// The number behind the last odd frame that is not remembered any more.
    forgotten: u64,
    /// How many are remembered.
    most: usize,
    /// Whether there have been more that were overdue.
    is_beyond_memory: bool,
}

/// A frame that was settled as something else than ok.
#[derive(Debug)]
struct Odd {
    number: u64,
    is_warmup: bool,
    column: Column,
}

impl Trouble {
    /// None yet, of which up to `most` frames of each kind will be remembered.
    pub const fn new(most: usize) -> Self {
        Self {
            overtaken: Vec::new(),
            overdue: VecDeque::new(),
            odd: VecDeque::new(),
            forgotten: 0,
            most,
            is_beyond_memory: false,
        }
    }

    /// Whether all frames have been settled.
    pub fn is_settled(&self) -> bool {
        self.overtaken.is_empty() && self.overdue.is_empty()
    }

    /// Frames that take a place in the pipeline all the same: those that are overtaken only.
    pub const fn places(&self) -> usize {
        self.overtaken.len()
    }

    /// When the first of these was written.
    pub fn oldest(&self) -> Option<u64> {
        self.overtaken.iter().map(|frame| frame.written).min()
    }

    /// Whether there have been more that were overdue than are remembered.
    pub const fn is_beyond_memory(&self) -> bool {
        self.is_beyond_memory
    }

    /// The length of the first frame that is overdue.
    pub fn oldest_overdue(&self) -> Option<u32> {
        self.overdue.front().map(|frame| frame.len)
    }

    /// The length of the first frame that was overtaken.
    pub fn oldest_overtaken(&self) -> Option<u32> {
        self.overtaken.first().map(|frame| frame.len)
    }

    /// The replies to later frames have overtaken those to `frames`.
    pub fn overtake(&mut self, frames: impl Iterator<Item = InFlight>) {
        self.overtaken.extend(frames);
    }

    /// What has been waited for since `instant` or longer, and `waiting` too, is overdue. Returns
    /// those that are to be given up, because there are too many.
    pub fn expire(
        &mut self,
        instant: u64,
        waiting: impl Iterator<Item = InFlight>,
    ) -> Vec<InFlight> {
        let is_over = |frame: &mut InFlight| frame.written <= instant;
        self.overdue.extend(self.overtaken.extract_if(.., is_over));
        self.overdue.extend(waiting);
        let too_many = self.overdue.len().saturating_sub(self.most);
        self.is_beyond_memory |= too_many > 0;
        self.overdue.drain(..too_many).collect()
    }

    /// Takes out the first overtaken frame that is the one.
    pub fn take_overtaken(&mut self, is_it: impl Fn(&InFlight) -> bool) -> Option<InFlight> {
        let at = self.overtaken.iter().position(is_it)?;
        Some(self.overtaken.remove(at))
    }

    /// Takes out the first overdue frame that is the one.
    pub fn take_overdue(&mut self, is_it: impl Fn(&InFlight) -> bool) -> Option<InFlight> {
        let at = self.overdue.iter().position(is_it)?;
        self.overdue.remove(at)
    }

    /// Takes out all frames; returns each with the reason for which it is lost. `answered` is the
    /// number behind the last frame that got a reply.
    pub fn give_up(&mut self, answered: u64) -> impl Iterator<Item = (InFlight, Loss)> + use<> {
        let overdue = mem::take(&mut self.overdue).into_iter();
        let overdue = overdue.map(move |frame| (frame, unanswered(&frame, answered)));
        let overtaken = mem::take(&mut self.overtaken).into_iter().map(|f| (f, Loss::Skipped));
        overdue.chain(overtaken)
    }

    /// Settles a frame as something else than ok.
    pub fn settle(&mut self, frame: &InFlight, column: Column, measured: &mut Interval) {
        measured.of(frame.is_warmup).ledger.settle(column);
        self.remember(Odd { number: frame.number, is_warmup: frame.is_warmup, column });
    }

    /// A further reply has come to a frame that was settled before. The first time that moves it
    /// to the duplicates, or if it had been given up to the late ones.
    pub fn settle_again(&mut self, number: u64, is_warmup: bool, measured: &mut Interval) -> Stray {
        let Some(odd) = self.odd.iter_mut().find(|odd| odd.number == number) else {
            if number < self.forgotten {
                // It may have been lost as well as ok: no column can be told to have had it.
                return Stray::Forgotten;
            }
            measured.of(is_warmup).ledger.resettle(Column::Ok, Column::Duplicate);
            self.remember(Odd { number, is_warmup, column: Column::Duplicate });
            return Stray::Duplicate;
        };
        let column = match odd.column {
            Column::Lost(_) => Column::Late,
            _ => Column::Duplicate,
        };
        measured.of(odd.is_warmup).ledger.resettle(odd.column, column);
        odd.column = column;
        Stray::Duplicate
    }

    fn remember(&mut self, odd: Odd) {
        if self.odd.len() == self.most
            && let Some(oldest) = self.odd.pop_front()
        {
            self.forgotten = self.forgotten.max(oldest.number + 1);
        }
        self.odd.push_back(odd);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_run_remembers_is_shared_by_its_connections() {
        let most = |connections, pipeline| {
            most_trouble(&Plan { connections, pipeline, ..Plan::default() })
        };
        assert_eq!((most(1, 1), most(20_000, 1), most(u32::MAX, 1)), (1024, 52, 16));
        assert_eq!((most(20_000, 128), most(1, 5000)), (128, 5000));
    }
}
