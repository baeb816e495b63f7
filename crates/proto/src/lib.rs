//! The wire of Volley, and nothing else: bytes on one side, frames on the other.
//!
//! ```text
//! data     0 length:31 | payload[length]
//! control  1 length:31 | type:u8 flags:u8 code:u16 arg:u64 | text[length-12]
//! ```
//!
//! All integers are big-endian. This crate opens no socket, starts no task, reads no clock and
//! logs nothing, so that it can be tested to the last byte and embedded anywhere. What stands
//! where:
//!
//! - [`parse()`]: the one parser; the daemon's fast path and [`FrameCodec`] both call it.
//! - [`Control`]: HELLO, WELCOME, GOAWAY and ERROR, typed.
//! - [`Receipt`]: the 32-byte reply with which a peer proves what it received.
//! - [`DatagramReply`]: the reply to a datagram, which is a payload without a frame around it.
//! - [`FrameCodec`]: the same frames for `tokio_util::codec::Framed`.
//! - [`Endpoint`]: where to listen or connect, as people write it.
//!
//! The page for users of the wire is docs/PROTOCOL.md.

mod codec;
mod control;
mod datagram;
mod endpoint;
mod foreign;
mod frame;
mod parse;
mod receipt;
mod unix_address;

pub use codec::{CodecError, FrameCodec};
pub use control::{Control, ControlError, Reason, ReplyKind, Text, VERSION};
pub use datagram::{DatagramReply, LONGEST_DATAGRAM, NoReply};
pub use endpoint::{Address, Endpoint, EndpointError};
pub use foreign::Foreign;
pub use frame::{Frame, HEAD_LEN, MaxFrame, MaxFrameError, encode_data, encode_data_head};
pub use parse::{FrameError, Parsed, parse};
pub use receipt::{Receipt, ReceiptError, crc32c};
pub use unix_address::UnixAddress;
