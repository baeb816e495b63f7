//! The lingering close: what keeps a reset from destroying an ERROR, or replies that are still on
//! their way, before the peer has read them.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::scratch;

/// How long the rest of a peer's bytes is awaited after an ERROR (docs/PROTOCOL.md).
pub(crate) const LINGER: Duration = Duration::from_secs(1);

/// How many of them are read (docs/PROTOCOL.md).
const LINGER_BYTES: usize = 256 * 1024;

/// A lingering close that is under way.
#[derive(Debug)]
pub(crate) struct Linger {
    /// Bytes that may still come.
    left: usize,
    half_closed: bool,
    alarm: Pin<Box<Sleep>>,
}

impl Linger {
    /// One that takes no longer than `limit`.
    pub(crate) fn new(limit: Duration) -> Self {
        Self { left: LINGER_BYTES, half_closed: false, alarm: Box::pin(sleep(limit)) }
    }

    /// Half-closes `stream`, then reads and throws away what still comes in, until the peer closes,
    /// or for as long as it may, or 256 KiB, whichever comes first. A close with unread bytes would
    /// send a reset.
    pub(crate) fn poll(
        &mut self,
        stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        if self.alarm.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if !self.half_closed {
            // On failure the peer has gone already.
            let Ok(()) = ready!(Pin::new(&mut *stream).poll_shutdown(cx)) else {
                return Poll::Ready(());
            };
            self.half_closed = true;
        }
        scratch::lend(|scratch| {
            while self.left > 0 {
                let mut buffer = ReadBuf::new(&mut scratch.input);
                let read = ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer));
                match (read, buffer.filled().len()) {
                    (Ok(()), n) if n > 0 => self.left = self.left.saturating_sub(n),
                    _ => break,
                }
            }
            Poll::Ready(())
        })
    }
}

/// The whole of a [`Linger`].
pub(crate) async fn linger(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let mut linger = Linger::new(LINGER);
    poll_fn(|cx| linger.poll(stream, cx)).await;
}
