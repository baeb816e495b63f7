//! Whether a reply is right: as the protocol says, as the user says, or in any case.

use std::str::FromStr;

use bytes::Bytes;
use regex::bytes::Regex;
use volley_client::advice::mismatch_hint;
use volley_client::{Arrival, Mismatch};
use volley_proto::Receipt;

/// What makes a reply right.
#[derive(Debug)]
pub(crate) enum Check {
    /// It is its frame's echo or receipt.
    Due {
        /// What to try if it has nothing of either.
        otherwise: &'static str,
    },
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
    /// What to try; empty if there is nothing.
    pub(crate) hint: &'static str,
}

impl Wrong {
    /// What went wrong, with what to try next.
    pub(crate) fn message(&self) -> String {
        let Self { why, hint, .. } = self;
        if hint.is_empty() { why.clone() } else { format!("{why} ({hint})") }
    }
}

impl Check {
    pub(crate) fn judge(&self, arrival: &Arrival) -> Verdict {
        let wrong = |why, due| Verdict::Wrong(Wrong { why, due, hint: "" });
        let (seq, received) = (arrival.seq, &arrival.payload);
        match self {
            Self::Nothing => Verdict::Unchecked,
            Self::Due { otherwise } => match arrival.check() {
                Ok(reply) => Verdict::Right(reply.receipt),
                Err(mismatch) => Verdict::Wrong(Wrong {
                    why: mismatch.to_string(),
                    due: Some(arrival.due()),
                    hint: hint(arrival, &mismatch, otherwise),
                }),
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

/// What to try after this reply. One that begins as its frame does is damaged, and not of a server
/// that answers something else.
fn hint(arrival: &Arrival, mismatch: &Mismatch, otherwise: &'static str) -> &'static str {
    let (sent, received) = (&arrival.sent, &arrival.payload);
    match (mismatch, mismatch_hint(mismatch)) {
        (Mismatch::Echo { .. }, "") if sent.first() != received.first() => otherwise,
        (Mismatch::Receipt { .. }, _) if sent != received => otherwise,
        (_, hint) => hint,
    }
}
