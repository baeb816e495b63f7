//! The lingering close: what keeps a reset from destroying an ERROR, or replies that are still on
//! their way, before the peer has read them.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;

use crate::scratch;

/// How long the rest of a peer's bytes is awaited after an ERROR (docs/PROTOCOL.md).
const LINGER: Duration = Duration::from_secs(1);

/// How many of them are read (docs/PROTOCOL.md).
const LINGER_BYTES: usize = 256 * 1024;

/// Half-closes `stream`, then reads and throws away what still comes in, until the peer closes,
/// or for 1 s, or 256 KiB, whichever comes first. A close with unread bytes would send a reset.
pub(crate) async fn linger(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let mut left = LINGER_BYTES;
    let mut half_closed = false;
    let discard = poll_fn(|cx| {
        if !half_closed {
            // On failure the peer has gone already.
            let Ok(()) = ready!(Pin::new(&mut *stream).poll_shutdown(cx)) else {
                return Poll::Ready(());
            };
            half_closed = true;
        }
        scratch::lend(|scratch| {
            while left > 0 {
                let mut buffer = ReadBuf::new(&mut scratch.input);
                let read = ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer));
                match (read, buffer.filled().len()) {
                    (Ok(()), n) if n > 0 => left = left.saturating_sub(n),
                    _ => break,
                }
            }
            Poll::Ready(())
        })
    });
    let _ = timeout(LINGER, discard).await;
}
