//! The longest frame that is taken.

use super::*;

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
