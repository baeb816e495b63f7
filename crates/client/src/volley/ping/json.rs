//! Events and summaries as objects, one per line (NDJSON). docs/CLIENT.md describes the fields.

use std::time::SystemTime;

use serde::{Serialize, Serializer};

use super::event::Event;
use super::tally::Summary;

/// What every object has, and what is in it.
#[derive(Serialize)]
struct Object<'a, T> {
    #[serde(serialize_with = "rfc3339")]
    at: SystemTime,
    target: &'a str,
    #[serde(flatten)]
    content: T,
}

/// An event as an object; nothing for events that are told by others.
pub(crate) fn line(event: &Event, target: &str, at: SystemTime) -> Option<String> {
    if matches!(event, Event::Ping) {
        return None;
    }
    serde_json::to_string(&Object { at, target, content: event }).ok()
}

/// A summary as an object.
pub(crate) fn summary(summary: &Summary, target: &str) -> Option<String> {
    #[derive(Serialize)]
    struct Tagged<'a> {
        event: &'static str,
        #[serde(flatten)]
        summary: &'a Summary,
    }
    let content = Tagged { event: "summary", summary };
    serde_json::to_string(&Object { at: SystemTime::now(), target, content }).ok()
}

fn rfc3339<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_micros(*at))
}
