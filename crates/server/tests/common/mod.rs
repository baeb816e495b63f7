//! What the tests share: peers that speak raw bytes, servers in process, and the daemon.
#![allow(dead_code, unused_imports, reason = "each file of tests needs a part of it")]
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "what fails its test says why, and so does what skips it"
)]

mod daemon;
mod datagrams;
mod peer;
mod server;
mod tls;

use std::time::Duration;

pub(crate) use daemon::{
    Books, Volleyd, copy_program, exit_of, exit_of_command, ipv6_is_missing, pass,
    program_is_missing,
};
pub(crate) use datagrams::{Client, Datagrams};
pub(crate) use peer::{Peer, Received};
pub(crate) use server::{Server, check_books};
pub(crate) use tls::{Authority, Identity, TlsClient, TlsPeer};

/// How long any one wait may take. Nothing comes near it unless it hangs.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// A data frame with this payload.
pub(crate) fn data(payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend_from_slice(payload);
    bytes
}

/// A control frame, field by field, legal or not.
pub(crate) fn control(kind: u8, flags: u8, code: u16, arg: u64, text: &[u8]) -> Vec<u8> {
    let len = u32::try_from(12 + text.len()).unwrap();
    let mut bytes = (1 << 31 | len).to_be_bytes().to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&code.to_be_bytes());
    bytes.extend_from_slice(&arg.to_be_bytes());
    bytes.extend_from_slice(text);
    bytes
}

pub(crate) const HELLO: u8 = 1;
pub(crate) const WELCOME: u8 = 2;
pub(crate) const GOAWAY: u8 = 3;
pub(crate) const ERROR: u8 = 4;

/// A HELLO that asks for a reply: 0 the listener's own, 1 echo, 2 ack.
pub(crate) fn hello(wanted: u8) -> Vec<u8> {
    control(HELLO, wanted, 1, 0, b"")
}

/// The WELCOME of a server with the usual limit of 1 MiB.
pub(crate) fn welcome(granted: u8) -> Vec<u8> {
    control(WELCOME, granted, 1, 1 << 20, b"")
}

/// Bytes that differ from place to place, so that a shift or a mix-up shows.
pub(crate) fn pattern(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Fails with the first difference, and not with megabytes of both.
#[track_caller]
pub(crate) fn same_bytes(found: &[u8], expected: &[u8]) {
    let differs = found.iter().zip(expected).position(|(a, b)| a != b);
    if let Some(at) = differs {
        let part = |bytes: &[u8]| bytes[at..bytes.len().min(at + 16)].to_vec();
        panic!("byte {at} differs: {:02x?}, expected {:02x?}", part(found), part(expected));
    }
    assert_eq!(found.len(), expected.len(), "as far as they go they are the same");
}
