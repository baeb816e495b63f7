//! Control frames: how the two sides greet, part and say why.
//!
//! ```text
//!  0        4      5       6        8        16
//! | head:4 | type | flags | code:2 | arg:8  | text, 0 to 200 bytes of UTF-8 |
//! ```

use std::fmt;
use std::ops::RangeInclusive;
use std::str::Utf8Error;
use std::time::Duration;

use bytes::{Buf, BufMut};

use crate::frame::bytes;
use crate::{MaxFrame, MaxFrameError};

/// The protocol version that this crate speaks, the `code` of HELLO and WELCOME.
pub const VERSION: u16 = 1;

/// Bytes of a control frame's body before its text.
const FIXED_LEN: usize = 12;

/// Legal lengths of a control frame's body in bytes.
pub(crate) const LENGTHS: RangeInclusive<u32> = 12..=212;

const HELLO: u8 = 1;
const WELCOME: u8 = 2;
const GOAWAY: u8 = 3;
const ERROR: u8 = 4;

/// A control frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// From a client, only as its very first frame: it understands control frames.
    Hello {
        /// The reply it asks for; `None` takes the listener's own.
        wanted: Option<ReplyKind>,
        /// What it calls itself, for the server's log; may be empty.
        name: Text,
    },
    /// The server's answer to HELLO, before every reply.
    Welcome {
        /// The kind of reply that every data frame of this connection will get.
        granted: ReplyKind,
        /// The longest payload that this server takes.
        max_frame: MaxFrame,
        /// For a person; may be empty.
        text: Text,
    },
    /// From a server, only after HELLO: send no new frame. Every frame that arrives before the
    /// close still gets its reply.
    GoAway {
        /// Why.
        reason: Reason,
        /// How long until the server closes; the wire carries whole milliseconds.
        closes_in: Duration,
        /// The reason for a person; may be empty.
        text: Text,
    },
    /// From a server, to anyone: the connection ends here.
    Error {
        /// Why.
        reason: Reason,
        /// How many data frames of this connection were answered. Later ones got no reply and can
        /// be sent again elsewhere.
        last_seq: u64,
        /// The reason for a person; may be empty.
        text: Text,
    },
}

impl Control {
    /// Its name in the protocol: `HELLO`, `WELCOME`, `GOAWAY` or `ERROR`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Hello { .. } => "HELLO",
            Self::Welcome { .. } => "WELCOME",
            Self::GoAway { .. } => "GOAWAY",
            Self::Error { .. } => "ERROR",
        }
    }

    /// Appends the frame's bytes, 16 to 216 of them, to `out`.
    pub fn encode(&self, out: &mut impl BufMut) {
        let (kind, flags, code, arg, text) = match self {
            Self::Hello { wanted, name } => {
                (HELLO, wanted.map_or(0, ReplyKind::flag), VERSION, 0, name)
            }
            Self::Welcome { granted, max_frame, text } => {
                (WELCOME, granted.flag(), VERSION, u64::from(max_frame.get()), text)
            }
            Self::GoAway { reason, closes_in, text } => {
                let millis = u64::try_from(closes_in.as_millis()).unwrap_or(u64::MAX);
                (GOAWAY, 0, reason.code(), millis, text)
            }
            Self::Error { reason, last_seq, text } => (ERROR, 0, reason.code(), *last_seq, text),
        };
        #[expect(clippy::cast_possible_truncation, reason = "a text has at most 200 bytes")]
        let len = (FIXED_LEN + text.len()) as u32;
        out.put_u32(1 << 31 | len);
        out.put_u8(kind);
        out.put_u8(flags);
        out.put_u16(code);
        out.put_u64(arg);
        out.put_slice(text.as_bytes());
    }

    /// Reads a control frame's body: what follows the head.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, ControlError> {
        let Some((mut fixed, text)) = body.split_at_checked(FIXED_LEN) else {
            // The parser checks the length first; this keeps the function total.
            return Err(ControlError::Short { len: body.len() });
        };
        let kind = fixed.get_u8();
        let flags = fixed.get_u8();
        let code = fixed.get_u16();
        let arg = fixed.get_u64();
        let text = || Text::parse(text);
        match kind {
            HELLO => {
                check_version(code)?;
                let wanted = match flags {
                    0 => None,
                    flags => Some(ReplyKind::from_flag("HELLO", flags)?),
                };
                Ok(Self::Hello { wanted, name: text()? })
            }
            WELCOME => {
                check_version(code)?;
                let granted = ReplyKind::from_flag("WELCOME", flags)?;
                Ok(Self::Welcome { granted, max_frame: MaxFrame::new(arg)?, text: text()? })
            }
            GOAWAY => {
                check_no_flags("GOAWAY", flags)?;
                let reason = Reason::from_code(code);
                Ok(Self::GoAway { reason, closes_in: Duration::from_millis(arg), text: text()? })
            }
            ERROR => {
                check_no_flags("ERROR", flags)?;
                Ok(Self::Error { reason: Reason::from_code(code), last_seq: arg, text: text()? })
            }
            kind => Err(ControlError::Type { kind }),
        }
    }
}

/// A control frame of legal length with illegal contents.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// Fewer bytes than the fixed fields take.
    #[error("control frame of {}: must be 12 to 212", bytes(*len as u64))]
    Short {
        /// How many there are.
        len: usize,
    },
    /// A type that the protocol does not know.
    #[error("control frame of unknown type {kind}")]
    Type {
        /// The type byte.
        kind: u8,
    },
    /// Flags that this type does not have.
    #[error("{name} with unknown flags {flags}")]
    Flags {
        /// The frame's name.
        name: &'static str,
        /// The flags byte.
        flags: u8,
    },
    /// A version other than [`VERSION`].
    #[error("protocol version {version}: only version 1 is known")]
    Version {
        /// The version that the peer speaks.
        version: u16,
    },
    /// A WELCOME with an impossible limit.
    #[error("WELCOME: {0}")]
    MaxFrame(#[from] MaxFrameError),
    /// A text that is not UTF-8.
    #[error("control frame whose text is not UTF-8 from byte {} on", .0.valid_up_to())]
    Text(#[from] Utf8Error),
}

/// What a data frame gets in return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum ReplyKind {
    /// The same payload.
    #[default]
    Echo,
    /// A 32-byte [`Receipt`](crate::Receipt).
    Ack,
}

impl ReplyKind {
    const fn flag(self) -> u8 {
        match self {
            Self::Echo => 1,
            Self::Ack => 2,
        }
    }

    const fn from_flag(name: &'static str, flags: u8) -> Result<Self, ControlError> {
        match flags {
            1 => Ok(Self::Echo),
            2 => Ok(Self::Ack),
            flags => Err(ControlError::Flags { name, flags }),
        }
    }
}

impl fmt::Display for ReplyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Echo => "echo",
            Self::Ack => "ack",
        })
    }
}

/// Why a server ends a connection, as GOAWAY and ERROR carry it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// 1: a frame longer than the server's limit.
    TooLarge,
    /// 2: no connection is free.
    Busy,
    /// 3: more than this peer may send.
    RateLimited,
    /// 4: nothing was sent for too long.
    Idle,
    /// 5: a frame took too long to arrive.
    FrameTooSlow,
    /// 6: the peer did not read its replies.
    ReaderTooSlow,
    /// 7: the server is going down.
    ShuttingDown,
    /// 8: bytes that the protocol does not allow here.
    Protocol,
    /// 9: a fault of the server's own.
    Internal,
    /// 10: this peer may not connect.
    Denied,
    /// 11: the connection is as old as one may get.
    LifetimeOver,
    /// 12: the server has no memory left for this.
    OutOfMemory,
    /// A code that this version does not know. Made by [`Reason::from_code`]: with a code that is
    /// known it would not come back equal from the wire.
    Other(u16),
}

impl Reason {
    /// Those that this version knows, by their numbers.
    pub const ALL: [Self; 12] = [
        Self::TooLarge,
        Self::Busy,
        Self::RateLimited,
        Self::Idle,
        Self::FrameTooSlow,
        Self::ReaderTooSlow,
        Self::ShuttingDown,
        Self::Protocol,
        Self::Internal,
        Self::Denied,
        Self::LifetimeOver,
        Self::OutOfMemory,
    ];

    /// In one word, for metrics: `too_large`. Those that this version does not know are `other`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Busy => "busy",
            Self::RateLimited => "rate_limited",
            Self::Idle => "idle",
            Self::FrameTooSlow => "frame_too_slow",
            Self::ReaderTooSlow => "reader_too_slow",
            Self::ShuttingDown => "shutting_down",
            Self::Protocol => "protocol",
            Self::Internal => "internal",
            Self::Denied => "denied",
            Self::LifetimeOver => "lifetime_over",
            Self::OutOfMemory => "out_of_memory",
            Self::Other(_) => "other",
        }
    }

    /// The number on the wire.
    pub const fn code(self) -> u16 {
        match self {
            Self::TooLarge => 1,
            Self::Busy => 2,
            Self::RateLimited => 3,
            Self::Idle => 4,
            Self::FrameTooSlow => 5,
            Self::ReaderTooSlow => 6,
            Self::ShuttingDown => 7,
            Self::Protocol => 8,
            Self::Internal => 9,
            Self::Denied => 10,
            Self::LifetimeOver => 11,
            Self::OutOfMemory => 12,
            Self::Other(code) => code,
        }
    }

    /// The reason behind a number on the wire. A number that is not known is kept: a newer server
    /// may have reasons of its own.
    pub const fn from_code(code: u16) -> Self {
        match code {
            1 => Self::TooLarge,
            2 => Self::Busy,
            3 => Self::RateLimited,
            4 => Self::Idle,
            5 => Self::FrameTooSlow,
            6 => Self::ReaderTooSlow,
            7 => Self::ShuttingDown,
            8 => Self::Protocol,
            9 => Self::Internal,
            10 => Self::Denied,
            11 => Self::LifetimeOver,
            12 => Self::OutOfMemory,
            code => Self::Other(code),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::TooLarge => "too large",
            Self::Busy => "busy",
            Self::RateLimited => "rate limited",
            Self::Idle => "idle",
            Self::FrameTooSlow => "frame too slow",
            Self::ReaderTooSlow => "reader too slow",
            Self::ShuttingDown => "shutting down",
            Self::Protocol => "protocol",
            Self::Internal => "internal",
            Self::Denied => "denied",
            Self::LifetimeOver => "lifetime over",
            Self::OutOfMemory => "out of memory",
            Self::Other(code) => return f.pad(&format!("reason {code}")),
        })
    }
}

/// What a control frame says to a person: at most [`Text::MAX_LEN`] bytes of UTF-8.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Text(String);

impl Text {
    /// The most bytes that a text may have.
    pub const MAX_LEN: usize = 200;

    /// Takes `text`, cut at the last character that fits.
    pub fn new(text: impl Into<String>) -> Self {
        let mut text = text.into();
        if text.len() > Self::MAX_LEN {
            let end = (0..=Self::MAX_LEN).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
            text.truncate(end);
        }
        Self(text)
    }

    fn parse(bytes: &[u8]) -> Result<Self, ControlError> {
        Ok(Self(std::str::from_utf8(bytes)?.to_owned()))
    }
}

impl std::ops::Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

const fn check_version(version: u16) -> Result<(), ControlError> {
    if version == VERSION { Ok(()) } else { Err(ControlError::Version { version }) }
}

const fn check_no_flags(name: &'static str, flags: u8) -> Result<(), ControlError> {
    if flags == 0 { Ok(()) } else { Err(ControlError::Flags { name, flags }) }
}
