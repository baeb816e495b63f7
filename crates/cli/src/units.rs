//! Numbers with units, as flags take them.

use std::time::Duration;

/// A number of bytes: `65536`, `64KiB` (1024), `64kB` or `64k` (1000), `1.5M`.
///
/// # Errors
///
/// A message for the user when `text` is no number or the unit is unknown.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    text.parse::<bytesize::ByteSize>().map(|size| size.as_u64()).map_err(|_| {
        format!("`{text}` is no size: write bytes with a unit, for example 512, 64KiB or 1.5M")
    })
}

/// A duration: `10s`, `5ms`, `2m`, `1m 30s`.
///
/// # Errors
///
/// A message for the user when `text` is no number or has no unit.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| {
        format!("`{text}` is no duration: write a number and a unit, for example 5ms, 10s or 2m")
    })
}

/// A duration that is not 0, for a wait.
///
/// # Errors
///
/// A message for the user, as [`parse_duration`].
pub fn parse_timeout(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err("nothing can be done within 0: write for example 500ms".to_owned()),
        timeout => Ok(timeout),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sizes_with_decimal_and_binary_units() {
        let cases = [
            ("0", 0),
            ("512", 512),
            ("64k", 64_000),
            ("64kB", 64_000),
            ("64KiB", 65_536),
            ("1MiB", 1 << 20),
            ("1.5M", 1_500_000),
            ("64 MiB", 64 << 20),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_size() {
        for text in ["", "k", "-1", "1x", "1.2.3", "one"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn reads_durations() {
        let cases = [
            ("5ms", Duration::from_millis(5)),
            ("10s", Duration::from_secs(10)),
            ("2m", Duration::from_secs(120)),
            ("1m 30s", Duration::from_secs(90)),
            ("0s", Duration::ZERO),
        ];
        for (text, duration) in cases {
            assert_eq!(parse_duration(text), Ok(duration), "{text}");
        }
    }

    #[test]
    fn a_timeout_of_0_is_refused() {
        assert!(parse_timeout("0s").is_err() && parse_timeout("0").is_err());
        assert_eq!(parse_timeout("1ms"), Ok(Duration::from_millis(1)));
    }

    #[test]
    fn refuses_a_duration_without_a_unit() {
        for text in ["", "10", "s", "-1s", "1 parsec"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
