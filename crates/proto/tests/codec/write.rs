//! What the encoder makes of frames, and of a transport that takes little at once.

use super::*;

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
