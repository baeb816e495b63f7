//! What the parser says to every length, every split, every fault and every stray protocol.

use std::time::Duration;

use volley_proto::{
    Control, ControlError, Foreign, FrameError, HEAD_LEN, MaxFrame, MaxFrameError, Parsed, Reason,
    ReplyKind, Text, encode_data, encode_data_head, parse,
};

/// A limit far from every other number here.
const MAX: u32 = 1000;

// Lengths.

#[test]
fn takes_data_up_to_the_limit() {
    for len in [0, 1, MAX - 1, MAX] {
        let payload = vec![b'x'; len as usize];
        let bytes = [&len.to_be_bytes(), &payload[..]].concat();
        assert_eq!(parse(&bytes, max()), Ok(Parsed::Data(&payload)));
    }
}

#[test]
fn refuses_data_above_the_limit_by_its_head_alone() {
    for len in [MAX + 1, u32::from(u16::MAX), MaxFrame::CEILING.get() + 1, i32::MAX as u32] {
        let expected = Err(FrameError::TooLarge { len, max: MAX });
        assert_eq!(parse(&len.to_be_bytes(), max()), expected);
        assert_eq!(parse(&[&len.to_be_bytes()[..], &[0; 64]].concat(), max()), expected);
    }
    let error = FrameError::TooLarge { len: 2_097_152, max: 1_048_576 };
    assert_eq!(error.to_string(), "frame of 2097152 bytes exceeds the limit of 1048576");
}

#[test]
fn takes_only_empty_data_under_a_limit_of_zero() {
    let zero = MaxFrame::new(0).unwrap();
    assert_eq!(parse(&[0; 4], zero), Ok(Parsed::Data(b"")));
    assert_eq!(parse(&[0, 0, 0, 1, b'x'], zero), Err(FrameError::TooLarge { len: 1, max: 0 }));
    let hello = hello(b"");
    assert!(matches!(parse(&hello, zero), Ok(Parsed::Control { frame_len: 16, .. })));
}

#[test]
fn refuses_control_of_illegal_length_by_its_head_alone() {
    for len in (0..12).chain(213..=MAX + 1).chain([MaxFrame::CEILING.get(), i32::MAX as u32]) {
        let head = (1 << 31 | len).to_be_bytes();
        let expected = Err(FrameError::ControlLength { len });
        assert_eq!(parse(&head, max()), expected);
        assert_eq!(parse(&[&head[..], &[1; 256]].concat(), max()), expected);
    }
    // 2^31 and 2^32 - 1 as they stand on the wire.
    let head = [0x80, 0, 0, 0];
    assert_eq!(parse(&head, max()), Err(FrameError::ControlLength { len: 0 }));
    let head = [0xff; 4];
    assert_eq!(parse(&head, max()), Err(FrameError::ControlLength { len: i32::MAX as u32 }));

    let error = FrameError::ControlLength { len: 213 };
    assert_eq!(error.to_string(), "control frame of 213 bytes: must be 12 to 212");
}

#[test]
fn waits_for_control_of_every_legal_length() {
    for len in 12..=212_u32 {
        let head = (1 << 31 | len).to_be_bytes();
        assert_eq!(parse(&head, max()), Ok(Parsed::Incomplete { needs: 4 + len as usize }));
    }
}

#[test]
fn limits_the_limit() {
    assert_eq!(MaxFrame::DEFAULT.get(), 1 << 20);
    assert_eq!(MaxFrame::default(), MaxFrame::DEFAULT);
    assert_eq!(MaxFrame::CEILING.get(), 64 << 20);
    assert_eq!(MaxFrame::CEILING.to_string(), "67108864");

    for bytes in [0, 1, 1 << 20, 64 << 20] {
        assert_eq!(MaxFrame::new(bytes).map(|max| u64::from(max.get())), Ok(bytes));
    }
    // The last two would be legal if cut to 32 bits.
    for bytes in [(64 << 20) + 1, u64::MAX, 1 << 32, (1 << 32) + 5] {
        assert_eq!(MaxFrame::new(bytes), Err(MaxFrameError { bytes }));
    }
    assert_eq!(
        MaxFrameError { bytes: 67_108_865 }.to_string(),
        "a frame limit of 67108865 bytes is above the 67108864 that the protocol allows"
    );
}

#[test]
fn writes_heads_up_to_31_bits() {
    assert_eq!(encode_data_head(0), [0; 4]);
    assert_eq!(encode_data_head(0x0102_0304), [1, 2, 3, 4]);
    assert_eq!(encode_data_head(0x7fff_ffff), [0x7f, 0xff, 0xff, 0xff]);
}

#[test]
#[should_panic(expected = "a payload of 2147483648 bytes has no head")]
fn writes_no_head_that_would_pass_for_control() {
    encode_data_head(0x8000_0000);
}

// Splits.

#[test]
fn answers_every_prefix_of_every_kind_with_what_it_needs() {
    let mut frames = controls().map(|control| encode(&control)).to_vec();
    for len in [0, 1, 5, 300] {
        let mut frame = Vec::new();
        encode_data(&vec![b'x'; len], &mut frame);
        frames.push(frame);
    }
    for frame in frames {
        for have in 0..frame.len() {
            let needs = if have < HEAD_LEN { HEAD_LEN } else { frame.len() };
            let expected = Ok(Parsed::Incomplete { needs });
            assert_eq!(parse(&frame[..have], max()), expected, "{have} of {frame:02x?}");
        }
        assert_eq!(parsed_len(&frame), frame.len());
    }
}

#[test]
fn finds_frames_one_behind_the_other() {
    let [hello, welcome, goaway, error] = controls();
    let mut input = encode(&hello);
    encode_data(b"one", &mut input);
    input.extend(encode(&welcome));
    encode_data(b"", &mut input);
    input.extend(encode(&goaway));
    input.extend(encode(&error));
    encode_data(b"four", &mut input);
    input.extend([0, 0]);

    let mut rest = &input[..];
    let control = |rest: &mut &[u8]| match parse(rest, max()).unwrap() {
        Parsed::Control { control, frame_len } => {
            *rest = &rest[frame_len..];
            control
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(control(&mut rest), hello);
    assert_eq!(parse(rest, max()), Ok(Parsed::Data(b"one")));
    rest = &rest[HEAD_LEN + 3..];
    assert_eq!(control(&mut rest), welcome);
    assert_eq!(parse(rest, max()), Ok(Parsed::Data(b"")));
    rest = &rest[HEAD_LEN..];
    assert_eq!(control(&mut rest), goaway);
    assert_eq!(control(&mut rest), error);
    assert_eq!(parse(rest, max()), Ok(Parsed::Data(b"four")));
    rest = &rest[HEAD_LEN + 4..];
    assert_eq!(parse(rest, max()), Ok(Parsed::Incomplete { needs: 4 }));
}

#[test]
fn leaves_what_stands_behind_a_frame_alone() {
    let frame = [&hello(b"probe")[..], b"GET / HTTP/1.1\r\n"].concat();
    assert_eq!(parsed_len(&frame), 21);
    let frame = b"\0\0\0\x05hello\xff\xff\xff\xff";
    assert_eq!(parse(frame, max()), Ok(Parsed::Data(b"hello")));
}

// Control frames and their faults.

#[test]
fn refuses_unknown_types() {
    for kind in (0..=u8::MAX).filter(|kind| !(1..=4).contains(kind)) {
        let frame = control(kind, 0, 1, 0, b"");
        assert_eq!(control_error(&frame), ControlError::Type { kind });
    }
    let error = FrameError::from(ControlError::Type { kind: 9 });
    assert_eq!(error.to_string(), "control frame of unknown type 9");
}

#[test]
fn refuses_unknown_flags_of_each_type() {
    for (kind, name, legal) in [
        (1, "HELLO", &[0, 1, 2][..]),
        (2, "WELCOME", &[1, 2]),
        (3, "GOAWAY", &[0]),
        (4, "ERROR", &[0]),
    ] {
        for flags in 0..=u8::MAX {
            let frame = control(kind, flags, 1, 0, b"");
            if legal.contains(&flags) {
                assert_eq!(parsed_len(&frame), 16);
            } else {
                assert_eq!(control_error(&frame), ControlError::Flags { name, flags });
            }
        }
    }
    let error = ControlError::Flags { name: "GOAWAY", flags: 128 };
    assert_eq!(error.to_string(), "GOAWAY with unknown flags 128");
}

#[test]
fn refuses_other_versions_in_hello_and_welcome() {
    for kind in [1, 2] {
        for version in [0, 2, 0x0100, 0x0101, u16::MAX] {
            let frame = control(kind, 1, version, 0, b"");
            assert_eq!(control_error(&frame), ControlError::Version { version });
        }
    }
    let error = ControlError::Version { version: 2 };
    assert_eq!(error.to_string(), "protocol version 2: only version 1 is known");
}

#[test]
fn refuses_a_welcome_with_an_impossible_limit() {
    let ceiling = u64::from(MaxFrame::CEILING.get());
    assert_eq!(parsed_len(&control(2, 1, 1, ceiling, b"")), 16);
    for bytes in [ceiling + 1, 1 << 32, u64::MAX] {
        let error = control_error(&control(2, 1, 1, bytes, b""));
        assert_eq!(error, ControlError::MaxFrame(MaxFrameError { bytes }));
        assert_eq!(
            error.to_string(),
            format!(
                "WELCOME: a frame limit of {bytes} bytes is above the 67108864 that the protocol \
                 allows"
            )
        );
    }
}

#[test]
fn refuses_a_text_that_is_not_utf8() {
    for kind in 1..=4 {
        let flags = u8::from(kind <= 2);
        // A stray byte, a character that is cut off, an overlong "/", a surrogate.
        for fault in [&b"\xff"[..], b"\xe2\x82", b"\xc0\xaf", b"\xed\xa0\x80"] {
            let frame = control(kind, flags, 1, 0, &[b"volley", fault].concat());
            let error = control_error(&frame);
            assert!(matches!(error, ControlError::Text(_)), "{error:?}");
            assert_eq!(error.to_string(), "control frame whose text is not UTF-8 from byte 6 on");
        }
    }
}

#[test]
fn tells_a_fault_in_the_contents_only_once_the_frame_is_whole() {
    let frame = control(9, 9, 9, 9, b"\xff");
    for have in HEAD_LEN..frame.len() {
        assert_eq!(parse(&frame[..have], max()), Ok(Parsed::Incomplete { needs: 17 }));
    }
    assert_eq!(control_error(&frame), ControlError::Type { kind: 9 });
}

#[test]
fn takes_texts_of_0_and_of_200_bytes() {
    let longest = "é".repeat(100);
    for text in ["", "a", &longest] {
        for kind in 1..=4 {
            let frame = control(kind, u8::from(kind <= 2), 1, 0, text.as_bytes());
            let Ok(Parsed::Control { control, frame_len }) = parse(&frame, max()) else {
                panic!("{text:?} refused");
            };
            assert_eq!(frame_len, 16 + text.len());
            assert_eq!(&**text_of(&control), text);
            assert_eq!(encode(&control), frame);
        }
    }
}

#[test]
fn cuts_a_text_at_the_last_character_that_fits() {
    let cases = [
        ("a".repeat(200), 200),
        ("a".repeat(201), 200),
        ("é".repeat(100), 200),
        ("a".to_owned() + &"é".repeat(100), 199),
        ("€".repeat(67), 198),
        ("🦀".repeat(51), 200),
        ("abc".to_owned() + &"🦀".repeat(50), 199),
        ("a".to_owned() + &"🦀".repeat(50), 197),
    ];
    for (long, len) in cases {
        let text = Text::new(&long);
        assert_eq!(&*text, &long[..len]);
        assert_eq!(text.to_string(), long[..len]);
    }
    assert_eq!(Text::MAX_LEN, 200);
}

#[test]
fn keeps_a_reason_that_it_does_not_know() {
    for (kind, code) in [(3, 13), (3, 0), (4, 13), (4, u16::MAX)] {
        let frame = control(kind, 0, code, 5, b"new");
        let Ok(Parsed::Control { control, .. }) = parse(&frame, max()) else {
            panic!("code {code} refused");
        };
        let (Control::GoAway { reason, .. } | Control::Error { reason, .. }) = control else {
            panic!("{control:?}");
        };
        assert_eq!(reason, Reason::Other(code));
        assert_eq!(encode(&control), frame);
    }
}

#[test]
fn sends_whole_milliseconds_in_goaway() {
    for (closes_in, millis) in [
        (Duration::from_micros(1999), 1),
        (Duration::from_millis(u64::MAX), u64::MAX),
        (Duration::MAX, u64::MAX),
    ] {
        let frame =
            encode(&Control::GoAway { reason: Reason::Idle, closes_in, text: Text::default() });
        assert_eq!(frame, control(3, 0, 4, millis, b""));
    }
}

// What strays to the port.

#[test]
fn recognises_http() {
    for line in [
        "GET / HTTP/1.1\r\n",
        "HEAD / HTTP/1.1\r\n",
        "POST /api HTTP/1.1\r\n",
        "PUT /x HTTP/1.1\r\n",
        "DELETE /x HTTP/1.1\r\n",
        "CONNECT example.com:443 HTTP/1.1\r\n",
        "OPTIONS * HTTP/1.1\r\n",
        "TRACE / HTTP/1.1\r\n",
        "PATCH /x HTTP/1.1\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "HTTP/1.1 200 OK\r\n",
    ] {
        recognises(line, Foreign::Http, "this looks like HTTP, not a framed client");
    }
}

#[test]
fn recognises_tls() {
    // Record headers of a hello: SSL 3, then TLS 1.0 to 1.2, which name their own version or that
    // of 1.0. TLS 1.3 says 1.0 or 1.2 here (RFC 8446, 5.1); a record of version 3.4 is a mistake.
    for minor in 0..=4 {
        let hello = [0x16, 3, minor, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 3, 3];
        recognises(hello, Foreign::Tls, "this looks like TLS, not a framed client");
    }
    // What a server says to somebody without TLS: an alert, two bytes long.
    let alert = [0x15, 3, 3, 0x00, 0x02, 0x02, 0x0a];
    recognises(alert, Foreign::Tls, "this looks like TLS, not a framed client");
}

#[test]
fn recognises_ssh() {
    recognises("SSH-2.0-OpenSSH_9.9\r\n", Foreign::Ssh, "this looks like SSH, not a framed client");
}

#[test]
fn recognises_resp() {
    for command in
        ["*1\r\n$4\r\nPING\r\n", "*12\r\n$4\r\nMGET\r\n", "*100\r\n$4\r\nMSET\r\n", "PING\r\n"]
    {
        let text = "this looks like RESP (Redis), not a framed client";
        recognises(command, Foreign::Resp, text);
    }
}

#[test]
fn recognises_the_proxy_protocol() {
    recognises(
        "PROXY TCP4 192.0.2.1 192.0.2.2 50000 7007\r\n",
        Foreign::ProxyV1,
        "this looks like PROXY protocol v1, not a framed client",
    );
    recognises(
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c",
        Foreign::ProxyV2,
        "this looks like PROXY protocol v2, not a framed client",
    );
}

#[test]
fn recognises_telnet() {
    for verb in [0xfa, 0xfb, 0xfc, 0xfd, 0xfe] {
        let negotiation = [0xff, verb, 0x1f, 0xff, 0xfb, 0x18];
        recognises(negotiation, Foreign::Telnet, "this looks like telnet, not a framed client");
    }
}

#[test]
fn answers_other_text_with_the_numbers_that_it_reads_as() {
    let error = parse(b"hello world", MaxFrame::DEFAULT).unwrap_err();
    assert_eq!(error, FrameError::TooLarge { len: 0x6865_6c6c, max: 1 << 20 });
    assert_eq!(error.to_string(), "frame of 1751477356 bytes exceeds the limit of 1048576");
}

#[test]
fn recognises_no_protocol_by_half_an_opening() {
    for almost in [*b"get ", *b"GETS", *b"SSH2", *b"*x\r\n", *b"*1x\n", *b"PONG", *b"\r\n\r\r"] {
        assert_eq!(Foreign::recognize(almost), None, "{almost:?}");
    }
    for almost in [[0x16, 2, 3, 3], [0x17, 3, 3, 0], [0xff, 0xf9, 1, 1], [0xff; 4], [0; 4]] {
        assert_eq!(Foreign::recognize(almost), None, "{almost:?}");
    }
}

/// Holds that `opening` is named as soon as its head is there, whatever the limit.
#[track_caller]
fn recognises(opening: impl AsRef<[u8]>, protocol: Foreign, text: &str) {
    let opening = opening.as_ref();
    for max in [MaxFrame::DEFAULT, MaxFrame::CEILING] {
        for have in 0..HEAD_LEN {
            assert_eq!(parse(&opening[..have], max), Ok(Parsed::Incomplete { needs: 4 }));
        }
        for have in HEAD_LEN..=opening.len() {
            let error = FrameError::Foreign { protocol };
            assert_eq!(error.to_string(), text);
            assert_eq!(parse(&opening[..have], max), Err(error), "{opening:?}");
        }
    }
}

/// One control frame of each kind, with every field set.
fn controls() -> [Control; 4] {
    let text = || Text::new("grüße");
    [
        Control::Hello { wanted: Some(ReplyKind::Echo), name: text() },
        Control::Welcome { granted: ReplyKind::Ack, max_frame: MaxFrame::CEILING, text: text() },
        Control::GoAway {
            reason: Reason::LifetimeOver,
            closes_in: Duration::from_millis(1234),
            text: text(),
        },
        Control::Error { reason: Reason::Busy, last_seq: u64::MAX, text: text() },
    ]
}

const fn text_of(control: &Control) -> &Text {
    match control {
        Control::Hello { name, .. } => name,
        Control::Welcome { text, .. }
        | Control::GoAway { text, .. }
        | Control::Error { text, .. } => text,
    }
}

fn encode(control: &Control) -> Vec<u8> {
    let mut bytes = Vec::new();
    control.encode(&mut bytes);
    bytes
}

fn hello(name: &[u8]) -> Vec<u8> {
    control(1, 0, 1, 0, name)
}

/// A control frame's bytes, legal or not, without help from the crate.
#[expect(clippy::unwrap_used, reason = "called by tests only")]
fn control(kind: u8, flags: u8, code: u16, arg: u64, text: &[u8]) -> Vec<u8> {
    let len = u32::try_from(12 + text.len()).unwrap();
    let mut bytes = (1 << 31 | len).to_be_bytes().to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(code.to_be_bytes());
    bytes.extend(arg.to_be_bytes());
    bytes.extend(text);
    bytes
}

#[track_caller]
fn control_error(frame: &[u8]) -> ControlError {
    match parse(frame, max()) {
        Err(FrameError::Control(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn parsed_len(frame: &[u8]) -> usize {
    match parse(frame, max()) {
        Ok(Parsed::Data(payload)) => HEAD_LEN + payload.len(),
        Ok(Parsed::Control { frame_len, .. }) => frame_len,
        other => panic!("{other:?}"),
    }
}

#[expect(clippy::unwrap_used, reason = "called by tests only")]
fn max() -> MaxFrame {
    MaxFrame::new(u64::from(MAX)).unwrap()
}
