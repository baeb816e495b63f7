//! Measured figures as people read them.

use thousands::Separable;

/// Nanoseconds with three significant digits, in the unit that suits them: `850 ns`, `12.3 µs`,
/// `1.25 ms`, `12.1 s`. From 1000 s on all digits before the point are kept.
pub fn latency(nanos: u64) -> String {
    // What is below 1000 ns has no digits to lose. Rounding comes before the unit is chosen: it
    // makes 1 ms of 999,950 ns.
    let digits = nanos.checked_ilog10().unwrap_or(0) + 1;
    let step = 10_u64.pow(digits.clamp(3, 12) - 3);
    let rounded = nanos.saturating_add(step / 2) / step * step;
    let (unit, name) = match rounded {
        0..1_000 => return format!("{rounded} ns"),
        1_000..1_000_000 => (1_000, "µs"),
        1_000_000..1_000_000_000 => (1_000_000, "ms"),
        _ => (1_000_000_000, "s"),
    };
    let whole = rounded / unit;
    let thousandths = rounded % unit / (unit / 1_000);
    match whole {
        0..10 => format!("{whole}.{:02} {name}", thousandths / 10),
        10..100 => format!("{whole}.{} {name}", thousandths / 100),
        _ => format!("{whole} {name}"),
    }
}

/// A whole number with a comma between the thousands.
pub fn count(number: u64) -> String {
    number.separate_with_commas()
}

/// A rate per second in whole numbers, small ones with two digits behind the point; a dash if it
/// is not known.
pub fn rate(per_second: Option<f64>) -> String {
    match per_second {
        None => "-".to_owned(),
        Some(rate) if rate < 100.0 => format!("{rate:.2}"),
        Some(rate) => format!("{rate:.0}").separate_with_commas(),
    }
}

/// A part of a whole in percent, with as many digits as it takes to tell it from 0 % and 100 %.
pub fn percent(part: f64) -> String {
    let percent = part * 100.0;
    let distance = percent.min(100.0 - percent).abs();
    let digits = match distance {
        10.0.. => 0,
        0.1.. => 1,
        _ => 3,
    };
    let text = format!("{percent:.digits$}");
    let text = if digits > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text} %")
}

/// Bytes per second in units of 1000; a dash if no time has passed.
pub fn bandwidth(bytes: u64, seconds: f64) -> String {
    if seconds <= 0.0 {
        return "-".to_owned();
    }
    #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
    let rate = bytes as f64 / seconds;
    let (rate, unit) = match rate {
        0.0..1e3 => (rate, "B/s"),
        1e3..1e6 => (rate / 1e3, "kB/s"),
        1e6..1e9 => (rate / 1e6, "MB/s"),
        _ => (rate / 1e9, "GB/s"),
    };
    let digits = if rate >= 99.95 { 0 } else { 1 };
    format!("{rate:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_from_none_and_all() {
        let cases = [
            (0.0, "0 %"),
            (0.00042, "0.042 %"),
            (0.012, "1.2 %"),
            (0.5, "50 %"),
            (0.97, "97 %"),
            (0.9995, "99.95 %"),
            (1.0, "100 %"),
        ];
        for (part, text) in cases {
            assert_eq!(percent(part), text);
        }
    }

    #[test]
    fn rates_have_thousands_or_digits_behind_the_point() {
        assert_eq!(rate(None), "-");
        assert_eq!(rate(Some(0.5)), "0.50");
        assert_eq!(rate(Some(1_234_567.8)), "1,234,568");
        assert_eq!(count(1_234_567), "1,234,567");
    }

    #[test]
    fn bandwidths_have_the_unit_that_suits() {
        let cases = [(0, "0.0 B/s"), (1500, "1.5 kB/s"), (26_400_000, "26.4 MB/s")];
        for (bytes, text) in cases {
            assert_eq!(bandwidth(bytes, 1.0), text);
        }
        assert_eq!(bandwidth(123_456_000, 1.0), "123 MB/s");
        assert_eq!(bandwidth(1, 0.0), "-");
    }

    #[test]
    fn a_latency_has_three_digits_and_the_unit_that_suits() {
        for (nanos, text) in [
            (0, "0 ns"),
            (7, "7 ns"),
            (850, "850 ns"),
            (999, "999 ns"),
            (1_000, "1.00 µs"),
            (1_234, "1.23 µs"),
            (12_345, "12.3 µs"),
            (110_230, "110 µs"),
            (1_250_000, "1.25 ms"),
            (1_255_000, "1.26 ms"),
            (12_080_000_000, "12.1 s"),
            (600_000_000_000, "600 s"),
            (1_234_567_000_000, "1235 s"),
        ] {
            assert_eq!(latency(nanos), text, "{nanos}");
        }
    }

    #[test]
    fn rounding_up_moves_to_the_next_unit() {
        assert_eq!(latency(9_994), "9.99 µs");
        assert_eq!(latency(9_995), "10.0 µs");
        assert_eq!(latency(99_950), "100 µs");
        assert_eq!(latency(999_499), "999 µs");
        assert_eq!(latency(999_500), "1.00 ms");
        assert_eq!(latency(999_500_000), "1.00 s");
    }

    #[test]
    fn the_longest_number_is_shown_too() {
        assert_eq!(latency(u64::MAX), "18446744073 s");
    }
}
