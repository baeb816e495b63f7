//! What the system, and not the terminal, knows of the terminal on stderr.

use std::os::fd::AsFd;

use ratatui_core::layout::Size;
use rustix::process::getpgrp;
use rustix::termios::{tcgetpgrp, tcgetwinsize};

/// What a terminal is taken for whose size nobody knows, as on a serial line.
const UNKNOWN: Size = Size::new(80, 24);

/// Columns and rows.
pub(super) fn size(terminal: impl AsFd) -> Size {
    match tcgetwinsize(terminal) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => Size::new(size.ws_col, size.ws_row),
        _ => UNKNOWN,
    }
}

/// Whether nobody else has the terminal: while this job is in the background, the cursor is where
/// the shell or another program put it.
pub(super) fn is_ours(terminal: impl AsFd) -> bool {
    // Of a terminal that does not control this session the system tells no foreground job.
    tcgetpgrp(terminal).map_or(true, |foreground| foreground == getpgrp())
}
