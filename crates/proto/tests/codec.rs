//! The codec in `FramedRead` and `FramedWrite`, over a transport that deals out its bytes as told.
//!
//! The cases up to `smaller_frame_len_not_adjusted` carry the names of tokio-util's tests of
//! `LengthDelimitedCodec`, so that the two lists can be held against each other.
//
// Left out, since the head is always four big-endian bytes that count the payload alone:
// - other byte orders: read_single_frame_one_packet_little_endian,
//   read_single_frame_one_packet_native_endian, write_single_frame_little_endian
// - other widths: read_one_byte_length_field, write_single_frame_with_short_length_field,
//   max_allowed_length_field
// - other places and adjustments: read_header_offset,
//   read_single_multi_frame_one_packet_skip_none_adjusted, read_single_frame_length_adjusted,
//   read_single_multi_frame_one_packet_length_includes_head, write_single_frame_length_adjusted,
//   neg_adjusted_frame_does_not_fit, pos_adjusted_frame_does_not_fit
// - an encoder for slices, which this codec does not have: write_single_frame_from_slice

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_util::Sink;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_test::task::{self, Spawn};
use tokio_test::{assert_pending, assert_ready, assert_ready_ok};
use tokio_util::codec::{Decoder, Encoder, Framed, FramedRead, FramedWrite, LengthDelimitedCodec};
use volley_proto::{
    CodecError, Control, ControlError, Frame, FrameCodec, FrameError, MaxFrame, MaxFrameError,
    Reason, ReplyKind, Text,
};

use Incoming::{Packet, Reset, Wait};

// Reading.

#[test]
fn read_empty_io_yields_nothing() {
    let mut frames = reader([]);
    assert_end(&mut frames);
}

#[test]
fn read_single_frame_one_packet() {
    let mut frames = reader([Packet(b"\0\0\0\x06volley")]);
    assert_data(&mut frames, "volley");
    assert_end(&mut frames);
}

#[test]
fn read_single_multi_frame_one_packet() {
    let mut frames = reader([Packet(b"\0\0\0\x06volley\0\0\0\0\0\0\0\x02ok")]);
    assert_data(&mut frames, "volley");
    assert_data(&mut frames, "");
    assert_data(&mut frames, "ok");
    assert_end(&mut frames);
}

#[test]
fn read_single_frame_multi_packet() {
    let mut frames = reader([Packet(b"\0"), Packet(b"\0\0\x06v"), Packet(b"oll"), Packet(b"ey")]);
    assert_data(&mut frames, "volley");
    assert_end(&mut frames);
}

#[test]
fn read_multi_frame_multi_packet() {
    let mut frames = reader([
        Packet(b"\0\0\0"),
        Packet(b"\x06vol"),
        Packet(b"ley\0\0"),
        Packet(b"\0\x02o"),
        Packet(b"k\0\0\0\x01!"),
    ]);
    assert_data(&mut frames, "volley");
    assert_data(&mut frames, "ok");
    assert_data(&mut frames, "!");
    assert_end(&mut frames);
}

#[test]
fn read_single_frame_multi_packet_wait() {
    let mut frames =
        reader([Packet(b"\0\0"), Wait, Packet(b"\0\x06vol"), Wait, Packet(b"ley"), Wait]);
    assert_pending!(frames.poll_next());
    assert_pending!(frames.poll_next());
    assert_data(&mut frames, "volley");
    assert_pending!(frames.poll_next());
    assert_end(&mut frames);
}

#[test]
fn read_multi_frame_multi_packet_wait() {
    let mut frames = reader([
        Wait,
        Packet(b"\0\0\0\x06vol"),
        Wait,
        Packet(b"ley\0\0"),
        Wait,
        Packet(b"\0\x02ok\0\0\0\x01!"),
        Wait,
    ]);
    assert_pending!(frames.poll_next());
    assert_pending!(frames.poll_next());
    assert_data(&mut frames, "volley");
    assert_pending!(frames.poll_next());
    assert_data(&mut frames, "ok");
    assert_data(&mut frames, "!");
    assert_pending!(frames.poll_next());
    assert_end(&mut frames);
}

#[test]
fn read_incomplete_head() {
    let mut frames = reader([Packet(b"\0\0\0")]);
    assert_fails(&mut frames, FrameError::Truncated { have: 3, needs: 4 });
    assert_end(&mut frames);
}

#[test]
fn read_incomplete_head_multi() {
    let mut frames = reader([Wait, Packet(b"\0"), Wait, Packet(b"\0"), Wait]);
    assert_pending!(frames.poll_next());
    assert_pending!(frames.poll_next());
    assert_pending!(frames.poll_next());
    assert_fails(&mut frames, FrameError::Truncated { have: 2, needs: 4 });
    assert_end(&mut frames);
}

#[test]
fn read_incomplete_payload() {
    let mut frames = reader([Packet(b"\0\0\0\x06vo"), Wait, Packet(b"lle"), Wait]);
    assert_pending!(frames.poll_next());
    assert_pending!(frames.poll_next());
    assert_fails(&mut frames, FrameError::Truncated { have: 9, needs: 10 });
    assert_end(&mut frames);
}

#[test]
fn read_max_frame_len() {
    let mut frames = task::spawn(FramedRead::new(
        Wire::giving([Packet(b"\0\0\0\x05volle\0\0\0\x06volley")]),
        FrameCodec::new(limit(5)),
    ));
    assert_data(&mut frames, "volle");
    assert_fails(&mut frames, FrameError::TooLarge { len: 6, max: 5 });
    assert_end(&mut frames);
}

#[test]
fn read_update_max_frame_len_at_rest() {
    let mut frames = reader([Packet(b"\0\0\0\x06volley"), Packet(b"\0\0\0\x06volley")]);
    assert_data(&mut frames, "volley");
    frames.decoder_mut().set_max_frame(limit(5));
    assert_eq!(frames.decoder().max_frame(), limit(5));
    assert_fails(&mut frames, FrameError::TooLarge { len: 6, max: 5 });
}

#[test]
fn read_update_max_frame_len_in_flight() {
    let mut frames =
        reader([Packet(b"\0\0\0\x06vol"), Wait, Packet(b"l"), Wait, Packet(b"ey\0\0\0\x06volley")]);
    assert_pending!(frames.poll_next());
    frames.decoder_mut().set_max_frame(limit(5));
    assert_pending!(frames.poll_next());
    assert_data(&mut frames, "volley");
    assert_fails(&mut frames, FrameError::TooLarge { len: 6, max: 5 });
}

// Writing.

#[test]
fn write_nothing_yields_nothing() {
    let mut sink = writer([]);
    assert_ready_ok!(flush(&mut sink));
    assert_eq!(sink.get_ref().packets, Vec::<Vec<u8>>::new());
}

#[test]
fn write_single_frame_one_packet() {
    let mut sink = writer([]);
    send(&mut sink, "volley").unwrap();
    assert_ready_ok!(flush(&mut sink));
    assert_eq!(sink.get_ref().packets, [b"\0\0\0\x06volley"]);
    assert_eq!(sink.get_ref().flushes, 1);
}

#[test]
fn write_single_multi_frame_one_packet() {
    let mut sink = writer([]);
    send(&mut sink, "volley").unwrap();
    send(&mut sink, "").unwrap();
    send(&mut sink, "ok").unwrap();
    assert_ready_ok!(flush(&mut sink));
    assert_eq!(sink.get_ref().packets, [b"\0\0\0\x06volley\0\0\0\0\0\0\0\x02ok"]);
    assert_eq!(sink.get_ref().flushes, 1);
}

#[test]
fn write_single_multi_frame_multi_packet() {
    let mut sink = writer([]);
    for payload in ["volley", "", "ok"] {
        send(&mut sink, payload).unwrap();
        assert_ready_ok!(flush(&mut sink));
    }
    let packets = [&b"\0\0\0\x06volley"[..], b"\0\0\0\0", b"\0\0\0\x02ok"];
    assert_eq!(sink.get_ref().packets, packets);
    assert_eq!(sink.get_ref().flushes, 3);
}

#[test]
fn write_single_frame_would_block() {
    let mut sink = writer([Room::None, Room::Bytes(3), Room::None, Room::Bytes(2)]);
    send(&mut sink, "volley").unwrap();
    assert_pending!(flush(&mut sink));
    assert_pending!(flush(&mut sink));
    assert_ready_ok!(flush(&mut sink));
    assert_eq!(sink.get_ref().packets, [&b"\0\0\0"[..], b"\x06v", b"olley"]);
}

#[test]
fn write_max_frame_len() {
    let mut sink = writer([]);
    sink.encoder_mut().set_max_frame(limit(5));
    send(&mut sink, "volle").unwrap();
    let error = frame_error(send(&mut sink, "volley").unwrap_err());
    assert_eq!(error, FrameError::TooLarge { len: 6, max: 5 });
    assert_ready_ok!(flush(&mut sink));
    assert_eq!(sink.get_ref().packets, [b"\0\0\0\x05volle"]);
}

#[test]
fn write_update_max_frame_len_at_rest() {
    let mut sink = writer([]);
    send(&mut sink, "volley").unwrap();
    assert_ready_ok!(flush(&mut sink));
    sink.encoder_mut().set_max_frame(limit(5));
    let error = frame_error(send(&mut sink, "volley").unwrap_err());
    assert_eq!(error, FrameError::TooLarge { len: 6, max: 5 });
    assert_eq!(sink.get_ref().packets, [b"\0\0\0\x06volley"]);
}

#[test]
fn write_update_max_frame_len_in_flight() {
    let mut sink = writer([Room::Bytes(5), Room::None]);
    send(&mut sink, "volley").unwrap();
    assert_pending!(flush(&mut sink));
    sink.encoder_mut().set_max_frame(limit(5));
    assert_ready_ok!(flush(&mut sink));
    let error = frame_error(send(&mut sink, "volley").unwrap_err());
    assert_eq!(error, FrameError::TooLarge { len: 6, max: 5 });
    assert_eq!(sink.get_ref().packets, [&b"\0\0\0\x06v"[..], b"olley"]);
}

#[test]
fn write_zero() {
    let mut sink = writer([Room::Bytes(0)]);
    send(&mut sink, "volley").unwrap();
    match assert_ready!(flush(&mut sink)) {
        Err(CodecError::Io(error)) => assert_eq!(error.kind(), io::ErrorKind::WriteZero),
        other => panic!("{other:?}"),
    }
}

#[test]
fn encode_overflow() {
    let mut out = BytesMut::with_capacity(64);
    out.resize(out.capacity(), b'.');
    let before = out.clone();
    FrameCodec::default().encode(Bytes::from("volley"), &mut out).unwrap();
    assert_eq!(out.split_to(before.len()), before);
    assert_eq!(out[..], b"\0\0\0\x06volley"[..]);
    FrameCodec::default().encode(hello(""), &mut out).unwrap();
    assert_eq!(out.len(), 26);
}

// The limit.

#[test]
fn frame_does_not_fit() {
    let too_long = u64::from(MaxFrame::CEILING.get()) + 1;
    assert_eq!(MaxFrame::new(too_long), Err(MaxFrameError { bytes: too_long }));
}

#[test]
fn runtime_max_frame_len_respects_length_field() {
    let mut codec = FrameCodec::default();
    for max in [0_u32, 1, 255] {
        codec.set_max_frame(limit(max.into()));
        let mut out = BytesMut::from("before");
        let payload = Bytes::from(vec![b'x'; max as usize + 1]);
        let error = frame_error(codec.encode(payload.clone(), &mut out).unwrap_err());
        assert_eq!(error, FrameError::TooLarge { len: max + 1, max });
        assert_eq!(out, "before");

        codec.encode(payload.slice(1..), &mut out).unwrap();
        assert_eq!(out.len(), 6 + 4 + max as usize);
    }
}

#[test]
fn max_allowed_frame_fits() {
    let mut codec = FrameCodec::new(MaxFrame::CEILING);
    let payload = Bytes::from(vec![7; 64 << 20]);
    let mut bytes = BytesMut::new();
    codec.encode(payload.clone(), &mut bytes).unwrap();
    assert_eq!(bytes[..4], [4, 0, 0, 0]);
    // Not assert_eq: nobody wants 64 MiB of digits in a log.
    assert!(codec.decode(&mut bytes).unwrap() == Some(Frame::Data(payload)));
}

#[test]
fn smaller_frame_len_not_adjusted() {
    assert_eq!(FrameCodec::new(limit(10)).max_frame(), limit(10));
    assert_eq!(FrameCodec::default().max_frame(), MaxFrame::DEFAULT);
}

// What LengthDelimitedCodec does not have.

#[test]
fn carries_control_frames_between_data_frames() {
    let frames = [
        Frame::Control(hello("probe")),
        Frame::Control(Control::Welcome {
            granted: ReplyKind::Echo,
            max_frame: MaxFrame::DEFAULT,
            text: Text::default(),
        }),
        Frame::Data(Bytes::from("volley")),
        Frame::Control(Control::Error {
            reason: Reason::Protocol,
            last_seq: 1,
            text: Text::new("a second HELLO"),
        }),
    ];
    // A limit for data is none for control frames.
    let codec = FrameCodec::new(limit(6));
    let mut framed = task::spawn(Framed::new(Wire::giving([]), codec));
    for frame in frames.clone() {
        framed.enter(|cx, mut sink| {
            assert_ready_ok!(Sink::<Frame>::poll_ready(sink.as_mut(), cx));
            sink.as_mut().start_send(frame).unwrap();
            assert_ready_ok!(Sink::<Frame>::poll_flush(sink, cx));
        });
    }

    let loopback = framed.get_mut();
    let packets = std::mem::take(&mut loopback.packets);
    assert_eq!(packets.len(), frames.len());
    loopback.incoming = packets.concat().chunks(7).flat_map(deal_with_a_wait).collect();
    let mut received = Vec::new();
    while received.len() < frames.len() {
        match framed.poll_next() {
            Poll::Ready(frame) => received.push(frame.unwrap().unwrap()),
            Poll::Pending => {}
        }
    }
    assert_eq!(received, frames);
}

#[test]
fn delivers_the_frames_before_a_fault_and_then_the_fault() {
    let mut frames = reader([Packet(b"\0\0\0\x02ok\x80\0\0\x0c\x09\0\0\0\0\0\0\0\0\0\0\0")]);
    assert_data(&mut frames, "ok");
    assert_fails(&mut frames, FrameError::Control(ControlError::Type { kind: 9 }));
    assert_end(&mut frames);

    let mut frames = reader([Packet(b"\0\0\0\x02okGET / HTTP/1.1\r\n")]);
    assert_data(&mut frames, "ok");
    let error = assert_ready!(frames.poll_next()).unwrap().unwrap_err();
    assert_eq!(error.to_string(), "this looks like HTTP, not a framed client");
}

#[test]
fn says_how_much_of_a_control_frame_came() {
    let mut frames = reader([Packet(b"\x80\0\0\x0d\x01\0\0\x01")]);
    let error = assert_ready!(frames.poll_next()).unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the stream ended inside a frame: 8 of 17 bytes");
    assert_eq!(frame_error(error), FrameError::Truncated { have: 8, needs: 17 });
}

#[test]
fn misses_the_payload_behind_a_lone_head_where_length_delimited_sees_a_clean_end() {
    let mut frames = reader([Packet(b"\0\0\0\x06")]);
    assert_fails(&mut frames, FrameError::Truncated { have: 4, needs: 10 });

    let wire = Wire::giving([Packet(b"\0\0\0\x06")]);
    let mut theirs = task::spawn(FramedRead::new(wire, LengthDelimitedCodec::new()));
    assert!(assert_ready!(theirs.poll_next()).is_none());
}

#[test]
fn says_how_much_of_a_frame_came_under_the_limit_that_accepted_it() {
    let mut frames = reader([Packet(b"\0\0\0\x06vol"), Wait]);
    assert_pending!(frames.poll_next());
    frames.decoder_mut().set_max_frame(limit(5));
    assert_fails(&mut frames, FrameError::Truncated { have: 7, needs: 10 });
}

#[test]
fn applies_a_lower_limit_to_a_frame_whose_head_is_not_whole() {
    let mut frames = reader([Packet(b"\0\0\0"), Wait, Packet(b"\x06volley")]);
    assert_pending!(frames.poll_next());
    frames.decoder_mut().set_max_frame(limit(5));
    assert_fails(&mut frames, FrameError::TooLarge { len: 6, max: 5 });
}

#[test]
fn applies_a_lower_limit_behind_a_control_frame_in_flight() {
    let mut frames = reader([
        Packet(b"\x80\0\0\x0c\x01\0\0\x01"),
        Wait,
        Packet(b"\0\0\0\0\0\0\0\0\0\0\0\x06volley"),
    ]);
    assert_pending!(frames.poll_next());
    frames.decoder_mut().set_max_frame(limit(5));
    assert_eq!(next(&mut frames), Frame::Control(hello_without_wish()));
    assert_fails(&mut frames, FrameError::TooLarge { len: 6, max: 5 });
}

#[test]
fn passes_on_what_the_transport_says() {
    let mut frames = reader([Packet(b"\0\0\0\x02ok"), Reset]);
    assert_data(&mut frames, "ok");
    match assert_ready!(frames.poll_next()) {
        Some(Err(CodecError::Io(error))) => {
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn reserves_nothing_for_a_declared_length() {
    let mut codec = FrameCodec::default();
    let mut buffer = BytesMut::with_capacity(16);
    buffer.extend_from_slice(&(1_u32 << 20).to_be_bytes());
    let before = buffer.capacity();
    assert_eq!(codec.decode(&mut buffer).unwrap(), None);
    assert_eq!(buffer.capacity(), before);

    // tokio-util's own codec is the counterexample that shows what is measured here.
    let mut theirs = LengthDelimitedCodec::new();
    assert_eq!(theirs.decode(&mut buffer).unwrap(), None);
    assert!(buffer.capacity() >= 1 << 20);

    let mut frames = reader([Packet(b"\0\x10\0\0"), Wait]);
    let before = frames.read_buffer().capacity();
    assert_pending!(frames.poll_next());
    assert_eq!(frames.read_buffer().len(), 4);
    assert_eq!(frames.read_buffer().capacity(), before);
}

// The transport, and what the tests ask of it.

/// What one read finds.
#[derive(Debug)]
enum Incoming {
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
enum Room {
    /// None yet.
    None,
    /// Room for so many bytes.
    Bytes(usize),
}

/// A transport that deals out `incoming`, then ends, and takes what `room` says, then all.
#[derive(Debug, Default)]
struct Wire {
    incoming: VecDeque<Incoming>,
    room: VecDeque<Room>,
    /// What was written, one entry a write.
    packets: Vec<Vec<u8>>,
    flushes: usize,
}

impl Wire {
    fn giving(incoming: impl IntoIterator<Item = Incoming>) -> Self {
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

type Reader = Spawn<FramedRead<Wire, FrameCodec>>;
type Writer = Spawn<FramedWrite<Wire, FrameCodec>>;

fn reader<const N: usize>(incoming: [Incoming; N]) -> Reader {
    task::spawn(FramedRead::new(Wire::giving(incoming), FrameCodec::default()))
}

fn writer<const N: usize>(room: [Room; N]) -> Writer {
    let wire = Wire { room: room.into(), ..Wire::default() };
    task::spawn(FramedWrite::new(wire, FrameCodec::default()))
}

fn deal_with_a_wait(chunk: &[u8]) -> [Incoming; 2] {
    [Incoming::Dealt(chunk.to_vec()), Wait]
}

#[track_caller]
fn next(frames: &mut Reader) -> Frame {
    match assert_ready!(frames.poll_next()) {
        Some(Ok(frame)) => frame,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_data(frames: &mut Reader, payload: &'static str) {
    assert_eq!(next(frames), Frame::Data(Bytes::from(payload)));
}

#[track_caller]
fn assert_fails(frames: &mut Reader, expected: FrameError) {
    match assert_ready!(frames.poll_next()) {
        Some(Err(error)) => assert_eq!(frame_error(error), expected),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_end(frames: &mut Reader) {
    assert!(assert_ready!(frames.poll_next()).is_none());
}

fn send(sink: &mut Writer, payload: &'static str) -> Result<(), CodecError> {
    sink.enter(|cx, mut sink| {
        assert_ready_ok!(Sink::<Bytes>::poll_ready(sink.as_mut(), cx));
        sink.start_send(Bytes::from(payload))
    })
}

fn flush(sink: &mut Writer) -> Poll<Result<(), CodecError>> {
    sink.enter(|cx, sink| Sink::<Bytes>::poll_flush(sink, cx))
}

#[track_caller]
fn frame_error(error: CodecError) -> FrameError {
    match error {
        CodecError::Frame(error) => error,
        other => panic!("{other:?}"),
    }
}

fn hello(name: &str) -> Control {
    Control::Hello { wanted: Some(ReplyKind::Ack), name: Text::new(name) }
}

fn hello_without_wish() -> Control {
    Control::Hello { wanted: None, name: Text::default() }
}

#[expect(clippy::unwrap_used, reason = "called by tests only")]
fn limit(bytes: u64) -> MaxFrame {
    MaxFrame::new(bytes).unwrap()
}
