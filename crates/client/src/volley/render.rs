//! Replies for people to read.

use std::fmt::Write as _;
use std::time::Duration;

use volley_cli::printable;
use volley_proto::Receipt;

/// The receipt of a frame of `len` bytes.
pub(crate) fn in_words(receipt: &Receipt, len: usize) -> String {
    let Receipt { crc32c, seq, total, received_at } = receipt;
    let received_at = time(*received_at);
    format!("ACK seq={seq} len={len} crc32c={crc32c:08x} total={total} received_at={received_at}")
}

/// Nanoseconds since the Unix epoch as RFC 3339 has it; a number if the date is beyond that.
pub(crate) fn time(nanos: u64) -> String {
    let since_epoch = Duration::from_nanos(nanos);
    match std::time::UNIX_EPOCH.checked_add(since_epoch) {
        Some(time) => humantime::format_rfc3339_nanos(time).to_string(),
        None => nanos.to_string(),
    }
}

/// A time in milliseconds, as replies are timed.
pub(crate) fn millis(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1e3)
}

/// A number of things, `s` behind their name unless it is one.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Bytes that a terminal shows and does not obey.
pub(crate) fn harmless(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        shown.push_str(&printable(chunk.valid()));
        for byte in chunk.invalid() {
            // A String takes whatever is written to it.
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_nothing_to_obey() {
        let shown = harmless(b"a\x1b[2J\xff\xc2\x9b\n\xe2\x82\xac");
        assert_eq!(shown, "a\\u{1b}[2J\\xff\\u{9b}\\n\u{20ac}");
    }
}
