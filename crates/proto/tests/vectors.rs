//! The test vectors of the protocol, both ways: bytes to a typed value and back to the same bytes.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};
use volley_proto::{
    Control, DatagramReply, Frame, FrameCodec, MaxFrame, NoReply, Parsed, Reason, Receipt,
    ReceiptError, ReplyKind, Text, crc32c, encode_data, parse,
};

/// 2026-01-01T00:00:00Z in nanoseconds: 56 years since 1970, 14 of them leap years.
const NEW_YEAR_2026: u64 = (56 * 365 + 14) * 86_400 * 1_000_000_000;

const RECEIPT_FOR_HELLO: &str =
    "00000020 41434b31 9a71bb4c 0000000000000001 0000000000000005 18867251edfa0000";

#[test]
fn pins_data() {
    pin("00000005 68656c6c6f", Frame::Data(Bytes::from_static(b"hello")));
}

#[test]
fn pins_empty_data() {
    pin("00000000", Frame::Data(Bytes::new()));
}

#[test]
fn pins_hello_asking_for_ack() {
    pin(
        "8000000c 01 02 0001 0000000000000000",
        Frame::Control(Control::Hello { wanted: Some(ReplyKind::Ack), name: Text::default() }),
    );
}

#[test]
fn pins_welcome_granting_ack() {
    pin(
        "8000000c 02 02 0001 0000000000100000",
        Frame::Control(Control::Welcome {
            granted: ReplyKind::Ack,
            max_frame: MaxFrame::DEFAULT,
            text: Text::default(),
        }),
    );
}

#[test]
fn pins_goaway_of_a_server_shutting_down() {
    pin(
        "8000000c 03 00 0007 0000000000002710",
        Frame::Control(Control::GoAway {
            reason: Reason::ShuttingDown,
            closes_in: Duration::from_secs(10),
            text: Text::default(),
        }),
    );
}

#[test]
fn pins_error_for_a_frame_too_large() {
    pin(
        "8000003f 04 00 0001 0000000000000003 6672616d65206f662032303937313532206279746573206578\
         636565647320746865206c696d6974206f662031303438353736",
        Frame::Control(Control::Error {
            reason: Reason::TooLarge,
            last_seq: 3,
            text: Text::new("frame of 2097152 bytes exceeds the limit of 1048576"),
        }),
    );
}

#[test]
fn pins_the_receipt_for_hello() {
    let receipt =
        Receipt { crc32c: crc32c(b"hello"), seq: 1, total: 5, received_at: NEW_YEAR_2026 };
    pin(RECEIPT_FOR_HELLO, Frame::Data(Bytes::copy_from_slice(&receipt.encode())));
    assert_eq!(Receipt::parse(&hex(RECEIPT_FOR_HELLO)[4..]), Ok(receipt));
    assert_eq!(
        receipt.to_string(),
        "seq=1 crc32c=9a71bb4c total=5 received_at=1767225600000000000"
    );
}

#[test]
fn keeps_the_fields_of_a_receipt_apart() {
    let bytes = hex("41434b31 01020304 1112131415161718 2122232425262728 3132333435363738");
    let receipt = Receipt {
        crc32c: 0x0102_0304,
        seq: 0x1112_1314_1516_1718,
        total: 0x2122_2324_2526_2728,
        received_at: 0x3132_3334_3536_3738,
    };
    assert_eq!(Receipt::parse(&bytes), Ok(receipt));
    assert_eq!(receipt.encode(), *bytes);
}

#[test]
fn refuses_a_payload_of_another_length_as_a_receipt() {
    let receipt = hex(RECEIPT_FOR_HELLO).split_off(4);
    for len in [0, 4, 31] {
        assert_eq!(Receipt::parse(&receipt[..len]), Err(ReceiptError::Length { len }));
    }
    let longer = [receipt, vec![0]].concat();
    let error = Receipt::parse(&longer).unwrap_err();
    assert_eq!(error, ReceiptError::Length { len: 33 });
    assert_eq!(error.to_string(), "a receipt has 32 bytes, not 33");
}

#[test]
fn refuses_a_payload_without_the_magic_as_a_receipt() {
    for i in 0..4 {
        let mut payload = hex(RECEIPT_FOR_HELLO).split_off(4);
        payload[i] ^= 1;
        let found = [payload[0], payload[1], payload[2], payload[3]];
        assert_eq!(Receipt::parse(&payload), Err(ReceiptError::Magic { found }));
    }
    let error = Receipt::parse(&[b'x'; Receipt::LEN]).unwrap_err();
    assert_eq!(error.to_string(), "a receipt begins with \"ACK1\", not [78, 78, 78, 78]");
}

#[test]
fn pins_the_receipt_for_a_datagram() {
    let payload: Vec<u8> = (0..32).collect();
    let reply = DatagramReply::to(&payload, ReplyKind::Ack, NEW_YEAR_2026).unwrap();
    let mut bytes = Vec::new();
    reply.encode(&mut bytes);
    let expected = hex("41434b31 46dd794e 0000000000000000 0000000000000020 18867251edfa0000");
    assert_eq!(bytes, expected);
    assert_eq!(reply.len(), expected.len());
}

#[test]
fn echoes_a_datagram_of_any_length_and_acknowledges_one_that_is_as_long_as_a_receipt() {
    for len in [0, 1, 31, 32, 33, volley_proto::LONGEST_DATAGRAM] {
        let payload = vec![7; len];
        let echo = DatagramReply::to(&payload, ReplyKind::Echo, 0);
        assert_eq!(echo, Ok(DatagramReply::Echo(&payload)));
        assert_eq!(echo.map(|echo| (echo.len(), echo.is_empty())), Ok((len, len == 0)));
        let ack = DatagramReply::to(&payload, ReplyKind::Ack, 0);
        if len < 32 {
            assert_eq!(ack, Err(NoReply::Short { len }));
        } else {
            let crc32c = crc32c(&payload);
            let receipt = Receipt { crc32c, seq: 0, total: len as u64, received_at: 0 };
            assert_eq!(ack, Ok(DatagramReply::Ack(receipt)));
        }
    }
    let told = NoReply::Short { len: 31 }.to_string();
    assert_eq!(told, "a receipt has 32 bytes, and the datagram only 31");
}

#[test]
fn never_answers_a_datagram_that_begins_as_a_receipt_does() {
    for kind in [ReplyKind::Echo, ReplyKind::Ack] {
        for rest in ["", "x", "and whatever else may stand behind it"] {
            let payload = [b"ACK1", rest.as_bytes()].concat();
            assert_eq!(DatagramReply::to(&payload, kind, 0), Err(NoReply::Receipt));
        }
        assert_ne!(DatagramReply::to(b"ACK", kind, 0), Err(NoReply::Receipt));
        assert_ne!(DatagramReply::to(b"xACK1", kind, 0), Err(NoReply::Receipt));
    }
    let told = NoReply::Receipt.to_string();
    assert_eq!(told, "it begins as a receipt does, and servers never answer each other");
}

#[test]
fn computes_the_known_checksums() {
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    assert_eq!(crc32c(b""), 0);
    assert_eq!(crc32c(b"hello"), 0x9a71_bb4c);
    // RFC 3720, B.4: 32 bytes of zeroes, of ones, counting up and counting down.
    assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    assert_eq!(crc32c(&(0..32).collect::<Vec<u8>>()), 0x46dd_794e);
    assert_eq!(crc32c(&(0..32).rev().collect::<Vec<u8>>()), 0x113f_db5c);
}

#[test]
fn gives_every_reason_its_number() {
    let reasons = [
        (1, Reason::TooLarge, "too large"),
        (2, Reason::Busy, "busy"),
        (3, Reason::RateLimited, "rate limited"),
        (4, Reason::Idle, "idle"),
        (5, Reason::FrameTooSlow, "frame too slow"),
        (6, Reason::ReaderTooSlow, "reader too slow"),
        (7, Reason::ShuttingDown, "shutting down"),
        (8, Reason::Protocol, "protocol"),
        (9, Reason::Internal, "internal"),
        (10, Reason::Denied, "denied"),
        (11, Reason::LifetimeOver, "lifetime over"),
        (12, Reason::OutOfMemory, "out of memory"),
        (13, Reason::Other(13), "reason 13"),
        (0, Reason::Other(0), "reason 0"),
        (u16::MAX, Reason::Other(u16::MAX), "reason 65535"),
    ];
    for (code, reason, name) in reasons {
        assert_eq!(Reason::from_code(code), reason);
        assert_eq!(reason.code(), code);
        assert_eq!(reason.to_string(), name);
    }
}

#[test]
fn gives_every_control_frame_its_type_and_its_flags() {
    let text = Text::default;
    let kinds = [
        (1, 0, "HELLO", Control::Hello { wanted: None, name: text() }),
        (1, 1, "HELLO", Control::Hello { wanted: Some(ReplyKind::Echo), name: text() }),
        (1, 2, "HELLO", Control::Hello { wanted: Some(ReplyKind::Ack), name: text() }),
        (2, 1, "WELCOME", welcome(ReplyKind::Echo)),
        (2, 2, "WELCOME", welcome(ReplyKind::Ack)),
        (
            3,
            0,
            "GOAWAY",
            Control::GoAway { reason: Reason::Idle, closes_in: Duration::ZERO, text: text() },
        ),
        (4, 0, "ERROR", Control::Error { reason: Reason::Idle, last_seq: 0, text: text() }),
    ];
    for (kind, flags, name, control) in kinds {
        let mut bytes = Vec::new();
        control.encode(&mut bytes);
        assert_eq!(bytes[4..6], [kind, flags], "{control:?}");
        assert_eq!(control.name(), name);
    }
}

fn welcome(granted: ReplyKind) -> Control {
    Control::Welcome { granted, max_frame: MaxFrame::DEFAULT, text: Text::default() }
}

/// Holds `frame` and its bytes against each other, through the plain functions and the codec.
#[track_caller]
#[expect(clippy::unwrap_used, reason = "called by tests only")]
fn pin(bytes: &str, frame: Frame) {
    let bytes = hex(bytes);

    let parsed = match parse(&bytes, MaxFrame::DEFAULT).unwrap() {
        Parsed::Data(payload) => {
            assert_eq!(payload.len() + 4, bytes.len());
            Frame::Data(Bytes::copy_from_slice(payload))
        }
        Parsed::Control { control, frame_len } => {
            assert_eq!(frame_len, bytes.len());
            Frame::Control(control)
        }
        Parsed::Incomplete { needs } => panic!("needs {needs} bytes"),
    };
    assert_eq!(parsed, frame);

    let mut encoded = Vec::new();
    frame.encode(&mut encoded);
    assert_eq!(encoded, bytes);
    if let Frame::Data(payload) = &frame {
        encoded.clear();
        encode_data(payload, &mut encoded);
        assert_eq!(encoded, bytes);
    }

    let mut codec = FrameCodec::default();
    let mut buffer = BytesMut::from(&bytes[..]);
    assert_eq!(codec.decode(&mut buffer).unwrap().as_ref(), Some(&frame));
    assert!(buffer.is_empty());
    codec.encode(frame, &mut buffer).unwrap();
    assert_eq!(buffer, bytes);
}

/// Bytes from hex digits; blanks are for the reader.
#[expect(clippy::unwrap_used, reason = "called by tests only")]
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> =
        text.chars().filter(|c| *c != ' ').map(|c| c.to_digit(16).unwrap()).collect();
    assert_eq!(digits.len() % 2, 0, "an odd number of digits");
    digits.chunks(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]).unwrap()).collect()
}
