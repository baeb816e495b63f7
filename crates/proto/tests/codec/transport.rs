//! The transport, and what the tests ask of it.

use super::*;

/// What one read finds.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// These bytes.
    Packet(&'static [u8]),
    /// The same, not known when the test was written.
    Dealt(Vec<u8>),
    /// Nothing yet.
    Wait,
    /// A connection that was reset.
    Reset,
}

/// What one write finds.
#[derive(Debug)]
pub(crate) enum Room {
    /// None yet.
    None,
    /// Room for so many bytes.
    Bytes(usize),
}

/// A transport that deals out `incoming`, then ends, and takes what `room` says, then all.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    pub(crate) incoming: VecDeque<Incoming>,
    pub(crate) room: VecDeque<Room>,
    /// What was written, one entry a write.
    pub(crate) packets: Vec<Vec<u8>>,
    pub(crate) flushes: usize,
}

impl Wire {
    pub(crate) fn giving(incoming: impl IntoIterator<Item = Incoming>) -> Self {
        Self { incoming: incoming.into_iter().collect(), ..Self::default() }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.incoming.pop_front() {
            Some(Incoming::Packet(bytes)) => buf.put_slice(bytes),
            Some(Incoming::Dealt(bytes)) => buf.put_slice(&bytes),
            Some(Incoming::Wait) => return Poll::Pending,
            Some(Incoming::Reset) => {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            None => {}
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let room = match self.room.pop_front() {
            Some(Room::None) => return Poll::Pending,
            Some(Room::Bytes(room)) => room.min(bytes.len()),
            None => bytes.len(),
        };
        self.packets.push(bytes[..room].to_vec());
        Poll::Ready(Ok(room))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flushes += 1;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

pub(crate) type Reader = Spawn<FramedRead<Wire, FrameCodec>>;
pub(crate) type Writer = Spawn<FramedWrite<Wire, FrameCodec>>;

pub(crate) fn reader<const N: usize>(incoming: [Incoming; N]) -> Reader {
    task::spawn(FramedRead::new(Wire::giving(incoming), FrameCodec::default()))
}

pub(crate) fn writer<const N: usize>(room: [Room; N]) -> Writer {
    let wire = Wire { room: room.into(), ..Wire::default() };
    task::spawn(FramedWrite::new(wire, FrameCodec::default()))
}

pub(crate) fn deal_with_a_wait(chunk: &[u8]) -> [Incoming; 2] {
    [Incoming::Dealt(chunk.to_vec()), Wait]
}

#[track_caller]
pub(crate) fn next(frames: &mut Reader) -> Frame {
    match assert_ready!(frames.poll_next()) {
        Some(Ok(frame)) => frame,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
pub(crate) fn assert_data(frames: &mut Reader, payload: &'static str) {
    assert_eq!(next(frames), Frame::Data(Bytes::from(payload)));
}

#[track_caller]
pub(crate) fn assert_fails(frames: &mut Reader, expected: FrameError) {
    match assert_ready!(frames.poll_next()) {
        Some(Err(error)) => assert_eq!(frame_error(error), expected),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
pub(crate) fn assert_end(frames: &mut Reader) {
    assert!(assert_ready!(frames.poll_next()).is_none());
}

pub(crate) fn send(sink: &mut Writer, payload: &'static str) -> Result<(), CodecError> {
    sink.enter(|cx, mut sink| {
        assert_ready_ok!(Sink::<Bytes>::poll_ready(sink.as_mut(), cx));
        sink.start_send(Bytes::from(payload))
    })
}

pub(crate) fn flush(sink: &mut Writer) -> Poll<Result<(), CodecError>> {
    sink.enter(|cx, sink| Sink::<Bytes>::poll_flush(sink, cx))
}

#[track_caller]
pub(crate) fn frame_error(error: CodecError) -> FrameError {
    match error {
        CodecError::Frame(error) => error,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn hello(name: &str) -> Control {
    Control::Hello { wanted: Some(ReplyKind::Ack), name: Text::new(name) }
}

pub(crate) fn hello_without_wish() -> Control {
    Control::Hello { wanted: None, name: Text::default() }
}

#[expect(clippy::unwrap_used, reason = "called by tests only")]
pub(crate) fn limit(bytes: u64) -> MaxFrame {
    MaxFrame::new(bytes).unwrap()
}
