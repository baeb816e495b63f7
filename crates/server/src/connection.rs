//! One connection, from its first byte to its record in the log.
//!
//! ```text
//!         .-------------------------------------------------.
//!         v                                                 |
//!   unsent replies? -> write      whole frames kept? -> answer, write
//!         | none                        | none              ^
//!         v                             v                   |
//!   GOAWAY due? ------------------->  read  ----------------'
//! ```

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::BufMut;
use tokio::io::ReadBuf;
use tokio::task::yield_now;
use tokio_util::io::poll_read_buf;
use tracing::{Level, Span, debug, error_span, info, warn};
use volley_proto::{Control, MaxFrame, Parsed, Reason, Text, parse};

use crate::answer::{FaultError, Progress, Stop, answer};
use crate::limit::Permit;
use crate::linger::linger;
use crate::roster::{Phase, Roster};
use crate::scratch::{self, READ_LEN, Scratch};
use crate::transport::Transport;
use crate::unsent::Unsent;
use crate::{End, Responder};

/// How many batches a connection may answer before the others on its thread get their turn.
const BATCHES_PER_POLL: usize = 4;

/// Serves one peer, as the body of one task.
#[derive(Debug)]
pub(crate) struct Connection<S, R> {
    stream: S,
    responder: R,
    max_frame: MaxFrame,
    progress: Progress,
    /// Received and not answered: an incomplete frame, or, while replies wait in `unsent`, what
    /// came behind the frames that they answer.
    kept: Vec<u8>,
    unsent: Unsent,
    /// The fault for which ERROR is being sent.
    fault: Option<Box<(Reason, FaultError)>>,
    goaway_sent: bool,
    /// Closed for a shutdown while its peer was sending: what the peer sends next must not destroy
    /// the replies that are still on their way.
    was_busy: bool,
    record: Record,
}

/// What is told of a connection when it is over.
#[derive(Debug)]
struct Record {
    roster: Arc<Roster>,
    /// The key to leave the roster with, once joined.
    seat: Option<usize>,
    _permit: Permit,
    id: u64,
    peer: SocketAddr,
    accepted_at: Instant,
    /// How it ended. A task that is dropped half-way was cut off.
    end: End,
    /// Made when there is first something to say: while it is open, a subscriber keeps some 240
    /// bytes for it, a quarter of what an idle connection takes.
    span: Option<Box<Span>>,
}

impl<S: Transport, R: Responder> Connection<S, R> {
    pub(crate) fn new(
        stream: S,
        (id, peer): (u64, SocketAddr),
        responder: R,
        max_frame: MaxFrame,
        roster: Arc<Roster>,
        permit: Permit,
    ) -> Self {
        let record = Record {
            roster,
            seat: None,
            _permit: permit,
            id,
            peer,
            accepted_at: Instant::now(),
            end: End::CutOff,
            span: None,
        };
        Self {
            stream,
            responder,
            max_frame,
            progress: Progress::default(),
            kept: Vec::new(),
            unsent: Unsent::default(),
            fault: None,
            goaway_sent: false,
            was_busy: false,
            record,
        }
    }

    /// Answers every frame until the peer, the protocol or the roster ends it.
    #[expect(clippy::manual_async_fn, reason = "its future would hold `self` twice")]
    pub(crate) fn run(mut self) -> impl Future<Output = ()> + Send {
        async move {
            self.join().await;
            let end = self.serve().await;
            let lingers = matches!(end, End::Error(_)) || end == End::Drained && self.was_busy;
            if lingers {
                // In a box: it is rare, and its timer would make every connection larger.
                Box::pin(linger(&mut self.stream)).await;
            }
            self.close(end);
        }
    }

    /// Takes the connection's seat on the roster.
    async fn join(&mut self) {
        if tracing::enabled!(Level::DEBUG) {
            debug!(parent: self.record.span(), "accepted");
        }
        poll_fn(|cx| {
            self.record.seat = Some(self.record.roster.join(cx.waker().clone()));
            Poll::Ready(())
        })
        .await;
    }

    async fn serve(&mut self) -> End {
        loop {
            match poll_fn(|cx| self.poll_serve(cx)).await {
                // What has arrived counts as received, also if the runtime does not know it yet. It
                // looks at the sockets before it runs a task that has yielded.
                Err(End::Drained) if self.stream.has_input() => yield_now().await,
                Err(end) => return end,
                Ok(never) => match never {},
            }
        }
    }

    fn poll_serve(&mut self, cx: &mut Context<'_>) -> Poll<Result<Infallible, End>> {
        scratch::lend(|scratch| {
            for _ in 0..BATCHES_PER_POLL {
                ready!(self.poll_step(cx, scratch))?;
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    }

    /// Does the one thing that is due: write, answer, or read and answer.
    fn poll_step(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<Result<(), End>> {
        let phase = self.record.roster.phase();
        if phase == Phase::CutOff {
            self.say_cut_off(cx);
            return Poll::Ready(Err(End::CutOff));
        }
        if let Some(unsent) = self.unsent.rest() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, unsent));
            let n = written.and_then(wrote).map_err(|error| self.failed(&error))?;
            self.unsent.advance(n);
            return Poll::Ready(Ok(()));
        }
        if let Some(fault) = &self.fault {
            return Poll::Ready(Err(End::Error(fault.0)));
        }
        if phase == Phase::Draining && self.progress.hello.is_some() && !self.goaway_sent {
            self.say_goaway();
            return Poll::Ready(Ok(()));
        }
        let Ok(Parsed::Incomplete { needs }) = parse(&self.kept, self.max_frame) else {
            let kept = mem::take(&mut self.kept);
            return Poll::Ready(self.answer_owned(cx, kept, &mut scratch.replies));
        };
        let read = if needs > READ_LEN {
            self.poll_read_long(cx, needs, &mut scratch.replies)
        } else {
            self.poll_read_batch(cx, needs, scratch)
        };
        if phase == Phase::Draining {
            if read.is_pending() && self.is_idle() {
                return Poll::Ready(Err(End::Drained));
            }
            self.was_busy |= matches!(read, Poll::Ready(Ok(())));
        }
        read
    }

    /// Nothing is owed to the peer, and it was not promised that later frames are answered.
    fn is_idle(&self) -> bool {
        self.kept.is_empty() && self.unsent.rest().is_none() && !self.goaway_sent
    }

    /// Reads what is there into the thread's buffer and answers it. `needs` is how long the kept
    /// bytes must grow before there is a whole frame.
    fn poll_read_batch(
        &mut self,
        cx: &mut Context<'_>,
        needs: usize,
        scratch: &mut Scratch,
    ) -> Poll<Result<(), End>> {
        let kept = self.kept.len();
        // Behind the room for what is kept, which is copied there only if it makes a whole frame.
        let mut target = ReadBuf::new(&mut scratch.input[kept..]);
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut target));
        let n = target.filled().len();
        read.and_then(|()| got(n)).map_err(|error| self.failed(&error))?;
        let end = kept + n;
        if end < needs {
            self.kept.extend_from_slice(&scratch.input[kept..end]);
            return Poll::Ready(Ok(()));
        }
        scratch.input[..kept].copy_from_slice(&self.kept);
        let input = &scratch.input[..end];
        let done = self.answer(cx, input, &mut scratch.replies, Unsent::copy)?;
        self.keep(&input[done..]);
        Poll::Ready(Ok(()))
    }

    /// Reads more of one frame that does not fit into the thread's buffer, and nothing behind it,
    /// straight to where it is kept.
    fn poll_read_long(
        &mut self,
        cx: &mut Context<'_>,
        needs: usize,
        replies: &mut Vec<u8>,
    ) -> Poll<Result<(), End>> {
        let missing = needs - self.kept.len();
        // Memory grows as bytes arrive: never more is reserved than is there already.
        let room = missing.min(self.kept.len().max(READ_LEN));
        self.kept.reserve_exact(room);
        let mut target = (&mut self.kept).limit(room);
        let read = ready!(poll_read_buf(Pin::new(&mut self.stream), cx, &mut target));
        let n = read.and_then(got).map_err(|error| self.failed(&error))?;
        if n < missing {
            return Poll::Ready(Ok(()));
        }
        let frame = mem::take(&mut self.kept);
        Poll::Ready(self.answer_owned(cx, frame, replies))
    }

    /// Answers the whole frames at the front of `input` and keeps the rest.
    fn answer_owned(
        &mut self,
        cx: &mut Context<'_>,
        mut input: Vec<u8>,
        gathered: &mut Vec<u8>,
    ) -> Result<(), End> {
        let mut owed = None;
        let done = self.answer(cx, &input, gathered, |replies, written| {
            // Where the whole input is its own reply, what may be many megabytes is not copied.
            if replies.as_ptr_range() == input.as_ptr_range() {
                owed = Some(written);
                Unsent::default()
            } else {
                Unsent::copy(replies, written)
            }
        });
        if let Some(written) = owed {
            self.unsent = Unsent::keep(input, written);
            return done.map(|_| ());
        }
        input.drain(..done?);
        input.shrink_to_fit();
        self.kept = input;
        Ok(())
    }

    /// Answers the whole frames at the front of `input` and writes the replies, as far as the
    /// socket takes them; `stash` keeps the rest of a batch. Returns how many bytes of the input
    /// are done with; whole frames are left behind them only if the socket took no more.
    fn answer(
        &mut self,
        cx: &mut Context<'_>,
        input: &[u8],
        gathered: &mut Vec<u8>,
        mut stash: impl FnMut(&[u8], usize) -> Unsent,
    ) -> Result<usize, End> {
        let mut done = 0;
        loop {
            gathered.clear();
            let batch = &input[done..];
            let greeted = self.progress.hello.is_some();
            let answered =
                answer(batch, self.max_frame, &mut self.progress, &mut self.responder, gathered);
            if !greeted && self.progress.hello.is_some() {
                self.log_hello();
            }
            done += answered.consumed;
            let replies =
                if gathered.is_empty() { &batch[..answered.echoed] } else { gathered.as_slice() };
            let (written, error) = self.write(cx, replies);
            if written < replies.len() {
                self.unsent = stash(replies, written);
            }
            if let Some(error) = error {
                return Err(self.failed(&error));
            }
            match answered.stop {
                Stop::Fault(reason, error) => {
                    self.fault = Some(Box::new((reason, error)));
                    return Ok(input.len());
                }
                Stop::Full if written == replies.len() => {}
                Stop::Full | Stop::Incomplete => return Ok(done),
            }
        }
    }

    /// Writes until all is out or the socket takes no more. Returns how many bytes it took.
    fn write(&mut self, cx: &mut Context<'_>, replies: &[u8]) -> (usize, Option<io::Error>) {
        let mut written = 0;
        while written < replies.len() {
            match Pin::new(&mut self.stream).poll_write(cx, &replies[written..]) {
                Poll::Ready(result) => match result.and_then(wrote) {
                    Ok(n) => written += n,
                    Err(error) => return (written, Some(error)),
                },
                Poll::Pending => break,
            }
        }
        (written, None)
    }

    /// Keeps what could not be answered yet; nothing of it costs nothing.
    fn keep(&mut self, rest: &[u8]) {
        self.kept.clear();
        if rest.is_empty() {
            self.kept = Vec::new();
        } else {
            self.kept.extend_from_slice(rest);
        }
    }

    fn say_goaway(&mut self) {
        let deadline = self.record.roster.deadline();
        let closes_in = deadline.map_or_else(Default::default, |deadline| {
            deadline.saturating_duration_since(tokio::time::Instant::now())
        });
        let text = Text::new("the server is shutting down");
        let mut frame = Vec::new();
        Control::GoAway { reason: Reason::ShuttingDown, closes_in, text }.encode(&mut frame);
        self.unsent = Unsent::keep(frame, 0);
        self.goaway_sent = true;
    }

    /// Tells the peer, if it takes it at once, that the drain deadline is over.
    fn say_cut_off(&mut self, cx: &mut Context<'_>) {
        if self.unsent.rest().is_none() && self.fault.is_none() {
            let text = Text::new("the server is shutting down and waits no longer");
            let last_seq = self.progress.frames;
            let mut frame = Vec::new();
            Control::Error { reason: Reason::ShuttingDown, last_seq, text }.encode(&mut frame);
            // The connection ends here whether it is taken or not.
            let _ = Pin::new(&mut self.stream).poll_write(cx, &frame);
        }
    }

    /// What an I/O error on the stream means for the connection. The end of the stream counts as one.
    fn failed(&mut self, error: &io::Error) -> End {
        match error.kind() {
            io::ErrorKind::UnexpectedEof if self.kept.is_empty() => End::Closed,
            io::ErrorKind::UnexpectedEof => End::Truncated,
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => End::Reset,
            io::ErrorKind::TimedOut => End::TimedOut,
            _ => {
                warn!(parent: self.record.span(), %error, "the socket failed");
                End::Io
            }
        }
    }

    #[cold]
    fn log_hello(&mut self) {
        if tracing::enabled!(Level::DEBUG) {
            let span = self.record.span();
            debug!(parent: span, client = self.progress.hello.as_deref(), "HELLO");
        }
    }

    /// Writes the record that every connection leaves in the log.
    fn close(&mut self, end: End) {
        self.record.end = end;
        let (frames, bytes, unanswered) =
            (self.progress.frames, self.progress.bytes, self.unanswered());
        let client = self.progress.hello.as_deref().filter(|name| !name.is_empty());
        let fragment = Some(self.kept.len()).filter(|&bytes| bytes > 0);
        let cause = self.fault.as_ref().map(|fault| fault.1.to_string());
        // As texts and not as displayed values: those would stand in the log without quotes.
        let (cause, ended) = (cause.as_deref(), end.to_string());
        let duration = self.record.accepted_at.elapsed();
        let span = self.record.span();
        macro_rules! record {
            ($log:ident) => {
                $log!(parent: span, end = ended, frames, bytes, unanswered, fragment, client, cause,
                      ?duration, "connection over")
            };
        }
        match end {
            End::Closed | End::Drained => record!(info),
            _ => record!(warn),
        }
    }
}

impl<S, R> Connection<S, R> {
    /// Frames that arrived whole and whose reply is not out.
    fn unanswered(&self) -> u64 {
        let panicked = matches!(self.fault.as_deref(), Some((_, FaultError::Panicked)));
        // Without a frame it was the greeting that failed.
        self.unsent.frames() + u64::from(panicked && self.progress.frames > 0)
    }
}

impl<S, R> Drop for Connection<S, R> {
    /// Enters the connection into the books, also when its task was dropped half-way.
    fn drop(&mut self) {
        let Record { roster, seat, end, .. } = &self.record;
        if let Some(seat) = *seat {
            roster.leave(seat);
        }
        let unanswered = self.unanswered();
        let Progress { frames, bytes, .. } = self.progress;
        roster.book(|books| {
            books.frames_received += frames;
            books.frames_answered += frames - unanswered;
            books.bytes_received += bytes;
            *books.ends.entry(*end).or_default() += 1;
        });
    }
}

impl Record {
    fn span(&mut self) -> &Span {
        self.span.get_or_insert_with(|| {
            // Of the highest level: a filter that lets a line through must not hide whose it is.
            Box::new(error_span!("connection", id = self.id, peer = %self.peer))
        })
    }
}

/// A read of no bytes is the end of the stream.
fn got(n: usize) -> io::Result<usize> {
    if n == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(n) }
}

/// A write of no bytes would be tried for ever.
fn wrote(n: usize) -> io::Result<usize> {
    if n == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(n) }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;
    use crate::Negotiated;

    /// Its task then fits into 384 bytes, a multiple of the 128 to which Tokio aligns tasks. More
    /// would cost 128 bytes for each idle connection.
    #[test]
    fn the_future_of_a_connection_stays_small() {
        fn future_len<F: Future>(_: impl FnOnce(Connection<TcpStream, Negotiated>) -> F) -> usize {
            size_of::<F>()
        }
        assert!(future_len(Connection::run) <= 272, "{} bytes", future_len(Connection::run));
    }
}
