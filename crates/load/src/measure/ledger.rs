//! The ledger: every frame that was sent ends in exactly one column.
//!
//! A frame is entered when it is sent. It leaves the column "in flight" once, when it is known
//! what became of it; a reply that comes twice moves it from *ok* to *duplicate*. So at the end of
//! a run the columns add up to what was sent, and [`Ledger::imbalance`] says by how much they
//! don't.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Column {
    /// Its reply came in time, in its place, and was right.
    Ok,
    /// The reply in its place was wrong: other bytes, or a receipt for other bytes.
    Corrupt,
    /// Its reply was right, and came more than once.
    Duplicate,
    /// Its reply was right and came behind that of a later frame (RFC 4737, 3.3).
    Reordered,
    /// Its reply came on another connection.
    Misrouted,
    /// Its reply was right and came after the time-out.
    Late,
    /// No reply came.
    Lost(Loss),
}

impl Column {
    /// All columns, in the order in which a report lists them.
    pub fn all() -> impl Iterator<Item = Self> {
        let replied = [
            Self::Ok,
            Self::Corrupt,
            Self::Duplicate,
            Self::Reordered,
            Self::Misrouted,
            Self::Late,
        ];
        replied.into_iter().chain(Loss::ALL.map(Self::Lost))
    }
}

/// Why a frame got no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Loss {
    /// The connection was fine, replies to later frames came, and this one's didn't.
    Skipped,
    /// Nothing came within the time-out.
    TimedOut,
    /// The server closed the connection.
    Closed,
    /// The server closed the connection in the middle of a reply.
    Truncated,
    /// The connection was reset, or failed in another way.
    Reset,
    /// The server ended the connection with an ERROR.
    Refused,
    /// The peer sent what is no frame, or no reply to anything.
    Protocol,
    /// The run was ended before a reply could come.
    Aborted,
}

impl Loss {
    /// All reasons, in the order in which a report lists them.
    pub const ALL: [Self; 8] = [
        Self::Skipped,
        Self::TimedOut,
        Self::Closed,
        Self::Truncated,
        Self::Reset,
        Self::Refused,
        Self::Protocol,
        Self::Aborted,
    ];
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Skipped => "skipped",
            Self::TimedOut => "timed out",
            Self::Closed => "closed",
            Self::Truncated => "truncated",
            Self::Reset => "reset",
            Self::Refused => "refused",
            Self::Protocol => "protocol",
            Self::Aborted => "aborted",
        })
    }
}

/// The columns. Ledgers of several workers and intervals are merged by adding.
///
/// In the ledger of a single interval a column can be below 0: a frame that was settled in an
/// earlier one has moved on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    sent: u64,
    ok: i64,
    corrupt: i64,
    duplicate: i64,
    reordered: i64,
    misrouted: i64,
    late: i64,
    lost: BTreeMap<Loss, i64>,
}

impl Ledger {
    /// Enters `frames` frames that have just been sent.
    pub const fn send(&mut self, frames: u64) {
        self.sent += frames;
    }

    /// Says what became of a frame.
    #[inline]
    pub fn settle(&mut self, column: Column) {
        *self.column_mut(column) += 1;
    }

    /// Says that the replies to `frames` of them were right.
    #[inline]
    pub const fn settle_right(&mut self, frames: u64) {
        self.ok += frames.cast_signed();
    }

    /// A settled frame turns out to belong elsewhere: a further reply to it has come.
    pub fn resettle(&mut self, from: Column, to: Column) {
        *self.column_mut(from) -= 1;
        *self.column_mut(to) += 1;
    }

    /// Frames that were sent.
    pub const fn sent(&self) -> u64 {
        self.sent
    }

    /// Frames in one column; 0 where an interval has less.
    pub fn count(&self, column: Column) -> u64 {
        let frames = match column {
            Column::Ok => self.ok,
            Column::Corrupt => self.corrupt,
            Column::Duplicate => self.duplicate,
            Column::Reordered => self.reordered,
            Column::Misrouted => self.misrouted,
            Column::Late => self.late,
            Column::Lost(loss) => self.lost.get(&loss).copied().unwrap_or(0),
        };
        u64::try_from(frames).unwrap_or(0)
    }

    /// The columns in which there are frames, and how many.
    pub fn filled(&self) -> BTreeMap<Column, u64> {
        let counts = Column::all().map(|column| (column, self.count(column)));
        counts.filter(|&(_, frames)| frames > 0).collect()
    }

    /// Frames without a reply, for whatever reason.
    pub fn lost(&self) -> u64 {
        u64::try_from(self.lost.values().sum::<i64>()).unwrap_or(0)
    }

    /// Frames whose reply was wrong in some way, or never came.
    pub fn failed(&self) -> u64 {
        u64::try_from(self.settled() - self.ok).unwrap_or(0)
    }

    /// Frames that are still in flight; 0 when a run is over. Negative if more were settled than
    /// sent, which no run may end with either.
    pub fn imbalance(&self) -> i128 {
        i128::from(self.sent) - i128::from(self.settled())
    }

    /// Frames of which it is known what became of them.
    fn settled(&self) -> i64 {
        let lost: i64 = self.lost.values().sum();
        self.ok + self.corrupt + self.duplicate + self.reordered + self.misrouted + self.late + lost
    }

    fn column_mut(&mut self, column: Column) -> &mut i64 {
        match column {
            Column::Ok => &mut self.ok,
            Column::Corrupt => &mut self.corrupt,
            Column::Duplicate => &mut self.duplicate,
            Column::Reordered => &mut self.reordered,
            Column::Misrouted => &mut self.misrouted,
            Column::Late => &mut self.late,
            Column::Lost(loss) => self.lost.entry(loss).or_default(),
        }
    }
}

impl AddAssign<&Self> for Ledger {
    fn add_assign(&mut self, other: &Self) {
        self.sent += other.sent;
        self.ok += other.ok;
        self.corrupt += other.corrupt;
        self.duplicate += other.duplicate;
        self.reordered += other.reordered;
        self.misrouted += other.misrouted;
        self.late += other.late;
        for (&loss, frames) in &other.lost {
            *self.lost.entry(loss).or_default() += frames;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_ends_in_exactly_one_column() {
        let mut ledger = Ledger::default();
        ledger.send(10);
        assert_eq!(ledger.imbalance(), 10);
        for _ in 0..4 {
            ledger.settle(Column::Ok);
        }
        ledger.settle(Column::Corrupt);
        ledger.settle(Column::Reordered);
        ledger.settle(Column::Misrouted);
        ledger.settle(Column::Late);
        ledger.settle(Column::Lost(Loss::Closed));
        ledger.settle(Column::Lost(Loss::TimedOut));
        assert_eq!(ledger.imbalance(), 0);
        ledger.resettle(Column::Ok, Column::Duplicate);
        assert_eq!((ledger.imbalance(), ledger.count(Column::Ok)), (0, 3));
        assert_eq!((ledger.failed(), ledger.lost()), (7, 2));
    }

    #[test]
    fn settling_what_was_never_sent_shows() {
        let mut ledger = Ledger::default();
        ledger.settle(Column::Ok);
        assert_eq!(ledger.imbalance(), -1);
    }

    #[test]
    fn ledgers_are_merged_by_adding() {
        let mut one = Ledger::default();
        one.send(2);
        one.settle(Column::Ok);
        one.settle(Column::Lost(Loss::Reset));
        let mut sum = one.clone();
        sum += &one;
        assert_eq!(sum.sent(), 4);
        assert_eq!(sum.count(Column::Ok), 2);
        assert_eq!(sum.count(Column::Lost(Loss::Reset)), 2);
        assert_eq!(sum.imbalance(), 0);
    }
}
