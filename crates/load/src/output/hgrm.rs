//! The response latencies as HdrHistogram's percentile distribution, which its plotters read:
//! what `outputPercentileDistribution` of the Java library prints. Values are milliseconds.

use std::io;

use hdrhistogram::Histogram;

use crate::report::Report;

/// Nanoseconds in a millisecond.
const MILLISECOND: f64 = 1e6;

/// Writes the distribution of the run's response latencies, in many small pieces.
///
/// # Errors
///
/// Those of `out`.
pub fn write(report: &Report, out: &mut impl io::Write) -> io::Result<()> {
    let histogram = report.run.response.histogram.histogram();
    let header = ("Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    writeln!(out, "{:>12} {:>14} {:>10} {:>14}\n", header.0, header.1, header.2, header.3)?;
    write_lines(histogram, out)?;
    let (mean, deviation) = (histogram.mean() / MILLISECOND, histogram.stdev() / MILLISECOND);
    writeln!(out, "#[Mean    = {mean:12.6}, StdDeviation   = {deviation:12.6}]")?;
    let (max, count) = (millis(histogram.max()), histogram.len());
    writeln!(out, "#[Max     = {max:12.6}, Total count    = {count:12}]")?;
    let (buckets, sub_buckets) = (histogram.buckets(), sub_buckets(histogram));
    writeln!(out, "#[Buckets = {buckets:12}, SubBuckets     = {sub_buckets:12}]")
}

/// A line for each level up to the first that only the longest latency reaches, and one for 100 %.
///
/// The quantile iterator of `hdrhistogram` adds up its levels as floats, so that some come out a
/// bit too high and name the next longer latency.
fn write_lines(histogram: &Histogram<u64>, out: &mut impl io::Write) -> io::Result<()> {
    let mut level = Level::FIRST;
    let mut total = 0;
    for step in histogram.iter_recorded() {
        total += step.count_at_value();
        let value = millis(step.value_iterated_to());
        while level.is_reached(total, histogram.len()) {
            let (quantile, inverse) = (1.0 - level.rest(), 1.0 / level.rest());
            // The Java library has 3 decimals here. Nanoseconds need 6, and all readers take them.
            writeln!(out, "{value:12.6} {quantile:.12} {total:10} {inverse:14.2}")?;
            level = level.next();
            if total == histogram.len() {
                writeln!(out, "{value:12.6} {:.12} {total:10}", 1.0)?;
                break;
            }
        }
    }
    Ok(())
}

/// A quantile: all but `tenths` / 10 / 2^`halvings`. Each halving of the distance to 100 % has five
/// levels, as the plotters' examples have them.
#[derive(Clone, Copy, Debug)]
struct Level {
    tenths: u32,
    halvings: u32,
}

impl Level {
    const FIRST: Self = Self { tenths: 10, halvings: 0 };

    const fn next(self) -> Self {
        match self.tenths {
            6 => Self { tenths: 10, halvings: self.halvings + 1 },
            tenths => Self { tenths: tenths - 1, halvings: self.halvings },
        }
    }

    /// What is missing to 100 %.
    fn rest(self) -> f64 {
        f64::from(self.tenths) / 10.0 / f64::from(self.halvings).exp2()
    }

    /// Whether `count` of `all` latencies are at least this part of them.
    fn is_reached(self, count: u64, all: u64) -> bool {
        // Of fewer than 2^60 only all are enough from there on.
        let parts = 10_u128 << self.halvings.min(60);
        u128::from(all - count) * parts <= u128::from(all) * u128::from(self.tenths)
    }
}

fn millis(nanos: u64) -> f64 {
    nanos as f64 / MILLISECOND
}

/// How finely a bucket is divided: to tell two values that differ in the last of the digits.
fn sub_buckets(histogram: &Histogram<u64>) -> u64 {
    (2 * 10_u64.pow(histogram.sigfig().into())).next_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::sample;

    fn text(report: &Report) -> String {
        let mut out = Vec::new();
        write(report, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// The columns of all lines, as a plotter reads them.
    fn rows(text: &str) -> Vec<Vec<f64>> {
        let lines = text.lines().skip(2).take_while(|line| !line.starts_with('#'));
        lines.map(|line| line.split_whitespace().map(|n| n.parse().unwrap()).collect()).collect()
    }

    #[test]
    fn looks_as_the_java_library_prints_it() {
        let mut report = sample::empty();
        for nanos in [1_000_000, 2_000_000, 3_000_000, 4_000_000] {
            report.run.response.histogram.record(nanos, 1);
        }
        // What HdrHistogram 2.1.11 prints for these four, but for the number of decimals.
        let expected = [
            "       Value     Percentile TotalCount 1/(1-Percentile)",
            "",
            "    1.000447 0.000000000000          1           1.00",
            "    1.000447 0.100000000000          1           1.11",
            "    1.000447 0.200000000000          1           1.25",
            "    2.000895 0.300000000000          2           1.43",
            "    2.000895 0.400000000000          2           1.67",
            "    2.000895 0.500000000000          2           2.00",
            "    3.000319 0.550000000000          3           2.22",
            "    3.000319 0.600000000000          3           2.50",
            "    3.000319 0.650000000000          3           2.86",
            "    3.000319 0.700000000000          3           3.33",
            "    3.000319 0.750000000000          3           4.00",
            "    4.001791 0.775000000000          4           4.44",
            "    4.001791 1.000000000000          4",
            "#[Mean    =     2.500160, StdDeviation   =     1.118106]",
            "#[Max     =     4.001791, Total count    =            4]",
            "#[Buckets =           12, SubBuckets     =         2048]",
            "",
        ];
        assert_eq!(text(&report).split('\n').collect::<Vec<_>>(), expected);
    }

    #[test]
    fn every_line_says_what_the_histogram_says() {
        let report = sample::full();
        let histogram = report.run.response.histogram.histogram();
        let rows = rows(&text(&report));
        assert!(rows.len() > 20, "{} lines", rows.len());
        for row in &rows {
            let value = histogram.highest_equivalent(histogram.value_at_quantile(row[1]));
            assert_eq!(row[0], millis(value), "{row:?}");
            assert_eq!(row[2], histogram.count_between(0, value) as f64, "{row:?}");
            if let Some(inverse) = row.get(3) {
                assert!((1.0 / (1.0 - row[1]) - inverse).abs() <= 0.0051, "{row:?}");
            }
        }
        let last = rows.last().unwrap();
        assert_eq!((last.len(), last[1], last[2]), (3, 1.0, histogram.len() as f64));
    }

    #[test]
    fn nothing_measured_is_a_distribution_without_lines() {
        let text = text(&sample::empty());
        assert!(rows(&text).is_empty(), "{text}");
        assert!(text.contains("Total count    =            0]\n"), "{text}");
    }
}
