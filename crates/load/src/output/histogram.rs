//! A histogram as text, in the encoding that HdrHistogram's libraries of all languages read.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::serialization::{Serializer, V2DeflateSerializeError, V2DeflateSerializer};

use crate::measure::recorder::Latencies;

/// HdrHistogram's V2 encoding, compressed and in base64.
pub(crate) fn encode(latencies: &Latencies) -> Result<String, V2DeflateSerializeError> {
    let mut bytes = Vec::new();
    V2DeflateSerializer::new().serialize(latencies.histogram(), &mut bytes)?;
    Ok(STANDARD.encode(bytes))
}

/// The opposite of [`encode`].
#[cfg(test)]
pub(crate) fn decode(text: &str) -> hdrhistogram::Histogram<u64> {
    let bytes = STANDARD.decode(text).unwrap();
    hdrhistogram::serialization::Deserializer::new().deserialize(&mut &bytes[..]).unwrap()
}
