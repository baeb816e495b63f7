//! docs/OPERATING.md says what the daemon does: its tables are held against a running one.
//! `UPDATE_DOCS=1 cargo test -p volley-server --test operating` writes those that follow from it.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{Authority, HELLO, Peer, TlsClient, Volleyd, control, data, exit_of, welcome};
use rustix::process::Signal;
use serde_json::Value;
use volley_server::{End, OpenFailure};

fn page() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "../../docs/OPERATING.md"].iter().collect()
}

/// What stands between `<!-- name -->` and `<!-- /name -->`.
fn section(name: &str) -> String {
    let page = fs::read_to_string(page()).unwrap();
    let (_, rest) = page.split_once(&format!("<!-- {name} -->\n")).unwrap();
    rest.split_once(&format!("<!-- /{name} -->")).unwrap().0.to_owned()
}

/// The section must be this, or becomes it.
#[track_caller]
fn is_or_becomes(name: &str, table: &str) {
    let found = section(name);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let page_then = fs::read_to_string(page()).unwrap();
        let marked = |text: &str| format!("<!-- {name} -->\n{text}<!-- /{name} -->");
        fs::write(page(), page_then.replace(&marked(&found), &marked(table))).unwrap();
    } else {
        assert_eq!(found, table, "run the test with UPDATE_DOCS=1");
    }
}

/// The first column of a section's table, without its backquotes.
fn first_column(name: &str) -> BTreeSet<String> {
    let section = section(name);
    let rows = section.lines().skip(2).filter(|line| line.starts_with('|'));
    let cells = rows.flat_map(|row| row.split('|').nth(1).unwrap().split(','));
    cells.map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
}

#[test]
fn every_metric_is_on_the_page() {
    // With TLS and UDP, which have metrics of their own.
    let folder = tempfile::tempdir().unwrap();
    Authority::new().issue().write_to(folder.path());
    let file = |name: &str| folder.path().join(name);
    let mut command = Volleyd::command();
    command.args(["--listen", "tls://127.0.0.1:0", "--listen", "udp://127.0.0.1:0", "--cert"]);
    command.arg(file("cert.pem")).arg("--key").arg(file("key.pem"));
    let daemon = Volleyd::spawn(command, 2);
    let answer = daemon.admin().get("/metrics").body;
    let mut families: Vec<(String, &str, &str)> = Vec::new();
    let mut labels: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    let mut help = BTreeMap::new();
    for line in answer.lines() {
        let words: Vec<_> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "HELP", name, text] => drop(help.insert(name, text)),
            ["#", "TYPE", name, kind] => families.push((name.to_owned(), kind, "")),
            ["#", ..] => {}
            _ => {
                let (name, rest) = line.split_once('{').unwrap_or((line, ""));
                let names = rest.split('}').next().unwrap().split(',');
                let names = names.filter_map(|label| label.split('=').next());
                let names = names.filter(|name| !name.is_empty() && *name != "le");
                let (family, ..) = families.last().unwrap();
                assert!(name.starts_with(family), "{line}");
                labels.entry(family.clone()).or_default().extend(names);
            }
        }
    }
    let mut table = "| metric | type | labels | |\n|---|---|---|---|\n".to_owned();
    for (name, kind, _) in &families {
        let suffix = match *kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        let labels: Vec<_> = labels[name].iter().copied().collect();
        let labels = labels.join(", ");
        table += &format!("| `{name}{suffix}` | {kind} | {labels} | {} |\n", help[&**name]);
    }
    is_or_becomes("metrics", &table);
}

#[test]
fn every_exit_code_is_on_the_page() {
    let help = exit_of(&["--help"], &[]).1;
    let (_, codes) = help.split_once("Exit codes:\n").unwrap();
    let mut table = "| code | |\n|---|---|\n".to_owned();
    for line in codes.lines() {
        let (code, meaning) = line.trim().split_once("  ").unwrap();
        table += &format!("| {code} | {} |\n", meaning.trim());
    }
    is_or_becomes("exits", &table);
}

/// The kernel knows which signals a process handles (`SigCgt`, proc(5)).
#[test]
fn every_signal_that_is_handled_is_on_the_page() {
    let known = [
        ("SIGHUP", Signal::HUP),
        ("SIGINT", Signal::INT),
        ("SIGTERM", Signal::TERM),
        ("SIGUSR1", Signal::USR1),
        ("SIGUSR2", Signal::USR2),
    ];
    let daemon = Volleyd::start(&[]);
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    let caught = u64::from_str_radix(caught.trim(), 16).unwrap();
    let is_caught = |signal: Signal| caught & 1 << (signal.as_raw() - 1) != 0;
    let handled: BTreeSet<_> =
        known.iter().filter(|(_, signal)| is_caught(*signal)).map(|(name, _)| *name).collect();
    let told = first_column("signals");
    assert_eq!(told.iter().map(String::as_str).collect::<BTreeSet<_>>(), handled);
}

/// Connections that end in all kinds of ways, so that each field is there once.
fn visit(daemon: &Volleyd) {
    let mut named = daemon.connect();
    named.send(control(HELLO, 0, 1, 0, b"a client"));
    named.expect(welcome(1));
    named.echoes(b"hello");
    named.leave();
    let mut truncated = daemon.connect();
    truncated.send(&data(b"hello")[..6]);
    truncated.half_close();
    truncated.expect_end();
    let mut foreign = daemon.connect();
    foreign.send(b"GET / HTTP/1.1\r\n");
    assert_eq!(foreign.error().0, 8);
    foreign.expect_end();
    let mut deaf = Peer::connect_narrow(daemon.address(), 16 * 1024);
    deaf.push_until_blocked(&data(&[7; 1 << 20]), Duration::from_millis(200));
    deaf.reset();
}

/// A daemon to which a client has shown a certificate.
fn mutual(folder: &Path) -> Volleyd {
    let authority = Authority::new();
    authority.issue().write_to(folder);
    fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    let mut command = Volleyd::command();
    command.args(["--log-format", "json", "--listen", "tls://127.0.0.1:0"]);
    command.arg("--cert").arg(folder.join("cert.pem")).arg("--key").arg(folder.join("key.pem"));
    command.arg("--client-ca").arg(folder.join("ca.pem"));
    let daemon = Volleyd::spawn(command, 1);
    let client = TlsClient::showing(&authority, &authority.issue());
    let mut peer = client.connect(daemon.address());
    peer.echoes(b"hello");
    peer.leave();
    daemon
}

#[test]
fn every_field_of_a_connections_record_is_on_the_page() {
    let folder = tempfile::tempdir().unwrap();
    let unix = format!("unix:{}", folder.path().join("volley.sock").display());
    let mut command = Volleyd::command();
    command.args(["--log-format", "json", "--listen", "127.0.0.1:0", "--listen", &unix]);
    let mut daemon = Volleyd::spawn(command, 2);
    Peer::connect_to(&unix).leave();
    let mut mutual = mutual(folder.path());
    let certified = mutual.wait_for(&["connection over", "\"client_certificate\""]);
    let mut behind = Volleyd::start(&["--log-format", "json", "--proxy-from", "127.0.0.1"]);
    let mut peer = behind.connect();
    peer.send(b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 7007\r\n");
    peer.leave();
    let through = behind.wait_for(&["connection over", "\"via\""]);
    visit(&daemon);
    daemon.wait_for(&["connection over", "\"unix\""]);
    daemon.wait_for(&["connection over", "\"reset\""]);
    daemon.signal(Signal::TERM);
    let (_, log) = daemon.exit();
    let mut fields = BTreeSet::new();
    let records = log.iter().filter(|line| line.contains("\"connection over\""));
    for line in records.chain([&through, &certified]) {
        let Value::Object(record) = serde_json::from_str(line).unwrap() else { panic!("{line}") };
        let Value::Object(span) = &record["span"] else { panic!("{line}") };
        fields.extend(record.keys().chain(span.keys()).cloned());
    }
    // What every line has.
    for field in ["timestamp", "level", "message", "span", "name"] {
        assert!(fields.remove(field), "{field}: {log:#?}");
    }
    assert_eq!(first_column("log"), fields);
}

#[test]
fn every_way_to_end_is_on_the_page() {
    let mut ways = BTreeSet::from(["error: …".to_owned()]);
    for end in End::all() {
        ways.insert(end.label().to_owned());
        if !matches!(end, End::Error(_)) {
            ways.insert(end.to_string());
        }
    }
    assert_eq!(first_column("ends"), ways);
    let page = fs::read_to_string(page()).unwrap();
    for failure in OpenFailure::ALL {
        let row = format!("\n| {failure}, `{}` | ", failure.label());
        assert!(page.contains(&row), "{row}");
    }
}
