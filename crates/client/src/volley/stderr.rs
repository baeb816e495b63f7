//! Messages on their way to stderr, without ever waiting for whoever reads it: a signal or a deadline
//! ends the program also while a pager stands still.
//!
//! What stderr takes at once is written at once. The rest goes through a thread, which waits; who
//! shows much asks for [`room`] first, so that it does not grow without end.

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use rustix::pipe::PIPE_BUF;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::stdout::has_room;

/// Bytes from which on no more should be shown before these are out.
const FULL: usize = 64 << 10;

/// How long what has been printed may take to go out after a signal or a deadline.
pub(crate) const AT_THE_END: Duration = Duration::from_millis(100);

static QUEUE: Mutex<Queue> = Mutex::new(Queue { thread: None, pending: 0, is_cut_short: false });

/// Told of each message that the thread has written.
static WRITTEN: Notify = Notify::const_new();

struct Queue {
    thread: Option<mpsc::Sender<String>>,
    /// Bytes that the thread has been given and has not written.
    pending: usize,
    /// The program ends before its time.
    is_cut_short: bool,
}

/// Shows lines that are printable already. One write, so that they stay whole. Without a stderr there
/// is nobody to show them to.
pub(crate) fn show(lines: String) {
    let mut queue = lock();
    // A pipe with room takes so much without waiting (pipe(7)).
    if queue.pending == 0 && lines.len() <= PIPE_BUF && has_room(io::stderr()) {
        let _ = io::stderr().write_all(lines.as_bytes());
        return;
    }
    let len = lines.len();
    let thread = queue.thread.take().or_else(|| start().ok());
    if let Some(thread) = thread
        && thread.send(lines).is_ok()
    {
        queue.pending += len;
        queue.thread = Some(thread);
    }
}

/// Waits until more can be shown.
///
/// # Cancel safety
///
/// It can be dropped.
pub(crate) async fn room() {
    until(FULL).await;
}

/// Something ends the program before its time: whoever reads stderr may have stopped, and may have sent
/// the signal for that.
pub(crate) fn cut_short() {
    lock().is_cut_short = true;
}

/// Waits until everything is written, or for a moment if the program has been [cut short](cut_short).
///
/// # Cancel safety
///
/// It can be dropped.
pub(crate) async fn finish() {
    let longest = if lock().is_cut_short { AT_THE_END } else { Duration::MAX };
    let _ = timeout(longest, until(0)).await;
}

async fn until(most: usize) {
    loop {
        // It is told of whatever is written from here on.
        let written = WRITTEN.notified();
        if lock().pending <= most {
            return;
        }
        written.await;
    }
}

fn start() -> io::Result<mpsc::Sender<String>> {
    let (thread, given) = mpsc::channel::<String>();
    thread::Builder::new().name("stderr".to_owned()).spawn(move || {
        for lines in given {
            let _ = io::stderr().write_all(lines.as_bytes());
            lock().pending -= lines.len();
            WRITTEN.notify_waiters();
        }
    })?;
    Ok(thread)
}

fn lock() -> MutexGuard<'static, Queue> {
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
}
