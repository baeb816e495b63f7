//! Numbers with units, as flags take them, and the shortest texts that give them back.

use std::iter;
use std::time::Duration;

use crate::Misread;

/// The highest rate: a frame per nanosecond.
const MAX_RATE: f64 = 1e9;

/// How to write a number of things.
const COUNTS: &str = "write for example 1000, 50k or 1.5M";

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

/// The shortest text with or without a binary unit that [`parse_bytes`] reads as `bytes`.
pub fn format_bytes(bytes: u64) -> String {
    match bytes.trailing_zeros() {
        10..20 => format!("{}KiB", bytes >> 10),
        20..30 => format!("{}MiB", bytes >> 20),
        30..64 => format!("{}GiB", bytes >> 30),
        // 0 has 64 of them.
        _ => bytes.to_string(),
    }
}

/// A number of things: `1000`, `50k`, `1.5M`, `2G`, all decimal.
///
/// # Errors
///
/// A message for the user when `text` is no whole number, too large, or the unit is unknown.
pub fn parse_count(text: &str) -> Result<u64, String> {
    let (number, zeros) = split_unit(text, "number", COUNTS).map_err(|Misread { why, .. }| why)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > zeros {
        return Err(format!("`{text}` is no whole number: {COUNTS}"));
    }
    // Put together as digits, so that nothing is rounded.
    format!("0{whole}{fraction:0<zeros$}")
        .parse()
        .map_err(|_| format!("`{text}` is too large: at most {} can be counted", u64::MAX))
}

/// Frames per second: `500`, `50k`, `1.5M`, `0.5`, also `50k/s`. More than 0.
///
/// # Errors
///
/// A message for the user when `text` is no number, 0 or above 1G, or the unit is unknown.
pub fn parse_rate(text: &str) -> Result<f64, String> {
    match read_rate(text) {
        Ok(rate) if rate > 0.0 => Ok(rate),
        Ok(_) => Err("a rate of 0 sends nothing: write for example 500 or 50k".to_owned()),
        Err(Misread { why, .. }) => Err(why),
    }
}

/// Frames per second as [`parse_rate`] takes them, and 0; for a rate that is part of a longer text.
///
/// # Errors
///
/// [`Misread`] when `text` is no number or above 1G, or the unit is unknown.
pub fn read_rate(text: &str) -> Result<f64, Misread<'_>> {
    let per_second = text.strip_suffix("/s").unwrap_or(text);
    let (number, zeros) =
        split_unit(per_second, "rate", "write frames per second, for example 500, 50k or 1.5M")?;
    // Through the text, so that 1.1k is 1100 and not a bit more.
    match format!("{number}e{zeros}").parse() {
        Ok(rate) if rate <= MAX_RATE => Ok(rate),
        _ => Err(Misread::new(text, format!("a rate of {text} is above 1G, the highest there is"))),
    }
}

/// The shortest text that [`read_rate`] reads as `rate`; of two, the one with the larger unit.
pub fn format_rate(rate: f64) -> String {
    [("G", 1e9), ("M", 1e6), ("k", 1e3), ("", 1.0)]
        .iter()
        .map(|(unit, factor)| format!("{}{unit}", rate / factor))
        .filter(|text| read_rate(text) == Ok(rate))
        .min_by_key(String::len)
        .unwrap_or_else(|| rate.to_string())
}

/// A duration: `10s`, `5ms`, `2m`, `1m 30s`.
///
/// # Errors
///
/// A message for the user when `text` is no number or has no unit.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    // humantime panics where the sum overflows, so it is added up here first.
    let sum = spans(text).try_fold(Duration::ZERO, |sum, span| {
        sum.checked_add(humantime::parse_duration(span).ok()?)
    });
    sum.and_then(|_| humantime::parse_duration(text).ok()).ok_or_else(|| {
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

/// A duration that is not 0, as ping(8) takes it: `0.2` is seconds; and all that
/// [`parse_duration`] reads.
///
/// # Errors
///
/// A message for the user when `text` is neither, or 0.
pub fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds = match text.parse() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => parse_duration(text).ok(),
    };
    match seconds {
        Some(Duration::ZERO) => Err("write more than 0, for example 0.2 or 200ms".to_owned()),
        Some(duration) => Ok(duration),
        None => Err(format!("`{text}` is no duration: write for example 0.2, 200ms or 1m")),
    }
}

/// The shorter of two texts that [`parse_duration`] reads as `duration`: `1m30s` or `1.5ms`.
pub fn format_duration(duration: Duration) -> String {
    let spans = humantime::format_duration(duration).to_string().replace(' ', "");
    let decimal = format!("{duration:?}").replace('µ', "u");
    if decimal.len() < spans.len() { decimal } else { spans }
}

/// The number before a decimal unit, and how many zeros the unit stands for.
fn split_unit<'a>(
    text: &'a str,
    noun: &str,
    advice: &str,
) -> Result<(&'a str, usize), Misread<'a>> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..digits], text[digits..].trim());
    if number.parse::<f64>().is_err() {
        return Err(Misread::new(text, format!("`{text}` is no {noun}: {advice}")));
    }
    let zeros = match unit {
        "" => 0,
        "k" | "K" => 3,
        "M" => 6,
        "G" => 9,
        _ => {
            let why = format!("unknown unit `{unit}` in the {noun}: k, M and G are known");
            return Err(Misread::new(unit, why));
        }
    };
    Ok((number, zeros))
}

/// Numbers with their units, one at a time: `1m 30s` is `1m ` and `30s`.
fn spans(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    iter::from_fn(move || {
        let unit = rest.find(char::is_alphabetic).unwrap_or(rest.len());
        let next = rest[unit..].find(|c: char| c.is_ascii_digit());
        let (span, behind) = rest.split_at(next.map_or(rest.len(), |next| unit + next));
        rest = behind;
        (!span.is_empty()).then_some(span)
    })
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
    fn reads_seconds_as_ping_does() {
        let cases = [
            ("1", 1000),
            ("0.2", 200),
            (".5", 500),
            ("200ms", 200),
            ("1m 30s", 90_000),
            ("1e3", 1_000_000),
        ];
        for (text, millis) in cases {
            assert_eq!(parse_seconds(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "0", "0s", "-1", "NaN", "inf", "1x", "often", "1e30"] {
            assert!(parse_seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn reads_counts_without_rounding() {
        let cases = [
            ("0", 0),
            ("1000", 1000),
            ("50k", 50_000),
            ("50K", 50_000),
            ("1.5M", 1_500_000),
            (".5k", 500),
            ("2 G", 2_000_000_000),
            ("1.000", 1),
            ("18446744073709551.615k", u64::MAX),
        ];
        for (text, count) in cases {
            assert_eq!(parse_count(text), Ok(count), "{text}");
        }
    }

    #[test]
    fn says_why_a_text_is_no_count() {
        let cases = [
            ("1.5", "`1.5` is no whole number: write for example 1000, 50k or 1.5M"),
            ("1.0005k", "`1.0005k` is no whole number: write for example 1000, 50k or 1.5M"),
            ("-1", "`-1` is no number: write for example 1000, 50k or 1.5M"),
            ("", "`` is no number: write for example 1000, 50k or 1.5M"),
            ("1Ki", "unknown unit `Ki` in the number: k, M and G are known"),
            (
                "20000000000G",
                "`20000000000G` is too large: at most 18446744073709551615 can be counted",
            ),
        ];
        for (text, why) in cases {
            assert_eq!(parse_count(text), Err(why.to_owned()), "{text}");
        }
    }

    #[test]
    fn reads_rates() {
        let cases = [
            ("500", 500.0),
            ("0.5", 0.5),
            ("50k", 50_000.0),
            ("50k/s", 50_000.0),
            ("10/s", 10.0),
            ("1.1k", 1100.0),
            ("1.5M", 1_500_000.0),
            ("1G", 1e9),
        ];
        for (text, rate) in cases {
            assert_eq!(parse_rate(text), Ok(rate), "{text}");
        }
    }

    #[test]
    fn says_why_a_text_is_no_rate() {
        let advice = "write frames per second, for example 500, 50k or 1.5M";
        let cases = [
            ("", format!("`` is no rate: {advice}")),
            ("-5", format!("`-5` is no rate: {advice}")),
            ("NaN", format!("`NaN` is no rate: {advice}")),
            ("inf", format!("`inf` is no rate: {advice}")),
            ("1.2.3", format!("`1.2.3` is no rate: {advice}")),
            ("20q", "unknown unit `q` in the rate: k, M and G are known".to_owned()),
            ("20q/s", "unknown unit `q` in the rate: k, M and G are known".to_owned()),
            ("5ms", "unknown unit `ms` in the rate: k, M and G are known".to_owned()),
            ("2G", "a rate of 2G is above 1G, the highest there is".to_owned()),
            ("0", "a rate of 0 sends nothing: write for example 500 or 50k".to_owned()),
            ("0.0k", "a rate of 0 sends nothing: write for example 500 or 50k".to_owned()),
        ];
        for (text, why) in cases {
            assert_eq!(parse_rate(text), Err(why), "{text}");
        }
        let endless = "9".repeat(400);
        assert!(parse_rate(&endless).is_err());
    }

    #[test]
    fn blames_the_piece_of_a_rate_that_is_wrong() {
        for (text, place) in [("20q", "q"), ("20 qq/s", "qq"), ("x", "x"), ("2G", "2G")] {
            assert_eq!(read_rate(text).unwrap_err().place, place, "{text}");
        }
        assert_eq!(read_rate("0"), Ok(0.0));
    }

    #[test]
    fn formats_the_shortest_text() {
        for text in ["0", "100", "1k", "1234", "1.5k", "49.9k", "20M", "1G", "0.5"] {
            assert_eq!(format_rate(read_rate(text).unwrap()), text);
        }
        for text in ["0", "64", "1000", "4KiB", "1MiB", "1GiB", "1025KiB"] {
            assert_eq!(format_bytes(parse_bytes(text).unwrap()), text);
        }
        for text in ["0s", "1ns", "1.5us", "5ms", "1.5s", "90s", "1h30m", "8h", "2days"] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), text);
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_formatted_reads_back_the_same(
            rate in 0.0..=1e9,
            bytes: u64,
            seconds: u64,
            nanos in 0u32..1_000_000_000,
        ) {
            let text = format_rate(rate);
            proptest::prop_assert_eq!(read_rate(&text), Ok(rate));
            proptest::prop_assert_eq!(parse_bytes(&format_bytes(bytes)), Ok(bytes));
            let duration = Duration::new(seconds, nanos);
            proptest::prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn no_text_is_too_odd_to_be_refused(text in "\\PC*|[0-9.]{0,25} ?[a-zµ]{0,3}[0-9]*[a-z/]*") {
            let _ = (parse_bytes(&text), parse_count(&text), parse_rate(&text));
            let _ = parse_duration(&text);
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
        for text in ["", "10", "s", "-1s", "1 parsec", "1s 0", "1s0", "1m x"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_duration_that_no_number_holds_is_refused() {
        assert!(parse_duration("18446744073709551615s 1000ms").is_err());
        assert_eq!(parse_duration("18446744073709551615s 999ms").unwrap().as_secs(), u64::MAX);
    }
}
