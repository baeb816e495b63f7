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

mod orders;
mod record;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::mem;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use bytes::BufMut;
use tokio::io::ReadBuf;
use tokio::task::yield_now;
use tokio_util::io::poll_read_buf;
use tracing::{Level, Span, debug, warn};
use volley_proto::{MaxFrame, Reason};

use crate::answer::{FaultError, Progress, Stop};
use crate::framing::Cut;
use crate::linger::Linger;
use crate::roster::{Membership, Roster};
use crate::scratch::{self, READ_LEN, Scratch};
use crate::seat::{Doing, Seat};
use crate::service_time::{self, Started};
use crate::throttle::Throttle;
use crate::transport::Transport;
use crate::unsent::Unsent;
use crate::{End, Responder};

/// What a connection may do before the others on its thread get their turn.
const STEPS_PER_TURN: usize = 4;

/// How much it may have read by then: one read can bring in as much.
const BYTES_PER_TURN: u64 = READ_LEN as u64;

/// How much of a frame that does not fit into the thread's buffer is read through that all the
/// same: who has sent a few bytes of it gets no room for more. Half of it leaves each read as much.
const LONG_FROM: usize = READ_LEN / 2;

/// Serves one peer, as the body of one task.
#[derive(Debug)]
pub(crate) struct Connection<S, R, F: Cut> {
    stream: S,
    responder: R,
    max_frame: MaxFrame,
    /// Received and not answered: an incomplete frame, or, while replies wait in `unsent`, what
    /// came behind the frames that they answer.
    kept: Vec<u8>,
    unsent: Unsent,
    /// The fault for which ERROR is being sent.
    fault: Option<Box<FaultError>>,
    throttle: Option<Box<Throttle>>,
    /// It waits for its rate, and for nothing else.
    is_throttled: bool,
    goaway_sent: bool,
    /// Closed for a shutdown while its peer was sending: what the peer sends next must not destroy
    /// the replies that are still on their way.
    was_busy: bool,
    /// How it ended. A task that is dropped half-way was cut off.
    end: End,
    member: Membership,
    /// The close, once it has begun, where it takes time.
    linger: Option<Box<Linger>>,
    is_seated: bool,
    /// Made when there is first something to say: while it is open, a subscriber keeps some 240
    /// bytes for it, a quarter of what an idle connection takes.
    span: Option<Box<Span>>,
    framing: PhantomData<F>,
}

impl<S: Transport, R: Responder, F: Cut> Connection<S, R, F> {
    /// Counts as accepted from here on.
    pub(crate) fn new(stream: S, responder: R, roster: Arc<Roster>, seat: Arc<Seat>) -> Self {
        let config = roster.config();
        Self {
            stream,
            responder,
            max_frame: config.max_frame,
            kept: Vec::new(),
            unsent: Unsent::default(),
            fault: None,
            throttle: Throttle::adopt(None, &config),
            is_throttled: false,
            goaway_sent: false,
            was_busy: false,
            end: End::CutOff,
            member: Membership::begin(roster, seat),
            linger: None,
            is_seated: false,
            span: None,
            framing: PhantomData,
        }
    }

    /// From here on it is woken for orders.
    fn sit_down(&mut self, cx: &Context<'_>) {
        if !self.is_seated {
            self.is_seated = true;
            self.seat().sit(cx.waker());
            if tracing::enabled!(Level::DEBUG) {
                debug!(parent: self.span(), "accepted");
            }
        }
    }

    /// Answers every frame until the peer, the protocol, a deadline or the roster ends it. Returns
    /// how.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        match ready!(self.poll_serve(cx)) {
            // What has arrived counts as received, also if the runtime does not know it yet.
            Err(End::Drained) if self.stream.has_input() => end_turn(cx),
            Err(end) => Poll::Ready(end),
            Ok(never) => match never {},
        }
    }

    fn poll_serve(&mut self, cx: &mut Context<'_>) -> Poll<Result<Infallible, End>> {
        let polled = scratch::lend(|scratch| {
            let turn_ends = self.seat().read() + BYTES_PER_TURN;
            for _ in 0..STEPS_PER_TURN {
                ready!(self.poll_step(cx, scratch))?;
                if self.seat().read() >= turn_ends {
                    break;
                }
            }
            end_turn(cx)
        });
        if polled.is_pending() {
            self.show();
        }
        polled
    }

    /// Does the one thing that is due: obey, write, answer, or read and answer.
    fn poll_step(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<Result<(), End>> {
        let orders = self.seat().orders();
        if !orders.are_none() {
            self.obey(orders, cx)?;
        }
        if let Some(unsent) = self.unsent.rest() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, unsent));
            let n = written.and_then(wrote).map_err(|error| self.failed(&error))?;
            self.wrote_unsent(n);
            return Poll::Ready(Ok(()));
        }
        if let Some(fault) = &self.fault {
            return Poll::Ready(Err(End::Error(fault.reason())));
        }
        if orders.to_go() && !self.goaway_sent && self.is_greeted() {
            self.say_goaway(orders);
            return Poll::Ready(Ok(()));
        }
        if let Some(throttle) = &mut self.throttle {
            let is_throttled = throttle.poll_ready(cx).is_pending();
            if is_throttled && !self.is_throttled {
                self.member.roster.throttled.fetch_add(1, Ordering::Relaxed);
            }
            self.is_throttled = is_throttled;
            if is_throttled {
                return Poll::Pending;
            }
        }
        let Some(needs) = F::needs(&self.kept, self.max_frame) else {
            let kept = mem::take(&mut self.kept);
            return Poll::Ready(self.answer_owned(cx, kept, &mut scratch.replies, None));
        };
        let read = if needs > READ_LEN && self.kept.len() >= LONG_FROM {
            self.poll_read_long(cx, needs, &mut scratch.replies)
        } else {
            self.poll_read_batch(cx, needs, scratch)
        };
        if orders.to_go() {
            if read.is_pending() && self.is_idle() {
                return self.leave_idle(orders);
            }
            self.was_busy |= matches!(read, Poll::Ready(Ok(())));
        }
        read
    }

    fn is_greeted(&self) -> bool {
        self.seat().hello.get().is_some()
    }

    /// Ends the connection, with an ERROR behind the replies so far if the peer can read one.
    fn fail(&mut self, fault: FaultError) {
        if F::HAS_CONTROL {
            let mut frame = Vec::new();
            fault.encode(self.seat().frames(), &mut frame);
            self.unsent = Unsent::keep(frame, 0, None);
        }
        self.fault = Some(Box::new(fault));
    }

    /// How long the frame is that has begun to arrive, with its head; 0 if none has.
    fn needs(&self) -> u64 {
        match F::needs(&self.kept, self.max_frame) {
            Some(needs) if !self.kept.is_empty() => needs as u64,
            _ => 0,
        }
    }

    /// Shows what the connection waits for, and counts what it keeps meanwhile.
    fn show(&self) {
        let seat = self.seat();
        if let Some(unsent) = self.unsent.rest() {
            seat.show(Doing::Writing(unsent.len() as u64));
        } else if self.is_throttled {
            seat.show(Doing::Throttled);
        } else if self.kept.is_empty() {
            seat.show(Doing::Waiting);
        } else {
            seat.show(Doing::Receiving(self.needs()));
        }
        self.member
            .roster
            .buffers
            .recount(&seat.buffered, self.kept.capacity() + self.unsent.capacity());
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
        let room = self.readable(READ_LEN - kept);
        // Behind the room for what is kept, which is copied there only if it makes a whole frame.
        let mut target = ReadBuf::new(&mut scratch.input[kept..kept + room]);
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut target));
        let n = target.filled().len();
        self.count_read(read.and_then(|()| got(n)))?;
        let started = service_time::start();
        let end = kept + n;
        if end < needs {
            if self.has_room(n) {
                self.kept.extend_from_slice(&scratch.input[kept..end]);
            }
            return Poll::Ready(Ok(()));
        }
        scratch.input[..kept].copy_from_slice(&self.kept);
        let input = &scratch.input[..end];
        let done = self.answer(cx, input, &mut scratch.replies, started, Unsent::copy::<F>)?;
        self.keep(&input[done..]);
        Poll::Ready(Ok(()))
    }

    /// Reads more of one frame that does not fit into the thread's buffer, and nothing behind it,
    /// straight to where it is kept. Some of it must be there.
    fn poll_read_long(
        &mut self,
        cx: &mut Context<'_>,
        needs: usize,
        replies: &mut Vec<u8>,
    ) -> Poll<Result<(), End>> {
        let missing = needs - self.kept.len();
        // Memory grows as bytes arrive: never more is reserved than is there already.
        let room = self.readable(missing.min(self.kept.len()));
        let spare = self.kept.capacity() - self.kept.len();
        if spare < room {
            // What is spare has been counted.
            if !self.has_room(room - spare) {
                return Poll::Ready(Ok(()));
            }
            self.kept.reserve_exact(room);
        }
        let mut target = (&mut self.kept).limit(room);
        let read = ready!(poll_read_buf(Pin::new(&mut self.stream), cx, &mut target));
        let n = self.count_read(read.and_then(got))?;
        if n < missing {
            return Poll::Ready(Ok(()));
        }
        let started = service_time::start();
        let frame = mem::take(&mut self.kept);
        Poll::Ready(self.answer_owned(cx, frame, replies, started))
    }

    /// How many of `bytes` may be read at once.
    fn readable(&self, bytes: usize) -> usize {
        self.throttle.as_ref().map_or(bytes, |throttle| throttle.bytes().min(bytes))
    }

    fn count_read(&mut self, read: io::Result<usize>) -> Result<usize, End> {
        let n = read.map_err(|error| self.failed(&error))?;
        self.seat().count_read(n);
        if let Some(throttle) = &mut self.throttle {
            throttle.spend_bytes(n);
        }
        Ok(n)
    }

    /// Whether so many bytes more may be kept. If not, the connection ends for it: waiting for room
    /// would be waiting for others who wait as well.
    fn has_room(&mut self, more: usize) -> bool {
        let buffers = &self.member.roster.buffers;
        let has_room = buffers.has_room(more);
        if !has_room {
            let fault = FaultError::OutOfMemory { held: buffers.held(), max: buffers.max() };
            self.kept = Vec::new();
            self.fail(fault);
        }
        has_room
    }

    /// Answers the whole frames at the front of `input` and keeps the rest.
    fn answer_owned(
        &mut self,
        cx: &mut Context<'_>,
        mut input: Vec<u8>,
        gathered: &mut Vec<u8>,
        started: Option<Started>,
    ) -> Result<(), End> {
        let mut owed = None;
        let done = self.answer(cx, &input, gathered, started, |replies, written, started| {
            // Where the whole input is its own reply, what may be many megabytes is not copied.
            if replies.as_ptr_range() == input.as_ptr_range() {
                owed = Some(written);
                Unsent::default()
            } else {
                Unsent::copy::<F>(replies, written, started)
            }
        });
        if let Some(written) = owed {
            self.unsent = Unsent::keep(input, written, started);
            self.show_frames();
            return done.map(|_| ());
        }
        input.drain(..done?);
        input.shrink_to_fit();
        self.kept = input;
        Ok(())
    }

    /// Answers the whole frames at the front of `input` and writes the replies, as far as the
    /// socket takes them; `stash` keeps the rest of a batch. Returns how many bytes of the input
    /// are done with; whole frames are left behind them only if the socket took no more, or if its
    /// rate allows the connection no more.
    fn answer(
        &mut self,
        cx: &mut Context<'_>,
        input: &[u8],
        gathered: &mut Vec<u8>,
        started: Option<Started>,
        mut stash: impl FnMut(&[u8], usize, Option<Started>) -> Unsent,
    ) -> Result<usize, End> {
        let input = match &self.throttle {
            Some(throttle) => &input[..throttle.front::<F>(input)],
            None => input,
        };
        let mut done = 0;
        loop {
            gathered.clear();
            let batch = &input[done..];
            let mut progress = self.progress();
            let answered =
                F::answer(batch, self.max_frame, &mut progress, &mut self.responder, gathered);
            done += answered.consumed;
            let replies =
                if gathered.is_empty() { &batch[..answered.echoed] } else { gathered.as_slice() };
            let (written, error) = self.write(cx, replies);
            if written < replies.len() {
                self.unsent = stash(replies, written, started);
            }
            self.account(progress);
            if let Some(error) = error {
                return Err(self.failed(&error));
            }
            match answered.stop {
                Stop::Fault(fault) => {
                    self.fault = Some(Box::new(fault));
                    return Ok(input.len());
                }
                Stop::Full if written == replies.len() => continue,
                Stop::Full | Stop::Incomplete => {}
            }
            if written == replies.len()
                && let Some(started) = started
            {
                self.member.roster.service_time.record(started);
            }
            return Ok(done);
        }
    }

    /// What has been received so far.
    fn progress(&self) -> Progress {
        let seat = self.seat();
        let (frames, bytes) = (seat.frames(), seat.payload_bytes());
        Progress { frames, bytes, greeted: self.is_greeted(), hello: None }
    }

    /// Takes note of what has been received, and of how much of it is answered.
    fn account(&mut self, progress: Progress) {
        let Progress { frames, bytes, hello, .. } = progress;
        if let Some(throttle) = &mut self.throttle {
            throttle.spend_frames(frames - self.member.seat.frames());
        }
        self.member.seat.show_frames(frames, bytes, frames - self.unsent.frames::<F>());
        if let Some(hello) = hello {
            // The first and only one: a second HELLO is a fault.
            let _ = self.seat().hello.set(hello);
            self.log_hello();
        }
    }

    /// Shows how many frames are answered after the unsent replies have changed.
    fn show_frames(&self) {
        let seat = self.seat();
        let frames = seat.frames();
        seat.show_frames(frames, seat.payload_bytes(), frames - self.unsent.frames::<F>());
    }

    /// Counts what has been written of the replies that had to wait.
    fn wrote_unsent(&mut self, n: usize) {
        self.seat().count_written(n);
        let started = self.unsent.advance(n);
        if self.unsent.rest().is_none() {
            self.show_frames();
        }
        if let Some(started) = started {
            self.member.roster.service_time.record(started);
        }
    }

    /// Writes until all is out or the socket takes no more. Returns how many bytes it took.
    fn write(&mut self, cx: &mut Context<'_>, replies: &[u8]) -> (usize, Option<io::Error>) {
        let (mut written, mut failed) = (0, None);
        while written < replies.len() && failed.is_none() {
            match Pin::new(&mut self.stream).poll_write(cx, &replies[written..]) {
                Poll::Ready(result) => match result.and_then(wrote) {
                    Ok(n) => written += n,
                    Err(error) => failed = Some(error),
                },
                Poll::Pending => break,
            }
        }
        self.seat().count_written(written);
        (written, failed)
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

    /// What an I/O error on the stream means for the connection. The end of the stream counts as
    /// one.
    fn failed(&mut self, error: &io::Error) -> End {
        match error.kind() {
            io::ErrorKind::UnexpectedEof if self.kept.is_empty() => End::Closed,
            io::ErrorKind::UnexpectedEof => End::Truncated,
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => End::Reset,
            io::ErrorKind::TimedOut => End::TimedOut,
            // No socket fails like this.
            io::ErrorKind::InvalidData => {
                self.fault = Some(Box::new(FaultError::BrokenTls(error.to_string())));
                End::Error(Reason::Protocol)
            }
            _ => {
                warn!(parent: self.span(), %error, "the socket failed");
                End::Io
            }
        }
    }

    /// What keeps a reset from destroying what the peer has still to read.
    fn lingers(&self) -> bool {
        match self.end {
            End::Error(_) => self.unsent.rest().is_none(),
            End::Drained => self.was_busy,
            _ => false,
        }
    }
}

/// Nothing in it is ever pinned.
impl<S, R, F: Cut> Unpin for Connection<S, R, F> {}

/// Serves the peer to the end and leaves the record of it. Written by hand: an `async` block would
/// hold 48 bytes more, for each idle connection.
impl<S: Transport, R: Responder, F: Cut> Future for Connection<S, R, F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.sit_down(cx);
        if this.linger.is_none() {
            this.end = ready!(this.poll_end(cx));
            this.seat().show(Doing::Closing);
            if this.lingers() {
                this.linger = Some(Box::new(Linger::new(this.member.roster.longest_linger())));
            }
        }
        match &mut this.linger {
            Some(linger) => ready!(linger.poll(&mut this.stream, cx)),
            None => this.stream.say_end(cx),
        }
        this.record();
        Poll::Ready(())
    }
}

impl<S, R, F: Cut> Connection<S, R, F> {
    #[inline]
    fn seat(&self) -> &Seat {
        &self.member.seat
    }

    /// Frames that arrived whole and whose reply is not out.
    fn unanswered(&self) -> u64 {
        let panicked = matches!(self.fault.as_deref(), Some(FaultError::Panicked));
        // Without a frame it was the greeting that failed.
        self.unsent.frames::<F>() + u64::from(panicked && self.seat().frames() > 0)
    }
}

impl<S, R, F: Cut> Drop for Connection<S, R, F> {
    /// Enters the connection into the books, also when its task was dropped half-way.
    fn drop(&mut self) {
        self.member.roster.buffers.recount(&self.seat().buffered, 0);
        self.member.end(self.end, self.seat().frames() - self.unanswered());
    }
}

/// Gives the others their turn, then goes on. The runtime looks at the sockets before it runs a
/// task that has yielded; before one that has woken itself it does only after
/// [`event_interval`](tokio::runtime::Builder::event_interval) tasks, and one connection that
/// always has something to do would hold up all the others for as many turns.
fn end_turn<T>(cx: &mut Context<'_>) -> Poll<T> {
    // It is never ready when polled for the first time.
    let _ = pin!(yield_now()).poll(cx);
    Poll::Pending
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
    use crate::{Framed, Negotiated};

    /// Its task then fits into 256 bytes, a multiple of the 128 to which Tokio aligns tasks. More
    /// would cost 128 bytes for each idle connection.
    #[test]
    fn the_future_of_a_connection_stays_small() {
        let len = size_of::<Connection<TcpStream, Negotiated, Framed>>();
        assert!(len <= 144, "{len} bytes");
    }
}
