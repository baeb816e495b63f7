//! What became of a frame, as a JSON object on one line.

use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use volley_client::Arrival;
use volley_proto::Receipt;

use super::flight::InFlight;
use crate::check::Verdict;
use crate::render::time;

/// A line of `--output ndjson`. docs/CLIENT.md describes its fields to users.
#[derive(Debug, Serialize)]
pub(crate) struct Record<'a> {
    seq: u64,
    verdict: &'static str,
    sent_bytes: usize,
    bytes: Option<usize>,
    rtt_ns: Option<u64>,
    #[serde(flatten)]
    content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
}

/// What a reply holds, under a name that says how it is written.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Content<'a> {
    Receipt { crc32c: String, seq: u64, total: u64, received_at: String },
    Reply(&'a str),
    ReplyBase64(String),
}

impl<'a> Record<'a> {
    /// Of the reply to the frame with this number in the input.
    pub(crate) fn of_reply(number: u64, arrival: &'a Arrival, verdict: &'a Verdict) -> Self {
        let (name, receipt, why) = match verdict {
            Verdict::Right(receipt) => ("ok", *receipt, None),
            Verdict::Unchecked => ("unchecked", None, None),
            Verdict::Wrong(wrong) => ("mismatch", None, Some(wrong.why.as_str())),
        };
        let content = match receipt {
            Some(Receipt { crc32c, seq, total, received_at }) => Content::Receipt {
                crc32c: format!("{crc32c:08x}"),
                seq,
                total,
                received_at: time(received_at),
            },
            None => match str::from_utf8(&arrival.payload) {
                Ok(text) => Content::Reply(text),
                Err(_) => Content::ReplyBase64(STANDARD.encode(&arrival.payload)),
            },
        };
        Self {
            seq: number,
            verdict: name,
            sent_bytes: arrival.sent.len(),
            bytes: Some(arrival.payload.len()),
            rtt_ns: Some(u64::try_from(arrival.rtt.as_nanos()).unwrap_or(u64::MAX)),
            content: Some(content),
            why,
        }
    }

    /// Of a frame that will get no reply.
    pub(crate) const fn of_lost(frame: &InFlight, why: &'a str) -> Self {
        Self {
            seq: frame.number,
            verdict: "lost",
            sent_bytes: frame.payload.len(),
            bytes: None,
            rtt_ns: None,
            content: None,
            why: Some(why),
        }
    }

    /// The object, without a character that a terminal would obey.
    pub(crate) fn to_json(&self) -> String {
        // Strings and numbers can always be written.
        let json = serde_json::to_string(self).unwrap_or_default();
        if !json.contains(char::is_control) {
            return json;
        }
        // JSON lets DEL and the control characters above it stand in strings.
        let mut harmless = String::with_capacity(json.len());
        for character in json.chars() {
            if character.is_control() {
                let _ = write!(harmless, "\\u{:04x}", u32::from(character));
            } else {
                harmless.push(character);
            }
        }
        harmless
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_lost_frame_says_why() {
        let frame = InFlight { number: 7, payload: Bytes::from_static(b"hello") };
        let json = Record::of_lost(&frame, "closed \u{1b}\u{7f}\u{9b}").to_json();
        let expected = r#"{"seq":7,"verdict":"lost","sent_bytes":5,"bytes":null,"rtt_ns":null,"#
            .to_owned()
            + r#""why":"closed \u001b\u007f\u009b"}"#;
        assert_eq!(json, expected);
    }
}
