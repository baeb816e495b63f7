//! A page of OpenMetrics 1.0, read strictly: what a scraper may choke on fails the test. Only what
//! the daemon writes is known here, so no exemplars, timestamps or escaped labels.

use std::collections::{BTreeMap, BTreeSet};

/// A metric by its name and labels, as on the page: `volleyd_frames_dropped_total` and
/// `listener="tcp://127.0.0.1:7007",reason="reset"`.
type Series = (String, BTreeMap<String, String>);

/// The metrics of one scrape.
#[derive(Clone, Debug)]
pub struct Metrics {
    samples: BTreeMap<Series, f64>,
}

/// What stands between `# TYPE` and the next one.
struct Family {
    name: String,
    kind: String,
}

impl Metrics {
    /// Reads a page.
    ///
    /// # Panics
    ///
    /// When it is no OpenMetrics, with the line.
    #[track_caller]
    pub fn parse(page: &str) -> Self {
        let body = page.strip_suffix("# EOF\n").unwrap_or_else(|| panic!("no end: {page}"));
        let (mut samples, mut names) = (BTreeMap::new(), BTreeSet::new());
        let mut family: Option<Family> = None;
        for line in body.lines() {
            let words: Vec<_> = line.splitn(4, ' ').collect();
            match words[..] {
                ["#", "HELP", _, help] => assert!(!help.is_empty(), "{line}"),
                ["#", "TYPE", name, kind] => {
                    assert!(names.insert(name.to_owned()), "a second time: {line}");
                    family = Some(Family { name: name.to_owned(), kind: kind.to_owned() });
                }
                ["#", "UNIT", name, unit] => {
                    let family = family.as_ref().unwrap_or_else(|| panic!("no type: {line}"));
                    assert_eq!(family.name, name);
                    assert!(name.ends_with(&format!("_{unit}")), "{line}");
                }
                _ => {
                    let family = family.as_ref().unwrap_or_else(|| panic!("no type: {line}"));
                    let (series, value) = sample(line);
                    assert!(family.has(&series), "not of {}: {line}", family.name);
                    assert!(family.kind == "gauge" || value >= 0.0, "{line}");
                    assert!(samples.insert(series, value).is_none(), "a second time: {line}");
                }
            }
        }
        let metrics = Self { samples };
        metrics.check_histograms();
        metrics
    }

    /// The value of the series with exactly these labels.
    ///
    /// # Panics
    ///
    /// When there is none.
    #[track_caller]
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let series = (name.to_owned(), labels.iter().map(owned).collect());
        *self.samples.get(&series).unwrap_or_else(|| panic!("no {series:?}: {:#?}", self.samples))
    }

    /// The sum of all series of a name that have these labels among theirs.
    ///
    /// # Panics
    ///
    /// When there is none.
    #[track_caller]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let values: Vec<_> = self.values(name, labels).collect();
        assert!(!values.is_empty(), "no {name} with {labels:?}: {:#?}", self.samples);
        values.into_iter().sum()
    }

    /// The names of all series, and their labels and values.
    pub fn series(&self) -> impl Iterator<Item = (&str, &BTreeMap<String, String>, f64)> {
        self.samples.iter().map(|((name, labels), value)| (name.as_str(), labels, *value))
    }

    /// The values that a label has.
    pub fn labels(&self, key: &str) -> BTreeSet<&str> {
        self.samples.keys().filter_map(|(_, labels)| labels.get(key)).map(String::as_str).collect()
    }

    /// Fails unless the books of each listener balance.
    ///
    /// # Panics
    ///
    /// When they don't.
    #[track_caller]
    pub fn check_books(&self) {
        let listeners = self.labels("listener");
        assert!(!listeners.is_empty());
        for listener in listeners {
            let sum = |name: &str| self.sum(name, &[("listener", listener)]);
            if listener.starts_with("udp://") {
                let received = sum("volleyd_datagrams_received_total");
                let answered = sum("volleyd_datagrams_answered_total");
                let dropped = sum("volleyd_datagrams_dropped_total");
                assert_eq!(received, answered + dropped, "datagrams of {listener}: {self:#?}");
                continue;
            }
            let accepted = sum("volleyd_connections_accepted_total");
            let (active, closed) =
                (sum("volleyd_connections_active"), sum("volleyd_connections_closed_total"));
            assert_eq!(accepted, active + closed, "connections of {listener}: {self:#?}");
            let received = sum("volleyd_frames_received_total");
            let answered = sum("volleyd_frames_answered_total");
            let dropped = sum("volleyd_frames_dropped_total");
            let pending = sum("volleyd_frames_pending");
            assert_eq!(received, answered + dropped + pending, "frames of {listener}: {self:#?}");
        }
    }

    /// Fails if a counter of `earlier` has gone down or away.
    ///
    /// # Panics
    ///
    /// When one has.
    #[track_caller]
    pub fn check_counters_since(&self, earlier: &Self) {
        for (series, &before) in &earlier.samples {
            let now = self.samples.get(series).unwrap_or_else(|| panic!("{series:?} is gone"));
            let is_counter =
                ["_total", "_bucket", "_count", "_sum"].iter().any(|end| series.0.ends_with(end));
            assert!(!is_counter || *now >= before, "{series:?} fell from {before} to {now}");
        }
    }

    fn values(&self, name: &str, labels: &[(&str, &str)]) -> impl Iterator<Item = f64> {
        let fits = move |(found, has): &Series| {
            let has_label = |(key, value): &(&str, &str)| has.get(*key).is_some_and(|v| v == value);
            found == name && labels.iter().all(has_label)
        };
        self.samples.iter().filter(move |(series, _)| fits(series)).map(|(_, value)| *value)
    }

    /// Buckets add up, and the last one is all.
    #[track_caller]
    fn check_histograms(&self) {
        let mut buckets: BTreeMap<Series, Vec<(f64, f64)>> = BTreeMap::new();
        for ((name, labels), &count) in &self.samples {
            if let Some(name) = name.strip_suffix("_bucket") {
                let mut labels = labels.clone();
                let bound = labels.remove("le").expect("a bound").parse().unwrap();
                buckets.entry((name.to_owned(), labels)).or_default().push((bound, count));
            }
        }
        for ((name, labels), mut buckets) in buckets {
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            assert!(buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{name}: {buckets:?}");
            let count = self.samples[&(format!("{name}_count"), labels)];
            assert_eq!(buckets.last(), Some(&(f64::INFINITY, count)), "{name}");
        }
    }
}

impl Family {
    /// Whether a series may stand here: OpenMetrics 1.0, "Metric Types".
    fn has(&self, (name, labels): &Series) -> bool {
        let Some(suffix) = name.strip_prefix(&self.name) else { return false };
        match self.kind.as_str() {
            "gauge" => suffix.is_empty(),
            "counter" => suffix == "_total",
            "info" => suffix == "_info",
            "histogram" => match suffix {
                "_bucket" => labels.contains_key("le"),
                _ => suffix == "_count" || suffix == "_sum",
            },
            other => panic!("no type that the daemon has: {other}"),
        }
    }
}

/// From `name{key="value",…} 7` or `name 7`.
#[track_caller]
fn sample(line: &str) -> (Series, f64) {
    let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
    let value = value.parse().unwrap_or_else(|error| panic!("{error}: {line}"));
    let Some((name, labels)) = series.split_once('{') else {
        return ((series.to_owned(), BTreeMap::new()), value);
    };
    let labels = labels.strip_suffix('}').unwrap_or_else(|| panic!("no `}}`: {line}"));
    let label = |label: &str| {
        let (key, value) = label.split_once("=\"").unwrap_or_else(|| panic!("no label: {line}"));
        let value = value.strip_suffix('"').unwrap_or_else(|| panic!("no label: {line}"));
        assert!(!value.contains(['"', '\\']), "{line}");
        (key.to_owned(), value.to_owned())
    };
    ((name.to_owned(), labels.split(',').map(label).collect()), value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\
# HELP a A counter.
# TYPE a counter
a_total{listener=\"x\",reason=\"b\"} 3
a_total{listener=\"x\",reason=\"c\"} 4
# HELP b_seconds A histogram.
# TYPE b_seconds histogram
# UNIT b_seconds seconds
b_seconds_sum 1.5
b_seconds_count 3
b_seconds_bucket{le=\"1e-06\"} 1
b_seconds_bucket{le=\"+Inf\"} 3
# EOF
";

    #[test]
    fn values_are_found_by_name_and_labels() {
        let metrics = Metrics::parse(PAGE);
        assert_eq!(metrics.get("a_total", &[("listener", "x"), ("reason", "b")]), 3.0);
        assert_eq!(metrics.sum("a_total", &[("listener", "x")]), 7.0);
        assert_eq!(metrics.get("b_seconds_sum", &[]), 1.5);
    }

    #[test]
    fn a_page_that_is_wrong_is_not_taken() {
        let broken = [
            PAGE.replace("# EOF\n", ""),
            PAGE.replace("a_total{listener=\"x\",reason=\"b\"}", "a{reason=\"b\"}"),
            PAGE.replace("reason=\"c\"", "reason=\"b\""),
            PAGE.replace("# UNIT b_seconds seconds", "# UNIT b_seconds bytes"),
            PAGE.replace("b_seconds_count 3", "b_seconds_count 4"),
            PAGE.replace("# TYPE b_seconds", "# TYPE a"),
            PAGE.replace(" 4\n", " -4\n"),
        ];
        for page in broken {
            assert_ne!(page, PAGE);
            let parsed = std::panic::catch_unwind(|| Metrics::parse(&page));
            assert!(parsed.is_err(), "{page}");
        }
    }

    #[test]
    fn books_that_do_not_balance_are_noticed() {
        let page = |closed: u32, pending: u32| {
            let values = [
                ("connections_accepted", "counter", "_total", 5),
                ("connections_active", "gauge", "", 2),
                ("connections_closed", "counter", "_total", closed),
                ("frames_received", "counter", "_total", 9),
                ("frames_answered", "counter", "_total", 6),
                ("frames_dropped", "counter", "_total", 1),
                ("frames_pending", "gauge", "", pending),
            ];
            let family = |(name, kind, suffix, value): (&str, &str, &str, u32)| {
                let name = format!("volleyd_{name}");
                format!("# TYPE {name} {kind}\n{name}{suffix}{{listener=\"x\"}} {value}\n")
            };
            Metrics::parse(&(values.map(family).concat() + "# EOF\n"))
        };
        page(3, 2).check_books();
        for (closed, pending) in [(2, 2), (3, 1)] {
            let metrics = page(closed, pending);
            assert!(std::panic::catch_unwind(|| metrics.check_books()).is_err());
        }
    }

    #[test]
    fn a_counter_that_falls_is_noticed() {
        let (before, after) = (Metrics::parse(PAGE), Metrics::parse(&PAGE.replace(" 4\n", " 2\n")));
        before.check_counters_since(&after);
        let checked = std::panic::catch_unwind(|| after.check_counters_since(&before));
        assert!(checked.is_err());
    }
}
