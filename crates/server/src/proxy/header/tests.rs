//! Headers good and bad, and any bytes at all.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Takes from `wire` what is asked for, and not more at a time than `most`. Returns what comes of
/// it, and how many bytes were taken; `None` if there were not enough.
fn take(wire: &[u8], most: usize) -> Option<(Result<Header, HeaderError>, usize)> {
    let mut taken = 0;
    loop {
        let wanted = match progress(&wire[..taken]) {
            Ok(Progress::Whole(header)) => return Some((Ok(header), taken)),
            Ok(Progress::Needs(more)) => more,
            Ok(Progress::NeedsLine(least)) => {
                let ahead = &wire[taken..wire.len().min(LONGEST_LINE)];
                ahead.iter().position(|&b| b == b'\n').map_or(ahead.len(), |at| at + 1).max(least)
            }
            Err(error) => return Some((Err(error), taken)),
        };
        assert!(wanted > 0, "nothing is asked for");
        let got = wanted.min(most).min(wire.len() - taken);
        if got == 0 {
            return None;
        }
        taken += got;
    }
}

fn whole(wire: &[u8]) -> Result<Header, HeaderError> {
    take(wire, usize::MAX).expect("it is all there").0
}

fn told(wire: &[u8]) -> String {
    whole(wire).unwrap_err().to_string()
}

/// Version 2: these two bytes, and what comes behind its length.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    v2_of(command, family, u16::try_from(rest.len()).unwrap(), rest)
}

/// The same with a length that may lie.
fn v2_of(command: u8, family: u8, len: u16, rest: &[u8]) -> Vec<u8> {
    [v2::PROTOCOL_PREFIX, &[command, family], &len.to_be_bytes(), rest].concat()
}

const V4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 7, 0xdc, 0x04, 0x1b, 0x5f];

fn client_at(address: &str) -> Header {
    Header::Client(address.parse().unwrap())
}

#[test]
fn a_header_names_the_client() {
    let mut v6 = [0; 36];
    v6[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
    (v6[15], v6[32], v6[33]) = (1, 0xdc, 0x04);
    let with_tlvs = [&V4[..], &[4, 0, 2, 0, 0], &[2, 0, 1, b'a']].concat();
    for (wire, expected) in [
        (b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 7007\r\n".to_vec(), "192.0.2.1:56324"),
        (b"PROXY TCP6 2001:db8::1 ::2 56324 7007\r\n".to_vec(), "[2001:db8::1]:56324"),
        (v2(0x21, 0x11, &V4), "192.0.2.1:56324"),
        (v2(0x21, 0x21, &v6), "[2001:db8::1]:56324"),
        (v2(0x21, 0x11, &with_tlvs), "192.0.2.1:56324"),
    ] {
        assert_eq!(whole(&wire).unwrap(), client_at(expected));
    }
}

#[test]
fn a_header_that_names_nobody_leaves_the_balancer() {
    for wire in [
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN ffff::1 ffff::2 1 2 and whatever else there may be\r\n".to_vec(),
        // LOCAL, with and without addresses.
        v2(0x20, 0x00, &[]),
        v2(0x20, 0x11, &V4),
        // An unspecified family, datagrams, and a Unix socket.
        v2(0x21, 0x00, &V4),
        v2(0x21, 0x12, &V4),
        v2(0x21, 0x31, &[0; 216]),
    ] {
        assert_eq!(whole(&wire).unwrap(), Header::Balancer, "{wire:?}");
    }
}

#[test]
fn what_comes_in_place_of_a_header_is_named() {
    let frame = b"\0\0\0\x05hello";
    for (wire, instead) in [
        (&b"GET / HTTP/1.1\r\n"[..], "looks like HTTP"),
        (&[0x16, 3, 1, 0, 5], "looks like TLS"),
        (frame, "is a frame"),
        (b"PROXIES\r\n", "looks like PROXY protocol v1"),
        (b"hello", "is something else"),
        (b"x", "is something else"),
    ] {
        let told = told(wire);
        assert_eq!(told, format!("a PROXY header has to come first, and this {instead}"));
    }
}

#[test]
fn a_header_with_lying_lengths_is_refused() {
    let short = told(&v2(0x21, 0x11, &V4[..8]));
    assert!(short.starts_with("bad PROXY header, version 2: "), "{short}");
    assert_eq!(
        told(&v2_of(0x21, 0x11, u16::MAX, &V4)),
        "a PROXY header of 65551 bytes: at most 2048 are taken"
    );
    // A TLV that is longer than its header, and half of one.
    for tlv in [&[4, 0, 9, 0][..], &[4, 0]] {
        let rest = [&V4, tlv].concat();
        let told = told(&v2(0x21, 0x11, &rest));
        assert!(told.starts_with("bad PROXY header, version 2: "), "{told}");
    }
}

#[test]
fn a_wrong_checksum_is_refused_and_a_right_one_is_not() {
    let rest = [&V4[..], &[3, 0, 4, 0, 0, 0, 0], &[4, 0, 0]].concat();
    let mut wire = v2(0x21, 0x11, &rest);
    assert_eq!(told(&wire), "bad PROXY header, version 2: its checksum is wrong");
    let sum = crc32c(&wire).to_be_bytes();
    wire[31..35].copy_from_slice(&sum);
    assert_eq!(whole(&wire).unwrap(), client_at("192.0.2.1:56324"));
    wire[16] ^= 1;
    assert!(whole(&wire).is_err());
    // One of another length is none.
    let rest = [&V4[..], &[3, 0, 2, 0, 0]].concat();
    assert!(whole(&v2(0x21, 0x11, &rest)).is_err());
}

#[test]
fn bad_lines_are_refused() {
    for line in [
        "PROXY TCP4 192.0.2.1 198.51.100.7 56324\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 56324 7007 7\r\n",
        "PROXY TCP4 192.0.2.256 198.51.100.7 56324 7007\r\n",
        "PROXY TCP4 2001:db8::1 ::2 56324 7007\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 65536 7007\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 56324 7007\n",
        "PROXY UDP4 192.0.2.1 198.51.100.7 56324 7007\r\n",
        "PROXY  TCP4 192.0.2.1 198.51.100.7 1 1\r\n",
        "PROXY UNKNOWNS\r\n",
    ] {
        let told = told(line.as_bytes());
        assert!(told.starts_with("bad PROXY header, version 1: "), "{line:?}: {told}");
    }
}

#[test]
fn a_line_may_have_107_bytes() {
    let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
    assert_eq!(longest.len(), LONGEST_LINE);
    assert_eq!(whole(longest.as_bytes()).unwrap(), Header::Balancer);
    let endless = "a line that begins like a PROXY header has no end within 107 bytes";
    for line in [longest.replace(' ', "  "), longest.replace('\r', "xx")] {
        for most in [1, 7, usize::MAX] {
            let (error, taken) = take(line.as_bytes(), most).unwrap();
            assert_eq!(error.unwrap_err().to_string(), endless);
            assert!(taken <= LONGEST_LINE, "{taken}");
        }
    }
}

fn any_good_header() -> impl Strategy<Value = Vec<u8>> {
    let tlv = (any::<u8>().prop_filter("no checksum", |&kind| kind != 3), vec(any::<u8>(), 0..50));
    let tlvs = vec(tlv, 0..5).prop_map(|tlvs| {
        tlvs.iter()
            .flat_map(|(kind, value)| {
                let len = u16::try_from(value.len()).unwrap();
                [&[*kind], &len.to_be_bytes()[..], value].concat()
            })
            .collect::<Vec<_>>()
    });
    let binary = (any::<[u8; 12]>(), tlvs).prop_map(|(addresses, tlvs)| {
        let rest = [&addresses[..], &tlvs].concat();
        v2(0x21, 0x11, &rest)
    });
    let line = any::<(std::net::Ipv6Addr, std::net::Ipv6Addr, u16, u16)>().prop_map(
        |(source, destination, from, to)| {
            format!("PROXY TCP6 {source} {destination} {from} {to}\r\n").into_bytes()
        },
    );
    prop_oneof![binary, line]
}

proptest! {
    #[test]
    fn not_a_byte_behind_a_header_is_taken_however_it_is_split(
        header in any_good_header(),
        behind in vec(any::<u8>(), 0..100),
        most in 1_usize..200,
    ) {
        let wire = [&header[..], &behind].concat();
        let (taken, len) = take(&wire, most).expect("it is all there");
        prop_assert!(taken.is_ok(), "{:?}", taken);
        prop_assert_eq!(len, header.len());
    }

    #[test]
    fn any_bytes_are_a_header_or_an_error_or_too_few(
        signature in prop_oneof![Just(&b""[..]), Just(LINE), Just(v2::PROTOCOL_PREFIX)],
        bytes in vec(any::<u8>(), 0..3000),
        most in 1_usize..3000,
    ) {
        let wire = [signature, &bytes].concat();
        if let Some((_, taken)) = take(&wire, most) {
            prop_assert!(taken <= LONGEST);
        }
    }

    #[test]
    fn a_header_with_one_bad_byte_harms_nobody(
        mut header in any_good_header(),
        at in any::<prop::sample::Index>(),
        with in any::<u8>(),
    ) {
        let at = at.index(header.len());
        header[at] = with;
        header.extend([0; 300]);
        if let Some((_, taken)) = take(&header, usize::MAX) {
            prop_assert!(taken <= LONGEST);
        }
    }
}
