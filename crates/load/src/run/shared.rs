//! What the threads of a run share. Touched when something begins, ends or goes wrong, and never
//! per frame but for the phase, which is one relaxed load.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

use crate::plan::Plan;
use crate::run::End;
use crate::run::payload::Payloads;

/// How far a run has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// Connections are being opened; nothing is sent.
    Connecting,
    /// Frames are sent.
    Sending,
    /// No new frames; replies are awaited.
    Finishing,
    /// Over: what is in flight has been awaited for as long as a reply may take.
    Expired,
    /// Over at once, whatever is in flight.
    Aborted,
}

/// A reply that was wrong, for a person to look at.
#[derive(Clone, Debug)]
pub struct BadReply {
    /// The connection's number, from 0.
    pub connection: u32,
    /// The frame's number on its connection, from 0.
    pub frame: u64,
    /// The first bytes that were expected; of a receipt all but the time, which is the server's to
    /// say.
    pub expected: Vec<u8>,
    /// The first bytes that came.
    pub received: Vec<u8>,
    /// Lengths of the whole payloads in bytes: expected, received.
    pub lengths: (usize, usize),
}

/// How many wrong replies are kept to be shown.
const SHOWN: usize = 8;

/// How many misrouted replies are remembered until their frames are given up: a bound on what a
/// server can make of the memory here.
const MOST_MISROUTED: usize = 1 << 20;

/// Shared by all threads of a run.
#[derive(Debug)]
pub struct Shared {
    /// What to do.
    pub plan: Plan,
    /// What frames carry.
    pub payloads: Payloads,
    phase: AtomicU8,
    /// When the schedule begins; set when the connections are there.
    began: OnceLock<Instant>,
    /// When frames were no longer sent.
    stopped: OnceLock<Instant>,
    /// Frames that may still be sent.
    allowance: AtomicU64,
    /// Frames whose replies came out on other connections.
    misrouted: Mutex<HashSet<(u32, u64)>>,
    bad: Mutex<Vec<BadReply>>,
    /// Whether any reply has been right.
    answered: AtomicBool,
    /// What ended the run, if not its plan.
    end: OnceLock<End>,
}

impl Shared {
    /// A run that has not begun.
    pub fn new(plan: Plan, payloads: Payloads) -> Self {
        let allowance = AtomicU64::new(plan.stop.frames.unwrap_or(u64::MAX));
        Self {
            plan,
            payloads,
            phase: AtomicU8::new(Phase::Connecting as u8),
            began: OnceLock::new(),
            stopped: OnceLock::new(),
            allowance,
            misrouted: Mutex::default(),
            bad: Mutex::default(),
            answered: AtomicBool::new(false),
            end: OnceLock::new(),
        }
    }

    /// How far the run has got.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Connecting,
            1 => Phase::Sending,
            2 => Phase::Finishing,
            3 => Phase::Expired,
            _ => Phase::Aborted,
        }
    }

    /// Moves on to `phase`; a run never goes back.
    pub fn advance(&self, phase: Phase) {
        if phase == Phase::Sending {
            // Only the first call counts.
            let _ = self.began.set(Instant::now());
        } else {
            let _ = self.stopped.set(Instant::now());
        }
        self.phase.fetch_max(phase as u8, Ordering::Release);
    }

    /// When the schedule began; now, if it has not.
    pub fn began(&self) -> Instant {
        self.began.get().copied().unwrap_or_else(Instant::now)
    }

    /// Whether the schedule has begun. A run that is stopped before never begins it.
    pub fn has_begun(&self) -> bool {
        self.began.get().is_some()
    }

    /// When frames were no longer sent; `None` while they are.
    pub fn stopped(&self) -> Option<Instant> {
        self.stopped.get().copied()
    }

    /// Takes one of the frames that may still be sent; says whether there was one.
    #[inline]
    pub fn claim(&self) -> bool {
        if self.plan.stop.frames.is_none() {
            return true;
        }
        let take = |left: u64| left.checked_sub(1);
        self.allowance.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    /// Whether all frames that the plan has have been sent.
    pub fn is_spent(&self) -> bool {
        self.plan.stop.frames.is_some() && self.allowance.load(Ordering::Relaxed) == 0
    }

    /// Notes that the reply to a frame of another connection has come.
    pub fn misroute(&self, connection: u32, number: u64) {
        let mut misrouted = lock(&self.misrouted);
        if misrouted.len() < MOST_MISROUTED {
            misrouted.insert((connection, number));
        }
    }

    /// Whether the reply to this frame came out on another connection. Says so once.
    pub fn was_misrouted(&self, connection: u32, number: u64) -> bool {
        lock(&self.misrouted).remove(&(connection, number))
    }

    /// Misrouted replies whose frames were never given up: they had been answered as well.
    pub fn misrouted_and_answered(&self) -> u64 {
        lock(&self.misrouted).len() as u64
    }

    /// Says what ends the run; the first cause counts.
    pub fn end(&self, end: End) {
        let _ = self.end.set(end);
    }

    /// What ended the run, if not its plan.
    pub fn ended(&self) -> Option<End> {
        self.end.get().cloned()
    }

    /// A reply was right.
    pub fn note_answer(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    /// Whether any reply of the run has been right.
    pub fn was_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// Keeps a wrong reply to be shown, if it is one of the first.
    pub fn show(&self, bad: impl FnOnce() -> BadReply) {
        let mut shown = lock(&self.bad);
        if shown.len() < SHOWN {
            shown.push(bad());
        }
    }

    /// The wrong replies that were kept.
    pub fn bad_replies(&self) -> Vec<BadReply> {
        lock(&self.bad).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
