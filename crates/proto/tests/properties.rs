//! What holds for all input: agreement with `LengthDelimitedCodec`, round trips, no panic, and
//! memory in proportion to what came rather than to what was declared.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use tokio_util::codec::{Decoder, Encoder, FramedRead, LengthDelimitedCodec};
use volley_proto::{
    Address, Control, DatagramReply, Endpoint, Frame, FrameCodec, HEAD_LEN, MaxFrame, NoReply,
    Parsed, Reason, Receipt, ReplyKind, Text, UnixAddress, crc32c, parse,
};

/// What splitting a frame off a `BytesMut` costs: the header that the two halves then share.
const SPLIT_LEN: u64 = 64;

/// The read buffer that `FramedRead` starts with.
const READ_BUFFER_LEN: u64 = 8 * 1024;

proptest! {
    #![proptest_config(config())]

    #[test]
    fn writes_what_length_delimited_writes(payloads in vec(payload(), 0..8)) {
        let (mut ours, mut theirs) = (BytesMut::new(), BytesMut::new());
        for payload in payloads {
            FrameCodec::default().encode(payload.clone(), &mut ours).unwrap();
            LengthDelimitedCodec::new().encode(payload, &mut theirs).unwrap();
        }
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn reads_what_length_delimited_reads(
        payloads in vec(payload(), 0..8),
        lost in prop_oneof![2 => Just(0), 1 => 1_usize..40],
        max in 0_u32..400,
        chunks in chunk_lengths(),
    ) {
        let mut stream = BytesMut::new();
        let mut ends_of_heads = Vec::new();
        for payload in payloads {
            if !payload.is_empty() {
                ends_of_heads.push(stream.len() + HEAD_LEN);
            }
            FrameCodec::default().encode(payload, &mut stream).unwrap();
        }
        stream.truncate(stream.len().saturating_sub(lost));

        let max = MaxFrame::new(max.into()).unwrap();
        let ours = decode_all(FrameCodec::new(max), &stream, &chunks);
        let theirs = decode_all(
            LengthDelimitedCodec::builder().max_frame_length(max.get() as usize).new_codec(),
            &stream,
            &chunks,
        );
        let theirs_frames: Vec<_> =
            theirs.0.into_iter().map(|payload| Frame::Data(payload.freeze())).collect();
        prop_assert_eq!(ours.0, theirs_frames);
        if ends_of_heads.contains(&stream.len()) {
            // Theirs has taken the head out of the buffer by then and sees a clean end.
            prop_assert!(!ours.1);
        } else {
            prop_assert_eq!(ours.1, theirs.1);
        }
    }

    #[test]
    fn reads_any_frames_under_any_chunking(
        frames in vec(frame(), 0..8),
        chunks in chunk_lengths(),
    ) {
        let mut stream = Vec::new();
        frames.iter().for_each(|frame| frame.encode(&mut stream));
        let decoded = decode_all(FrameCodec::default(), &stream, &chunks);
        prop_assert_eq!(decoded, (frames, true));
    }

    #[test]
    fn parses_any_bytes_without_a_panic_and_without_surprise(
        bytes in stray_bytes(),
        more in vec(any::<u8>(), 0..300),
        max in max_frame(),
    ) {
        let parsed = parse(&bytes, max);
        let longer = [&bytes[..], &more].concat();
        match &parsed {
            Ok(Parsed::Incomplete { needs }) => {
                prop_assert!(*needs > bytes.len());
                prop_assert!(*needs <= HEAD_LEN + 212.max(max.get() as usize));
                return Ok(());
            }
            Ok(Parsed::Data(payload)) => {
                let mut encoded = Vec::new();
                Frame::Data(Bytes::copy_from_slice(payload)).encode(&mut encoded);
                prop_assert!(bytes.starts_with(&encoded));
            }
            Ok(Parsed::Control { control, frame_len }) => {
                let mut encoded = Vec::new();
                control.encode(&mut encoded);
                let mut seen = bytes[..*frame_len].to_vec();
                if matches!(control, Control::Hello { .. }) {
                    // Its arg says nothing and is not looked at.
                    seen[8..16].fill(0);
                }
                prop_assert_eq!(encoded, seen);
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
        // What is not incomplete is final.
        prop_assert_eq!(parsed, parse(&longer, max));
    }

    #[test]
    fn parses_without_memory_of_its_own(bytes in stray_bytes(), max in max_frame()) {
        let mut text_len = 0;
        let measured = allocation_counter::measure(|| {
            if let Ok(Parsed::Control { frame_len, .. }) = parse(&bytes, max) {
                text_len = frame_len - 16;
            }
        });
        prop_assert_eq!(measured.bytes_total, text_len as u64);
        prop_assert_eq!(measured.bytes_current, 0);
    }

    #[test]
    fn decodes_in_memory_for_what_came(
        bytes in stray_bytes(),
        chunks in chunk_lengths(),
        max in max_frame(),
    ) {
        let mut codec = FrameCodec::new(max);
        let mut buffer = BytesMut::new();
        for chunk in deal(&bytes, &chunks) {
            buffer.extend_from_slice(chunk);
            let have = buffer.len() as u64;
            let mut decoded = Ok(None);
            let measured = allocation_counter::measure(|| decoded = codec.decode(&mut buffer));
            prop_assert!(measured.bytes_max <= have.min(Text::MAX_LEN as u64) + SPLIT_LEN);
            if decoded.is_err() {
                break;
            }
        }
    }

    #[test]
    fn holds_no_more_than_the_input_whatever_it_declares(
        bytes in stray_bytes(),
        max in max_frame(),
    ) {
        let measured = allocation_counter::measure(|| {
            let mut frames = FramedRead::new(&bytes[..], FrameCodec::new(max));
            while let Some(Some(Ok(_))) = futures_util::FutureExt::now_or_never(frames.next()) {}
        });
        let input = bytes.len() as u64;
        prop_assert!(measured.bytes_max <= READ_BUFFER_LEN + input + SPLIT_LEN, "{measured:?}");
        prop_assert_eq!(measured.bytes_current, 0);
    }

    #[test]
    fn control_frames_survive_the_wire(control in control()) {
        let mut bytes = Vec::new();
        control.encode(&mut bytes);
        let frame_len = bytes.len();
        prop_assert!((16..=216).contains(&frame_len));
        prop_assert_eq!(
            parse(&bytes, MaxFrame::DEFAULT),
            Ok(Parsed::Control { control, frame_len })
        );
    }

    #[test]
    fn reasons_survive_the_wire(code: u16) {
        prop_assert_eq!(Reason::from_code(code).code(), code);
    }

    #[test]
    fn texts_are_cut_at_the_last_character_that_fits(long in ".{0,260}") {
        let text = Text::new(&long);
        prop_assert!(long.starts_with(&*text));
        let rest = &long[text.len()..];
        let fits = text.len() + rest.chars().next().map_or(0, char::len_utf8) <= Text::MAX_LEN;
        prop_assert!(text.len() <= Text::MAX_LEN);
        prop_assert!(rest.is_empty() || !fits);
    }

    #[test]
    fn receipts_survive_the_wire(receipt in receipt()) {
        prop_assert_eq!(Receipt::parse(&receipt.encode()), Ok(receipt));
    }

    #[test]
    fn payloads_pass_for_receipts_only_with_length_and_magic(
        payload in prop_oneof![
            vec(any::<u8>(), 0..70),
            vec(any::<u8>(), 28).prop_map(|rest| [&b"ACK1"[..], &rest].concat()),
        ],
    ) {
        let receipt = Receipt::parse(&payload);
        let is_one = payload.len() == 32 && payload.starts_with(b"ACK1");
        prop_assert_eq!(receipt.is_ok(), is_one);
        if let Ok(receipt) = receipt {
            prop_assert_eq!(&receipt.encode()[..], payload);
        }
    }

    #[test]
    fn checksums_follow_the_definition(payload in vec(any::<u8>(), 0..600)) {
        // Bit by bit, reflected; polynomial 1EDC6F41, here reversed (RFC 3720, 12.1).
        let expected = !payload.iter().fold(u32::MAX, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 }
            })
        });
        prop_assert_eq!(crc32c(&payload), expected);
    }

    #[test]
    fn replies_to_datagrams_are_no_longer_and_come_from_what_was_received(
        payload in stray_datagram(),
        received_at: u64,
    ) {
        for kind in [ReplyKind::Echo, ReplyKind::Ack] {
            let mut reply = Vec::new();
            match DatagramReply::to(&payload, kind, received_at) {
                Ok(answer) => answer.encode(&mut reply),
                Err(NoReply::Receipt) => prop_assert!(payload.starts_with(b"ACK1")),
                Err(error) => prop_assert_eq!(error, NoReply::Short { len: payload.len() }),
            }
            prop_assert!(reply.len() <= payload.len());
            match kind {
                ReplyKind::Echo => prop_assert!(reply.is_empty() || reply == payload),
                ReplyKind::Ack if reply.is_empty() => {}
                ReplyKind::Ack => {
                    let (crc32c, total) = (crc32c(&payload), payload.len() as u64);
                    let expected = Receipt { crc32c, seq: 0, total, received_at };
                    prop_assert_eq!(Receipt::parse(&reply), Ok(expected));
                }
            }
        }
    }

    #[test]
    fn servers_of_which_one_acknowledges_answer_each_other_once_at_most(
        payload in stray_datagram(),
        kinds in select(vec![
            [ReplyKind::Ack, ReplyKind::Ack],
            [ReplyKind::Ack, ReplyKind::Echo],
            [ReplyKind::Echo, ReplyKind::Ack],
        ]),
    ) {
        let mut datagram = payload;
        let mut replies = 0;
        for kind in kinds.into_iter().cycle() {
            let mut reply = Vec::new();
            let Ok(answer) = DatagramReply::to(&datagram, kind, 0) else { break };
            answer.encode(&mut reply);
            datagram = reply;
            replies += 1;
            prop_assert!(replies <= 2);
        }
    }

    #[test]
    fn endpoints_read_back_as_they_are_shown(endpoint in endpoint()) {
        let shown = endpoint.to_string();
        prop_assert_eq!(shown.parse(), Ok(endpoint));
    }

    #[test]
    fn any_text_is_an_endpoint_that_reads_back_or_an_error_that_says_why(
        text in prop_oneof![
            any::<String>(),
            "(TCP://|tls://|udp://|unix:)?[]\\[a-z0-9.:%é+-]{0,24}(:[0-9]{1,6})?",
            "unix:(//)?[@/.a\\n\\x00é?:]{0,110}",
        ],
    ) {
        match text.parse::<Endpoint>() {
            Ok(endpoint) => prop_assert_eq!(endpoint.to_string().parse(), Ok(endpoint)),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
}

/// No file of past failures: a case that failed belongs among the named tests.
fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

fn payload() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..300).prop_map(Bytes::from)
}

fn frame() -> impl Strategy<Value = Frame> {
    prop_oneof![payload().prop_map(Frame::Data), control().prop_map(Frame::Control)]
}

fn control() -> impl Strategy<Value = Control> {
    let reply = || prop_oneof![Just(ReplyKind::Echo), Just(ReplyKind::Ack)];
    let reason = || prop_oneof![0..16_u16, any::<u16>()].prop_map(Reason::from_code);
    let text = || ".{0,220}".prop_map(Text::new);
    prop_oneof![
        (proptest::option::of(reply()), text())
            .prop_map(|(wanted, name)| Control::Hello { wanted, name }),
        (reply(), max_frame(), text()).prop_map(|(granted, max_frame, text)| Control::Welcome {
            granted,
            max_frame,
            text
        }),
        (reason(), any::<u64>().prop_map(Duration::from_millis), text())
            .prop_map(|(reason, closes_in, text)| Control::GoAway { reason, closes_in, text }),
        (reason(), any::<u64>(), text()).prop_map(|(reason, last_seq, text)| Control::Error {
            reason,
            last_seq,
            text
        }),
    ]
}

/// What may come, some of it close to a receipt.
fn stray_datagram() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..70),
        vec(any::<u8>(), 0..70).prop_map(|rest| [&b"ACK1"[..], &rest].concat()),
    ]
}

fn receipt() -> impl Strategy<Value = Receipt> {
    any::<(u32, u64, u64, u64)>().prop_map(|(crc32c, seq, total, received_at)| Receipt {
        crc32c,
        seq,
        total,
        received_at,
    })
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    // Labels, the last of which is not all digits, and perhaps the root's dot.
    let host = concat!(
        r"([a-z0-9_]([a-zA-Z0-9_-]{0,20}[a-z0-9_])?\.){0,4}",
        r"[a-z_]([a-z0-9-]{0,8}[a-z0-9])?\.?",
    );
    let socket = (any::<std::net::IpAddr>(), any::<u16>(), any::<u32>()).prop_map(
        |(ip, port, zone)| match ip {
            std::net::IpAddr::V6(ip) => std::net::SocketAddrV6::new(ip, port, 0, zone).into(),
            ip => std::net::SocketAddr::new(ip, port),
        },
    );
    let name = (host, any::<u16>()).prop_map(|(host, port)| Address::Name { host, port });
    let address = prop_oneof![socket.prop_map(Address::Socket), name];
    let transports: [fn(Address) -> Endpoint; 3] = [Endpoint::Tcp, Endpoint::Tls, Endpoint::Udp];
    prop_oneof![
        3 => (select(transports.to_vec()), address).prop_map(|(transport, address)| transport(address)),
        1 => unix_address().prop_map(Endpoint::Unix),
    ]
}

fn unix_address() -> impl Strategy<Value = UnixAddress> {
    let path = r"/{0,3}([@a-zé .:?\\-]{1,12}/{1,2}){0,4}[@a-zé:?\\]{1,12}";
    prop_oneof![
        path.prop_filter_map("no path of a socket", |path| UnixAddress::from_path(path).ok()),
        r"[@/a-zé .:?\\-]{1,53}"
            .prop_filter_map("too long", |name| UnixAddress::from_abstract_name(name).ok()),
    ]
}

#[expect(clippy::expect_used, reason = "at most the ceiling by construction")]
fn max_frame() -> impl Strategy<Value = MaxFrame> {
    let ceiling = u64::from(MaxFrame::CEILING.get());
    prop_oneof![0..64_u64, 0..=ceiling, Just(ceiling)]
        .prop_map(|bytes| MaxFrame::new(bytes).expect("a legal limit"))
}

/// Bytes that no one meant as frames, yet near enough to frames to get past the head.
fn stray_bytes() -> impl Strategy<Value = Vec<u8>> {
    let declared = (any::<bool>(), 0..=0x0400_0001_u32, vec(any::<u8>(), 0..300)).prop_map(
        |(control, len, rest)| {
            [&(u32::from(control) << 31 | len).to_be_bytes()[..], &rest].concat()
        },
    );
    let near_control =
        (12..=212_u32, 0..6_u8, 0..4_u8, 0..3_u16, any::<u64>(), vec(any::<u8>(), 0..220))
            .prop_map(|(len, kind, flags, code, arg, text)| {
                let head = (1 << 31 | len).to_be_bytes();
                [&head[..], &[kind, flags], &code.to_be_bytes(), &arg.to_be_bytes(), &text].concat()
            });
    let whole = vec(frame(), 0..6).prop_map(|frames| {
        let mut bytes = Vec::new();
        frames.iter().for_each(|frame| frame.encode(&mut bytes));
        bytes
    });
    let tail = prop_oneof![vec(any::<u8>(), 0..64), declared, near_control];
    let whole = prop_oneof![Just(Vec::new()), whole];
    (whole, tail).prop_map(|(whole, tail)| [whole, tail].concat())
}

/// Lengths of the chunks in which a stream comes, used round and round.
fn chunk_lengths() -> impl Strategy<Value = Vec<usize>> {
    vec(prop_oneof![1..8_usize, 1..400_usize], 1..8)
}

fn deal<'a>(mut bytes: &'a [u8], lengths: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    lengths.iter().cycle().map_while(move |&len| {
        let (chunk, rest) = bytes.split_at(len.min(bytes.len()));
        bytes = rest;
        (!chunk.is_empty()).then_some(chunk)
    })
}

/// The frames that a decoder finds in `stream`, and whether it came to the end without an error.
fn decode_all<D: Decoder>(mut codec: D, stream: &[u8], chunks: &[usize]) -> (Vec<D::Item>, bool) {
    let mut frames = Vec::new();
    let mut buffer = BytesMut::new();
    for chunk in deal(stream, chunks) {
        buffer.extend_from_slice(chunk);
        loop {
            match codec.decode(&mut buffer) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(_) => return (frames, false),
            }
        }
    }
    loop {
        match codec.decode_eof(&mut buffer) {
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) => return (frames, true),
            Err(_) => return (frames, false),
        }
    }
}
