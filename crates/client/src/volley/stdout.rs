//! Bytes on their way to stdout, without ever waiting for whoever reads it.
//!
//! stdout may be shared with other programs, so it is never made non-blocking itself. What may
//! block is opened once more, and only that opening is.

use std::io::{self, IoSlice};
use std::os::fd::AsFd;

use buf_list::BufList;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::FutureExt;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, fstat};
use rustix::io::{retry_on_intr, writev};
use rustix::pipe::PIPE_BUF;
#[cfg(target_os = "linux")]
use rustix::pipe::{fcntl_getpipe_size, fcntl_setpipe_size};
use rustix::stdio::stdout;
use rustix::termios::isatty;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;

/// The shortest piece that is written from where it lies, in bytes. A shorter one costs less to
/// copy.
const WHOLE_FROM: usize = 8 << 10;

/// Bytes from which on no more should be added before these are out.
const FULL: usize = 64 << 10;

/// Bytes that a pipe is to hold: what Linux allows everybody (pipe(7), pipe-max-size).
#[cfg(target_os = "linux")]
const PIPE_LEN: usize = 1 << 20;

/// Pieces that one system call writes at most.
const PIECES: usize = 64;

/// stdout, and what has not been written to it.
#[derive(Debug, Default)]
pub(crate) struct Stdout {
    pieces: BufList,
    /// Behind all pieces.
    tail: BytesMut,
    way: Option<Way>,
    /// The thread has taken bytes that it may not have written.
    unflushed: bool,
    /// Nobody reads any more.
    closed: bool,
}

/// How to write without waiting.
#[derive(Debug)]
enum Way {
    /// A file, or a device that nobody reads: a write waits for nobody.
    Direct,
    /// A pipe, opened once more for us alone and non-blocking.
    Pipe(pipe::Sender),
    /// A terminal, a socket, or another user's pipe: a thread waits.
    Thread(tokio::io::Stdout),
}

impl Stdout {
    /// Adds bytes that are kept somewhere; long ones are not copied.
    pub(crate) fn add(&mut self, bytes: &Bytes) {
        if bytes.len() < WHOLE_FROM {
            self.tail.extend_from_slice(bytes);
        } else {
            self.seal();
            self.pieces.push_chunk(bytes.clone());
        }
    }

    /// What has been added last, to add more to it.
    pub(crate) const fn tail(&mut self) -> &mut BytesMut {
        &mut self.tail
    }

    /// Adds a line, or several, without the last newline.
    pub(crate) fn add_line(&mut self, line: impl Into<Bytes>) {
        self.add(&line.into());
        self.tail.put_u8(b'\n');
    }

    /// Whether something has been added and is not out.
    pub(crate) fn is_pending(&self) -> bool {
        self.unflushed || self.len() > 0
    }

    /// Whether so much is pending that it should go out before more is added.
    pub(crate) fn is_full(&self) -> bool {
        self.len() >= FULL
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
        match self.write_all().await {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                (self.pieces, self.unflushed, self.closed) = (BufList::new(), false, true);
                Ok(())
            }
            written => written,
        }
    }

    /// Writes what goes out without waiting, before something is shown elsewhere that belongs
    /// behind it. Whatever fails does so again when everything is [flushed](Self::flush).
    pub(crate) fn flush_now(&mut self) {
        let _ = self.flush().now_or_never();
    }

    /// How many bytes have not been written.
    fn len(&self) -> usize {
        self.pieces.remaining() + self.tail.len()
    }

    async fn write_all(&mut self) -> io::Result<()> {
        self.seal();
        // A thread that is still at it has what comes before.
        let is_next = matches!(self.way, None | Some(Way::Thread(_))) && !self.unflushed;
        if is_next && self.pieces.remaining() <= PIPE_BUF && has_room(stdout()) {
            // Mostly this is all there is to write, ever.
            write_to_stdout(&mut self.pieces)?;
        }
        while self.pieces.has_remaining() {
            let way = match &mut self.way {
                Some(way) => way,
                unknown => unknown.insert(Way::find()?),
            };
            way.write(&mut self.pieces).await?;
            self.unflushed = matches!(way, Way::Thread(_));
        }
        if let Some(Way::Thread(stdout)) = &mut self.way {
            // It has taken everything; that is not to have written it.
            stdout.flush().await?;
            self.unflushed = false;
        }
        Ok(())
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.pieces.push_chunk(self.tail.split().freeze());
        }
    }
}

impl Way {
    fn find() -> io::Result<Self> {
        let kind = FileType::from_raw_mode(fstat(stdout())?.st_mode);
        let waits = matches!(kind, FileType::Fifo | FileType::Socket) || isatty(stdout());
        if !waits {
            return Ok(Self::Direct);
        }
        // An opening of one's own has flags of its own. Where there is no /proc, or the pipe may
        // not be opened, the thread does as well, if more slowly.
        match pipe::OpenOptions::new().open_sender("/proc/self/fd/1") {
            Ok(pipe) => {
                widen(&pipe);
                Ok(Self::Pipe(pipe))
            }
            Err(_) => Ok(Self::Thread(tokio::io::stdout())),
        }
    }

    /// Writes some of it.
    async fn write(&mut self, pieces: &mut BufList) -> io::Result<()> {
        match self {
            Self::Direct => {
                write_to_stdout(pieces)?;
            }
            Self::Pipe(pipe) => {
                pipe.write_buf(pieces).await?;
            }
            Self::Thread(stdout) => {
                stdout.write_buf(pieces).await?;
            }
        }
        Ok(())
    }
}

/// Has a pipe hold more than 16 pages, so that writer and reader need fewer turns. It will do as it
/// is where the system says no.
#[cfg(target_os = "linux")]
fn widen(pipe: impl AsFd) {
    if fcntl_getpipe_size(&pipe).is_ok_and(|len| len < PIPE_LEN) {
        let _ = fcntl_setpipe_size(&pipe, PIPE_LEN);
    }
}

#[cfg(not(target_os = "linux"))]
fn widen(_: impl AsFd) {}

/// Whether a write to `out` of no more than `PIPE_BUF` bytes would not wait.
pub(crate) fn has_room(out: impl AsFd) -> bool {
    let mut out = [PollFd::new(&out, PollFlags::OUT)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    retry_on_intr(|| poll(&mut out, Some(&now))).is_ok_and(|ready| ready > 0)
}

/// Writes once, as much as stdout takes.
fn write_to_stdout(pieces: &mut BufList) -> io::Result<()> {
    let mut slices = [IoSlice::new(&[]); PIECES];
    let len = pieces.chunks_vectored(&mut slices);
    let n = retry_on_intr(|| writev(stdout(), &slices[..len]))?;
    pieces.advance(n);
    Ok(())
}
