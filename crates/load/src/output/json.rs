//! The report as JSON. Its schema, `docs/report.schema.json`, is made from the report's types.

use std::io;

use serde::{Serialize, Serializer, ser};

use crate::measure::recorder::Latencies;
use crate::output::histogram;
use crate::report::Report;

/// Writes the report with line breaks, in many small pieces. A figure that is not finite becomes
/// null.
///
/// # Errors
///
/// Those of `out`.
pub fn write(report: &Report, out: &mut impl io::Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, report)?;
    out.write_all(b"\n")
}

/// How a histogram stands in the report.
pub(crate) fn encoded<S: Serializer>(latencies: &Latencies, to: S) -> Result<S::Ok, S::Error> {
    histogram::encode(latencies).map_err(ser::Error::custom)?.serialize(to)
}

#[cfg(test)]
pub(crate) mod tests;
