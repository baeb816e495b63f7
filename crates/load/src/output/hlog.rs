//! The run's histograms second by second, as an HdrHistogram interval log, version 1.3 with tags.
//! It is written while the run goes on, so it needs no memory, however long that takes.

use std::fmt::Write as _;
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::measure::interval::Interval;
use crate::measure::recorder::Latencies;
use crate::output::histogram;

/// Nanoseconds in a millisecond, in which the log has the longest value of each line.
const MILLISECOND: f64 = 1e6;

/// Writes an interval log.
///
/// The writer of `hdrhistogram` borrows what it writes to, so it can't be kept from second to
/// second; a new one each time would write its header again.
#[derive(Debug)]
pub struct IntervalLog<W> {
    out: W,
}

impl<W: io::Write> IntervalLog<W> {
    /// Writes the header. `started_at` is when second 0 began; all other instants are told in
    /// seconds since then.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn new(mut out: W, started_at: SystemTime) -> io::Result<Self> {
        let started = started_at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        // With both times no reader has to guess from which of them seconds are counted.
        let header = format!(
            "#[Histogram log format version 1.3]\n\
             #[StartTime: {started:.3} (seconds since epoch)]\n\
             #[BaseTime: {started:.3} (seconds since epoch)]\n\
             \"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\
             \"Interval_Compressed_Histogram\"\n"
        );
        out.write_all(header.as_bytes())?;
        out.flush()?;
        Ok(Self { out })
    }

    /// Writes a line for each histogram of a second: `response` and `service` always, `send_delay`,
    /// `connect` and `handshake` if they have values. In a closed loop `response` is the same as `service`.
    /// Seconds of the warm-up, whose numbers are below 0, are left out.
    ///
    /// # Errors
    ///
    /// Those of `out`. What was written then ends with a line that is cut off.
    pub fn second(&mut self, number: i64, interval: &Interval) -> io::Result<()> {
        if number < 0 {
            return Ok(());
        }
        let run = &interval.run;
        let is_planned = !run.response.histogram().is_empty();
        let response = if is_planned { &run.response } else { &run.service };
        let mut lines = String::new();
        line(&mut lines, "response", number, response)?;
        line(&mut lines, "service", number, &run.service)?;
        let others = [
            ("send_delay", &run.send_delay),
            ("connect", &run.connect),
            ("handshake", &run.handshake),
        ];
        for (tag, latencies) in others {
            if !latencies.histogram().is_empty() {
                line(&mut lines, tag, number, latencies)?;
            }
        }
        self.out.write_all(lines.as_bytes())?;
        self.out.flush()
    }

    /// What it is written to.
    pub fn into_inner(self) -> W {
        self.out
    }
}

fn line(lines: &mut String, tag: &str, number: i64, latencies: &Latencies) -> io::Result<()> {
    let max = latencies.histogram().max() as f64 / MILLISECOND;
    let encoded = histogram::encode(latencies).map_err(io::Error::other)?;
    writeln!(lines, "Tag={tag},{number}.000,1.000,{max:.3},{encoded}").map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use hdrhistogram::Histogram;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::*;
    use crate::output::sample;

    /// 2026-11-22T17:55:51.850Z.
    fn started_at() -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(1_795_370_151_850)
    }

    fn log(seconds: &[(i64, Interval)]) -> Vec<u8> {
        let mut log = IntervalLog::new(Vec::new(), started_at()).unwrap();
        for (number, interval) in seconds {
            log.second(*number, interval).unwrap();
        }
        log.into_inner()
    }

    /// When each line of a tag begins, and its histogram.
    type Lines = BTreeMap<String, Vec<(u64, Histogram<u64>)>>;

    fn read(log: &[u8]) -> Lines {
        let mut lines = Lines::new();
        let mut times = Vec::new();
        for entry in IntervalLogIterator::new(log) {
            match entry.unwrap() {
                LogEntry::StartTime(time) | LogEntry::BaseTime(time) => times.push(time),
                LogEntry::Interval(line) => {
                    let histogram = histogram::decode(line.encoded_histogram());
                    assert_eq!(line.duration(), Duration::from_secs(1));
                    let max = histogram.max() as f64 / 1e6;
                    assert!((line.max() - max).abs() <= 0.0005, "{} {max}", line.max());
                    let start = line.start_timestamp();
                    assert_eq!(start.subsec_nanos(), 0);
                    let tag = line.tag().unwrap().as_str().to_owned();
                    lines.entry(tag).or_default().push((start.as_secs(), histogram));
                }
            }
        }
        assert_eq!(times, [Duration::from_millis(1_795_370_151_850); 2]);
        lines
    }

    fn sum(lines: &[(u64, Histogram<u64>)]) -> Histogram<u64> {
        let mut sum = Latencies::new().histogram().clone();
        for (_, histogram) in lines {
            sum.add(histogram).unwrap();
        }
        sum
    }

    #[test]
    fn the_seconds_of_an_open_loop_add_up_to_the_run() {
        let seconds = (0..5_u32).map(|n| (n.into(), sample::second(n.into(), true)));
        let seconds: Vec<_> = seconds.collect();
        let mut total = Interval::default();
        for (_, interval) in &seconds {
            total += interval;
        }
        let lines = read(&log(&seconds));
        let tags: Vec<_> = lines.keys().map(String::as_str).collect();
        assert_eq!(tags, ["connect", "handshake", "response", "send_delay", "service"]);
        let run = total.run;
        assert_eq!(sum(&lines["response"]), *run.response.histogram());
        assert_eq!(sum(&lines["service"]), *run.service.histogram());
        assert_eq!(sum(&lines["send_delay"]), *run.send_delay.histogram());
        assert_eq!(sum(&lines["connect"]), *run.connect.histogram());
        assert_eq!(sum(&lines["handshake"]), *run.handshake.histogram());
        let starts: Vec<_> = lines["response"].iter().map(|(start, _)| *start).collect();
        assert_eq!(starts, [0, 1, 2, 3, 4]);
        // Only then were connections opened.
        assert_eq!(lines["connect"].len(), 1);
    }

    #[test]
    fn in_a_closed_loop_the_response_is_the_service() {
        let lines = read(&log(&[(0, sample::second(0, false)), (1, sample::second(1, false))]));
        assert!(!lines.contains_key("send_delay"));
        assert_eq!(lines["response"], lines["service"]);
        assert!(!sum(&lines["response"]).is_empty());
    }

    #[test]
    fn a_second_without_replies_has_its_lines() {
        let lines = read(&log(&[(7, Interval::default())]));
        assert_eq!(lines.keys().collect::<Vec<_>>(), ["response", "service"]);
        assert_eq!(lines["response"], [(7, Latencies::new().histogram().clone())]);
    }

    #[test]
    fn the_warm_up_is_left_out() {
        let header = log(&[]);
        assert_eq!(log(&[(-2, sample::second(0, true)), (-1, sample::second(1, true))]), header);
        // Frames of the warm-up can be answered in a second of the run.
        let late = Interval { warmup: sample::second(0, true).run, ..Interval::default() };
        assert!(sum(&read(&log(&[(0, late)]))["service"]).is_empty());
    }
}
