//! Other protocols by their first four bytes, so that an error can name what strayed to the port.

use std::fmt;

use crate::HEAD_LEN;

/// A protocol that is not ours, recognised by how it opens. None of these openings is a legal
/// frame head: as a data length each is above 64 MiB, as a control length above 212.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Foreign {
    /// A request line or a status line of HTTP/1, or the preface of HTTP/2.
    Http,
    /// A TLS or SSL 3 handshake record, or an alert.
    Tls,
    /// An SSH identification string.
    Ssh,
    /// RESP, the protocol of Redis: an array of commands, or an inline `PING`.
    Resp,
    /// The PROXY protocol, version 1: a line of text.
    ProxyV1,
    /// The PROXY protocol, version 2: its binary signature.
    ProxyV2,
    /// A telnet option negotiation.
    Telnet,
}

impl Foreign {
    /// Names the protocol that opens with these bytes, if it is one of those known here.
    pub const fn recognize(head: [u8; HEAD_LEN]) -> Option<Self> {
        Some(match &head {
            b"GET " | b"HEAD" | b"POST" | b"PUT " | b"DELE" | b"CONN" | b"OPTI" | b"TRAC"
            | b"PATC" | b"PRI " | b"HTTP" => Self::Http,
            // Record type alert (21) or handshake (22), then the record version's major number, 3
            // (RFC 8446, 5.1).
            [0x15 | 0x16, 0x03, ..] => Self::Tls,
            b"SSH-" => Self::Ssh,
            [b'*', b'0'..=b'9', b'\r', b'\n']
            | [b'*', b'0'..=b'9', b'0'..=b'9', b'\r' | b'0'..=b'9']
            | b"PING" => Self::Resp,
            b"PROX" => Self::ProxyV1,
            // The signature is 0D 0A 0D 0A 00 0D 0A 51 55 49 54 0A.
            b"\r\n\r\n" => Self::ProxyV2,
            // IAC, then SB, WILL, WONT, DO or DONT (RFC 854).
            [0xFF, 0xFA..=0xFE, ..] => Self::Telnet,
            _ => return None,
        })
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "HTTP",
            Self::Tls => "TLS",
            Self::Ssh => "SSH",
            Self::Resp => "RESP (Redis)",
            Self::ProxyV1 => "PROXY protocol v1",
            Self::ProxyV2 => "PROXY protocol v2",
            Self::Telnet => "telnet",
        })
    }
}
