//! What a PROXY header says, and where it ends. Nothing here reads: what is read must not go beyond
//! the header, so it is asked after each read how many bytes more are surely of it.
//!
//! ```text
//! v1   PROXY TCP4 192.0.2.1 198.51.100.7 56324 7007\r\n                 at most 107 bytes
//! v2   signature[12] version:4 command:4 family:4 protocol:4 length:16 | addresses, TLVs[length]
//! ```

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use ppp::{v1, v2};
use volley_proto::crc32c;

use crate::opening::Instead;

/// The longest line of version 1, its end included.
pub(super) const LONGEST_LINE: usize = 107;

/// The longest header of version 2 that is taken. The specification has senders keep to 536 bytes
/// where they can; one that tells all it knows, an authority of 255 bytes and a certificate's name
/// among it, may take more.
const LONGEST: usize = 2048;

/// No header is shorter: `PROXY UNKNOWN\r\n`.
const SHORTEST: usize = 15;

/// The part of version 2 before its addresses.
const FIXED: usize = 16;

/// A TLV's type and length, before its value.
const TLV_HEAD: usize = 3;

/// What version 1 begins with.
const LINE: &[u8] = b"PROXY ";

/// Of a line that names nobody; what else is in it is to be ignored.
const UNKNOWN: [&[u8]; 2] = [b"PROXY UNKNOWN ", b"PROXY UNKNOWN\r\n"];

/// A whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// Connected on behalf of this client.
    Client(SocketAddr),
    /// Connected by the balancer itself, or for somebody of whom it knows no address.
    Balancer,
}

/// What the bytes so far are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Whole(Header),
    /// So many bytes more belong to it.
    Needs(usize),
    /// The rest of the line, which has so many bytes more at least.
    NeedsLine(usize),
}

/// What is wrong with a header.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HeaderError {
    #[error("a PROXY header has to come first, and this {0}")]
    Missing(Instead),
    #[error("a line that begins like a PROXY header has no end within {LONGEST_LINE} bytes")]
    Endless,
    #[error("a PROXY header of {0} bytes: at most {LONGEST} are taken")]
    TooLong(usize),
    #[error("bad PROXY header, version 1: {0}")]
    V1(#[source] v1::BinaryParseError),
    #[error("bad PROXY header, version 2: {0}")]
    V2(#[source] v2::ParseError),
    #[error("bad PROXY header, version 2: its checksum is wrong")]
    Checksum,
}

/// Looks at the first bytes of a connection. None of them may be of what comes behind the header.
pub(super) fn progress(bytes: &[u8]) -> Result<Progress, HeaderError> {
    let begins_like = |signature: &[u8]| bytes.iter().zip(signature).all(|(a, b)| a == b);
    let (is_line, is_binary) = (begins_like(LINE), begins_like(v2::PROTOCOL_PREFIX));
    if !is_line && !is_binary {
        return Err(HeaderError::Missing(Instead::of(bytes)));
    }
    if bytes.len() < SHORTEST {
        return Ok(Progress::Needs(SHORTEST - bytes.len()));
    }
    if is_line { line(bytes) } else { binary(bytes) }
}

fn line(bytes: &[u8]) -> Result<Progress, HeaderError> {
    if bytes.ends_with(b"\r\n") && UNKNOWN.iter().any(|start| bytes.starts_with(start)) {
        return Ok(Progress::Whole(Header::Balancer));
    }
    if bytes.ends_with(b"\n") {
        let header = v1::Header::try_from(bytes).map_err(HeaderError::V1)?;
        return Ok(Progress::Whole(match header.addresses {
            v1::Addresses::Tcp4(ends) => client(ends.source_address, ends.source_port),
            v1::Addresses::Tcp6(ends) => client(ends.source_address, ends.source_port),
            v1::Addresses::Unknown => Header::Balancer,
        }));
    }
    let least = if bytes.ends_with(b"\r") { 1 } else { 2 };
    if bytes.len() + least > LONGEST_LINE {
        return Err(HeaderError::Endless);
    }
    Ok(Progress::NeedsLine(least))
}

fn binary(bytes: &[u8]) -> Result<Progress, HeaderError> {
    let Some(fixed) = bytes.first_chunk::<FIXED>() else {
        return Ok(Progress::Needs(FIXED - bytes.len()));
    };
    let len = FIXED + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if len > LONGEST {
        return Err(HeaderError::TooLong(len));
    }
    if bytes.len() < len {
        return Ok(Progress::Needs(len - bytes.len()));
    }
    let header = v2::Header::try_from(bytes).map_err(HeaderError::V2)?;
    let mut at = len - header.tlv_bytes().len();
    for tlv in header.tlvs() {
        let tlv = tlv.map_err(HeaderError::V2)?;
        let value = at + TLV_HEAD..at + TLV_HEAD + tlv.value.len();
        at = value.end;
        if tlv.kind == u8::from(v2::Type::CRC32C) && !is_checksum(bytes, value) {
            return Err(HeaderError::Checksum);
        }
    }
    let is_stream = header.protocol == v2::Protocol::Stream;
    Ok(Progress::Whole(match header.addresses {
        _ if header.command == v2::Command::Local || !is_stream => Header::Balancer,
        v2::Addresses::IPv4(ends) => client(ends.source_address, ends.source_port),
        v2::Addresses::IPv6(ends) => client(ends.source_address, ends.source_port),
        v2::Addresses::Unspecified | v2::Addresses::Unix(_) => Header::Balancer,
    }))
}

/// Whether the bytes at `place` are the checksum of all, made with zeros in their place.
fn is_checksum(bytes: &[u8], place: Range<usize>) -> bool {
    let mut blanked = bytes.to_vec();
    blanked[place.clone()].fill(0);
    bytes[place] == crc32c(&blanked).to_be_bytes()
}

fn client(address: impl Into<IpAddr>, port: u16) -> Header {
    Header::Client(SocketAddr::new(address.into(), port))
}

#[cfg(test)]
mod tests;
