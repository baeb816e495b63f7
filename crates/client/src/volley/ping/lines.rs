//! Lines on their way to stdout.

use std::io;

use bytes::{Buf, BufMut, BytesMut};
use tokio::io::{AsyncWriteExt, Stdout};

/// Bytes from which on no more lines should be added before these are out.
const FULL: usize = 64 * 1024;

/// Prints lines at once, and several with one write when they come fast.
#[derive(Debug)]
pub(crate) struct Lines {
    stdout: Stdout,
    unwritten: BytesMut,
    /// Accepted by `stdout`, which writes on a thread of its own, and not flushed.
    unflushed: bool,
    /// Nobody reads any more.
    closed: bool,
}

impl Lines {
    pub(crate) fn new() -> Self {
        let stdout = tokio::io::stdout();
        Self { stdout, unwritten: BytesMut::new(), unflushed: false, closed: false }
    }

    /// Takes a line, or several, without the last newline.
    pub(crate) fn add(&mut self, line: &str) {
        self.unwritten.put_slice(line.as_bytes());
        self.unwritten.put_u8(b'\n');
    }

    /// Whether something is not out.
    pub(crate) fn is_pending(&self) -> bool {
        self.unflushed || !self.unwritten.is_empty()
    }

    /// Whether so much is not out that nothing should be added.
    pub(crate) fn is_full(&self) -> bool {
        self.unwritten.len() >= FULL
    }

    /// Whether whoever read stdout has gone.
    pub(crate) const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Writes everything. That nobody reads it is no error.
    ///
    /// # Errors
    ///
    /// What write(2) says.
    ///
    /// # Cancel safety
    ///
    /// What has not been written is kept for the next call.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        match self.try_flush().await {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.unwritten.clear();
                (self.unflushed, self.closed) = (false, true);
                Ok(())
            }
            flushed => flushed,
        }
    }

    async fn try_flush(&mut self) -> io::Result<()> {
        while !self.unwritten.is_empty() {
            let written = self.stdout.write(&self.unwritten).await?;
            self.unwritten.advance(written);
            self.unflushed = true;
        }
        self.stdout.flush().await?;
        self.unflushed = false;
        Ok(())
    }
}
