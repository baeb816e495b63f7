//! What came in place of what has to come first.

use std::fmt;

use volley_proto::{Foreign, MaxFrame, parse};

/// What the first bytes of a connection are, if they are not what they have to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Instead {
    /// Another protocol.
    Foreign(Foreign),
    /// A client that speaks plain frames.
    Frame,
    /// Too few bytes to tell, or nothing that is known.
    Else,
}

impl Instead {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let Some(&head) = bytes.first_chunk() else { return Self::Else };
        match Foreign::recognize(head) {
            Some(foreign) => Self::Foreign(foreign),
            None if parse(bytes, MaxFrame::CEILING).is_ok() => Self::Frame,
            None => Self::Else,
        }
    }
}

impl fmt::Display for Instead {
    /// A predicate: `looks like HTTP`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign(foreign) => write!(f, "looks like {foreign}"),
            Self::Frame => f.write_str("is a frame"),
            Self::Else => f.write_str("is something else"),
        }
    }
}
