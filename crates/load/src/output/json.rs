//! The report as JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::serialization::{Serializer as _, V2DeflateSerializer};
use serde::{Serialize, Serializer, ser};

use crate::recorder::Latencies;

/// A histogram in HdrHistogram's V2 encoding, compressed and in base64, as the libraries of all
/// languages read it.
pub(crate) fn encoded<S: Serializer>(latencies: &Latencies, to: S) -> Result<S::Ok, S::Error> {
    let mut bytes = Vec::new();
    let mut encoder = V2DeflateSerializer::new();
    encoder.serialize(latencies.histogram(), &mut bytes).map_err(ser::Error::custom)?;
    STANDARD.encode(bytes).serialize(to)
}
