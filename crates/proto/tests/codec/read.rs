//! What the decoder makes of bytes that come in pieces.

use super::*;

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
