//! The buffers that a worker thread lends to a connection for the length of one poll, so that an
//! idle connection owns none.

use std::cell::Cell;

/// How much one read may bring in. A pipeline of 8 frames of 16 KiB fits with room to spare.
pub(crate) const READ_LEN: usize = 256 * 1024;

/// Replies are gathered up to about this many bytes before they are written. It bounds what a
/// peer that doesn't read can make us hold: receipts are longer than the frames they answer.
pub(crate) const WRITE_LEN: usize = 256 * 1024;

thread_local! {
    static IDLE: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

/// A worker thread's buffers.
#[derive(Debug)]
pub(crate) struct Scratch {
    /// Where reads go: [`READ_LEN`] bytes, whatever was in them last.
    pub(crate) input: Vec<u8>,
    /// Where replies are gathered that are not the request itself; empty when lent.
    pub(crate) replies: Vec<u8>,
}

/// Lends this thread's buffers to `borrower`; the first call on a thread makes them.
pub(crate) fn lend<T>(borrower: impl FnOnce(&mut Scratch) -> T) -> T {
    let mut scratch = IDLE.take().unwrap_or_else(|| {
        Box::new(Scratch { input: vec![0; READ_LEN], replies: Vec::with_capacity(WRITE_LEN) })
    });
    let result = borrower(&mut scratch);
    scratch.replies.clear();
    // One enormous reply is no reason to keep its memory for good.
    scratch.replies.shrink_to(2 * WRITE_LEN);
    IDLE.set(Some(scratch));
    result
}
