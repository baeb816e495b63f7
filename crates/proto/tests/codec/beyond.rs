//! What `LengthDelimitedCodec` does not have: control frames, and faults that say more.

use super::*;

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
