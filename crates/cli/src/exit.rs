//! One table of exit codes for all programs. Scripts rely on it.

use std::process::{ExitCode, Termination};

/// How a program ended. The numbers from 64 on are those of BSD's sysexits.h; 128 and a signal's
/// number are what a shell shows for a program that the signal ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done, and every check passed.
    Success = 0,
    /// It ran, and the answer is no: a mismatch, a loss, a broken threshold.
    Failure = 1,
    /// Wrong usage; clap exits with the same number.
    Usage = 2,
    /// Bad data or a bad script.
    BadData = 65,
    /// An input is missing.
    NoInput = 66,
    /// A name was not found.
    NoHost = 68,
    /// Cannot connect, or cannot bind.
    Unavailable = 69,
    /// A defect of ours.
    Defect = 70,
    /// An output cannot be created.
    CannotCreate = 73,
    /// An I/O error.
    Io = 74,
    /// Timed out or busy: trying again may help.
    TryAgain = 75,
    /// The peer broke the protocol.
    Protocol = 76,
    /// Bad configuration.
    Config = 78,
    /// Ended by SIGINT before it was done.
    Interrupted = 130,
    /// Ended by SIGTERM before it was done.
    Terminated = 143,
}

impl Exit {
    /// The number that the shell sees.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self.code())
    }
}
