//! The dashboard and the alert rules in deploy/, put to a real Prometheus that scrapes a real
//! daemon: no panel and no rule may name what does not exist.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use common::{Authority, LIMIT, Peer, Volleyd, data, hello, program_is_missing, welcome};
use serde_json::Value;
use tempfile::TempDir;
use volley_tests::http;

/// A file that is delivered.
fn deployed(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(path)
}

fn dashboard() -> Value {
    let text = fs::read_to_string(deployed("grafana/volleyd.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The panels that show something.
fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row")
}

/// A Prometheus with the configuration in deploy/, which scrapes one daemon and does so often.
/// Dropped, it is killed.
struct Prometheus {
    child: Child,
    endpoint: String,
    _directory: TempDir,
}

impl Prometheus {
    fn start(daemon: &Volleyd) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = fs::read_to_string(deployed("prometheus/prometheus.yml")).unwrap();
        let address = daemon.admin().endpoint.trim_start_matches("tcp://");
        let config = replaced(&config, "- 127.0.0.1:7008", &format!("- {address}"));
        let config = replaced(&config, "_interval: 15s", "_interval: 200ms");
        let path = directory.path().join("prometheus.yml");
        fs::write(&path, config).unwrap();
        let rules = "volleyd.rules.yml";
        fs::copy(deployed("prometheus").join(rules), directory.path().join(rules)).unwrap();
        let mut child = Command::new("prometheus")
            .arg(format!("--config.file={}", path.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .args(["--web.listen-address=127.0.0.1:0", "--log.level=info"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = mpsc::channel();
        let log = BufReader::new(child.stderr.take().unwrap());
        // To its end: a pipe that is full would stop it.
        thread::spawn(move || log.lines().map_while(Result::ok).for_each(|l| drop(sender.send(l))));
        let mut prometheus = Self { child, endpoint: String::new(), _directory: directory };
        let mut seen = Vec::new();
        while prometheus.endpoint.is_empty() {
            let Ok(line) = lines.recv_timeout(LIMIT) else { panic!("no Prometheus: {seen:#?}") };
            if let Some((_, address)) = line.split_once("\"Listening on\" address=") {
                prometheus.endpoint = format!("tcp://{}", address.trim());
            }
            seen.push(line);
        }
        until("Prometheus is ready", || {
            let answer = http::ask(&prometheus.endpoint, "GET", "/-/ready", "").unwrap();
            (answer.status == 200).then_some(())
        });
        prometheus
    }

    /// Asks its HTTP API.
    fn ask(&self, path: &str, parameter: (&str, &str)) -> Value {
        let query: String = form_urlencoded::Serializer::new(String::new())
            .append_pair(parameter.0, parameter.1)
            .finish();
        let answer = http::ask(&self.endpoint, "GET", &format!("/api/v1/{path}?{query}"), "");
        let answer = answer.unwrap();
        let json: Value =
            serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{answer:?}"));
        assert_eq!(json["status"], "success", "{parameter:?}: {json:#}");
        json["data"].clone()
    }

    /// Evaluates `query` until it finds something; that it is no query fails at once.
    fn find(&self, query: &str) -> Value {
        until(query, || {
            let data = self.ask("query", ("query", query));
            data["result"].get(0).cloned()
        })
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks again and again, for something that comes with the next scrape.
#[track_caller]
fn until<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// As `str::replace`, where there must be something to replace.
#[track_caller]
fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "no {from}: {text}");
    text.replace(from, to)
}

/// A connection of each kind, and frames.
fn make_traffic(daemon: &Volleyd) {
    let mut greeted = daemon.connect();
    greeted.send([hello(2), data(b"hello")].concat());
    greeted.expect(welcome(2));
    greeted.frame();
    let mut peers: Vec<_> = (0..20).map(|_| daemon.connect()).collect();
    peers.iter_mut().for_each(|peer| peer.echoes(b"hello"));
    peers.into_iter().for_each(Peer::leave);
    let mut broken = daemon.connect();
    broken.send([0x7f; 4]);
    broken.error();
    daemon.connect().reset();
}

/// A query of the dashboard as Grafana would send it.
fn substituted(query: &str) -> String {
    let mut query = query.to_owned();
    for (variable, value) in [
        ("$__rate_interval", "5s"),
        ("$__range", "1m"),
        ("$job", "(volleyd)"),
        ("$instance", ".+"),
        ("$listener", ".+"),
    ] {
        query = query.replace(variable, value);
    }
    assert!(!query.contains('$'), "an unknown variable: {query}");
    query
}

/// The names of metrics in a query.
fn names(query: &str) -> BTreeSet<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let words = query.split(|c| !is_part(c));
    words.filter(|word| word.starts_with("volleyd_") || word.starts_with("process_")).collect()
}

#[test]
fn every_query_of_the_dashboard_and_of_the_rules_finds_something() {
    if program_is_missing("prometheus") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    Authority::new().issue().write_to(folder.path());
    let mut command = Volleyd::command();
    command.args(["--listen", "127.0.0.1:0", "--listen", "udp://127.0.0.1:0"]);
    command.args(["--listen", "tls://127.0.0.1:0"]);
    command.arg("--cert").arg(folder.path().join("cert.pem"));
    command.arg("--key").arg(folder.path().join("key.pem"));
    let daemon = Volleyd::spawn(command, 3);
    let prometheus = Prometheus::start(&daemon);
    // It takes the page for OpenMetrics, and all of it.
    prometheus.find("up{job=\"volleyd\"} == 1");
    make_traffic(&daemon);
    // Once a scrape has seen these, more of them make a rate.
    prometheus.find("volleyd_frames_answered_total >= 21");
    make_traffic(&daemon);

    let dashboard = dashboard();
    let mut queries = 0;
    for panel in panels(&dashboard) {
        for target in panel["targets"].as_array().unwrap() {
            prometheus.find(&substituted(target["expr"].as_str().unwrap()));
            queries += 1;
        }
    }
    for annotation in dashboard["annotations"]["list"].as_array().unwrap() {
        let expr = substituted(annotation["expr"].as_str().unwrap());
        names(&expr).into_iter().for_each(|name| drop(prometheus.find(name)));
        prometheus.ask("query", ("query", &expr));
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        let definition = variable["definition"].as_str().unwrap_or_default();
        if let Some((selector, _)) =
            definition.strip_prefix("label_values(").and_then(|rest| rest.rsplit_once(", "))
        {
            prometheus.find(&substituted(selector));
        }
    }
    assert!(queries > 30, "{queries}");

    // Rules say something only when something is wrong: here what they look at must be there, and
    // their evaluation must not fail.
    let rules = until("each rule has been evaluated", || {
        let rules = prometheus.ask("rules", ("type", "alert"));
        let rules = rules["groups"][0]["rules"].as_array().unwrap().clone();
        rules.iter().all(|rule| rule["health"] != "unknown").then_some(rules)
    });
    assert!(rules.len() >= 12, "{rules:#?}");
    for rule in &rules {
        let query = rule["query"].as_str().unwrap();
        names(query).into_iter().for_each(|name| drop(prometheus.find(name)));
        prometheus.ask("query", ("query", query));
        assert_eq!(rule["health"], "ok", "{rule:#}");
        assert!(rule["duration"].is_number() && rule["labels"]["severity"].is_string(), "{rule:#}");
        for annotation in ["summary", "description"] {
            assert!(rule["annotations"][annotation].is_string(), "{rule:#}");
        }
        assert_ne!(rule["state"], "firing", "{rule:#}");
    }
}

/// It gets all figures of an instant with one scrape.
#[test]
fn the_books_balance_for_prometheus_too() {
    if program_is_missing("prometheus") {
        return;
    }
    let daemon = Volleyd::start(&[]);
    let prometheus = Prometheus::start(&daemon);
    let dashboard = dashboard();
    let books = panels(&dashboard).find(|panel| panel["title"] == "Books").unwrap();
    let books = substituted(books["targets"][0]["expr"].as_str().unwrap());
    for _ in 0..20 {
        make_traffic(&daemon);
        assert_eq!(prometheus.find(&books)["value"][1], "0");
    }
}

#[test]
fn every_panel_has_a_unit_a_description_and_a_legend() {
    let dashboard = dashboard();
    let mut ids = BTreeSet::new();
    let mut places = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "the id a second time: {panel:#}");
        let place = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        let (x, y) = (place("x")..place("x") + place("w"), place("y")..place("y") + place("h"));
        assert!(x.end <= 24, "{panel:#}");
        let overlaps = places.iter().any(|(other_x, other_y): &(std::ops::Range<u64>, _)| {
            let apart = |a: &std::ops::Range<u64>, b: &std::ops::Range<u64>| {
                a.end <= b.start || b.end <= a.start
            };
            !apart(&x, other_x) && !apart(&y, other_y)
        });
        assert!(!overlaps, "{panel:#}");
        places.push((x, y));
    }
    let has_text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
    for panel in panels(&dashboard) {
        assert!(has_text(&panel["title"]) && has_text(&panel["description"]), "{panel:#}");
        assert!(has_text(&panel["fieldConfig"]["defaults"]["unit"]), "{panel:#}");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{panel:#}");
        for target in panel["targets"].as_array().unwrap() {
            assert!(has_text(&target["legendFormat"]), "{panel:#}");
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{panel:#}");
        }
    }
}

#[test]
fn each_alert_fires_when_it_should_and_only_then() {
    if program_is_missing("promtool") {
        return;
    }
    let check = |arguments: &[&str]| {
        let output = Command::new("promtool")
            .args(arguments)
            .current_dir(deployed("prometheus"))
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    };
    check(&["check", "config", "prometheus.yml"]);
    check(&["check", "rules", "volleyd.rules.yml"]);
    check(&["test", "rules", "volleyd.rules.test.yml"]);
}
