//! Replies on stdout.

use std::io;

use bytes::{Buf, BufMut, BytesMut};
use tokio::io::{AsyncWriteExt, Stdout};
use volley_client::Reply;

use crate::failure::Failure;

/// Bytes that are gathered before they are written, while replies come faster.
const GATHER: usize = 64 * 1024;

/// Prints replies, several with one write when they come fast.
#[derive(Debug)]
pub(crate) struct Output {
    stdout: Stdout,
    unwritten: BytesMut,
    /// Accepted by `stdout`, which writes on a thread of its own, and not flushed.
    unflushed: bool,
    /// Nobody reads any more.
    closed: bool,
}

impl Output {
    pub(crate) fn new() -> Self {
        let stdout = tokio::io::stdout();
        Self { stdout, unwritten: BytesMut::new(), unflushed: false, closed: false }
    }

    /// Takes a reply to be printed: an echo as it is, a receipt in words.
    pub(crate) fn print(&mut self, reply: &Reply) {
        match &reply.receipt {
            None => self.unwritten.put_slice(&reply.payload),
            Some(receipt) => {
                let line = format!(
                    "ACK seq={} len={} crc32c={:08x} total={} received_at={}",
                    receipt.seq,
                    reply.sent_len,
                    receipt.crc32c,
                    receipt.total,
                    time(receipt.received_at),
                );
                self.unwritten.put_slice(line.as_bytes());
            }
        }
        self.unwritten.put_u8(b'\n');
    }

    /// Whether something has been printed and is not out.
    pub(crate) fn is_pending(&self) -> bool {
        self.unflushed || !self.unwritten.is_empty()
    }

    /// Whether so much is pending that it should go out before more is printed.
    pub(crate) fn is_full(&self) -> bool {
        self.unwritten.len() >= GATHER
    }

    /// Whether whoever read stdout has gone.
    pub(crate) const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Writes what has been printed. That nobody reads it is no error.
    ///
    /// # Cancel safety
    ///
    /// What has not been written is kept for the next call.
    pub(crate) async fn flush(&mut self) -> Result<(), Failure> {
        match self.try_flush().await {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                self.unwritten.clear();
                self.unflushed = false;
                Ok(())
            }
            Err(source) => Err(Failure::Stdout { source }),
        }
    }

    async fn try_flush(&mut self) -> io::Result<()> {
        while !self.unwritten.is_empty() {
            let n = self.stdout.write(&self.unwritten).await?;
            self.unwritten.advance(n);
            self.unflushed = true;
        }
        self.stdout.flush().await?;
        self.unflushed = false;
        Ok(())
    }
}

/// Nanoseconds since the Unix epoch as RFC 3339 has it; a number if the date is beyond that.
fn time(nanos: u64) -> String {
    let since_epoch = std::time::Duration::from_nanos(nanos);
    match std::time::UNIX_EPOCH.checked_add(since_epoch) {
        Some(time) => humantime::format_rfc3339_nanos(time).to_string(),
        None => nanos.to_string(),
    }
}
