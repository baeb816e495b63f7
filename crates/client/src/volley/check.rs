//! Whether a reply is right: as the protocol says, as the user says, or in any case.

use std::str::FromStr;

use bytes::Bytes;
use regex::bytes::Regex;
use volley_client::Arrival;
use volley_proto::Receipt;

/// What makes a reply right.
#[derive(Debug)]
pub(crate) enum Check {
    /// It is its frame's echo or receipt.
    Due,
    /// It is what the user expects.
    Expected(Expectation),
    /// It came.
    Nothing,
}

/// The reply that the user expects to each frame.
#[derive(Clone, Debug)]
pub(crate) enum Expectation {
    /// Just this.
    Text(String),
    /// Something in which this matches.
    Pattern(Regex),
}

impl FromStr for Expectation {
    type Err = regex::Error;

    /// `/…/` is a pattern, anything else a text.
    fn from_str(text: &str) -> Result<Self, regex::Error> {
        match text.strip_prefix('/').and_then(|text| text.strip_suffix('/')) {
            Some(pattern) => Ok(Self::Pattern(Regex::new(pattern)?)),
            None => Ok(Self::Text(text.to_owned())),
        }
    }
}

/// What is to be said of a reply.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It is right.
    Right(Option<Receipt>),
    /// Nobody asked.
    Unchecked,
    Wrong(Wrong),
}

/// Why a reply is wrong.
#[derive(Debug)]
pub(crate) struct Wrong {
    /// In words.
    pub(crate) why: String,
    /// The payload that should have come, if there is only one.
    pub(crate) due: Option<Bytes>,
}

impl Check {
    pub(crate) fn judge(&self, arrival: &Arrival) -> Verdict {
        let wrong = |why, due| Verdict::Wrong(Wrong { why, due });
        let (seq, received) = (arrival.seq, &arrival.payload);
        match self {
            Self::Nothing => Verdict::Unchecked,
            Self::Due => match arrival.check() {
                Ok(reply) => Verdict::Right(reply.receipt),
                Err(mismatch) => wrong(mismatch.to_string(), Some(arrival.due())),
            },
            Self::Expected(Expectation::Text(text)) if text.as_bytes() == received => {
                Verdict::Right(None)
            }
            Self::Expected(Expectation::Text(text)) => wrong(
                format!("reply {seq} is not the one that was expected"),
                Some(Bytes::copy_from_slice(text.as_bytes())),
            ),
            Self::Expected(Expectation::Pattern(pattern)) if pattern.is_match(received) => {
                Verdict::Right(None)
            }
            Self::Expected(Expectation::Pattern(pattern)) => {
                wrong(format!("reply {seq} does not match /{pattern}/"), None)
            }
        }
    }
}
