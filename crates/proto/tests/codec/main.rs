//! The codec in `FramedRead` and `FramedWrite`, over a transport that deals out its bytes as told.
//!
//! The cases in `read.rs`, `write.rs` and `limit.rs` carry the names of tokio-util's tests of
//! `LengthDelimitedCodec`, so that the two lists can be held against each other.
//
// Left out, since the head is always four big-endian bytes that count the payload alone:
// - other byte orders: read_single_frame_one_packet_little_endian,
//   read_single_frame_one_packet_native_endian, write_single_frame_little_endian
// - other widths: read_one_byte_length_field, write_single_frame_with_short_length_field,
//   max_allowed_length_field
// - other places and adjustments: read_header_offset,
//   read_single_multi_frame_one_packet_skip_none_adjusted, read_single_frame_length_adjusted,
//   read_single_multi_frame_one_packet_length_includes_head, write_single_frame_length_adjusted,
//   neg_adjusted_frame_does_not_fit, pos_adjusted_frame_does_not_fit
// - an encoder for slices, which this codec does not have: write_single_frame_from_slice

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_util::Sink;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_test::task::{self, Spawn};
use tokio_test::{assert_pending, assert_ready, assert_ready_ok};
use tokio_util::codec::{Decoder, Encoder, Framed, FramedRead, FramedWrite, LengthDelimitedCodec};
use volley_proto::{
    CodecError, Control, ControlError, Frame, FrameCodec, FrameError, MaxFrame, MaxFrameError,
    Reason, ReplyKind, Text,
};

mod beyond;
mod limit;
mod read;
mod transport;
mod write;

use transport::Incoming::{Packet, Reset, Wait};
use transport::*;
