//! What a second reading of the file may change.

use std::fs;

use tempfile::TempDir;

use super::*;
use crate::config::ReloadError;
use crate::config::reload::Change;

/// A file that can be rewritten, and what it said first.
struct Daemon {
    directory: TempDir,
    sources: Sources,
    settings: Settings,
}

impl Daemon {
    fn start(flags: &[&str], file: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        fs::write(&path, file).unwrap();
        let arguments = ["volleyd", "--config", path.to_str().unwrap()];
        let flags = Flags::parse(arguments.iter().chain(flags)).unwrap();
        let sources = Sources::new(flags, []).unwrap();
        let settings = sources.settings().unwrap();
        Self { directory, sources, settings }
    }

    fn reload(&self, file: &str) -> Result<(Settings, Vec<Change>), ReloadError> {
        fs::write(self.directory.path().join(FILE), file).unwrap();
        self.settings.reload(&self.sources)
    }

    /// The changes, a line each.
    #[track_caller]
    fn changes(&self, file: &str) -> Vec<String> {
        let (_, changes) = self.reload(file).unwrap();
        changes.iter().map(Change::to_string).collect()
    }

    #[track_caller]
    fn refusal(&self, file: &str) -> String {
        self.reload(file).map(|(_, changes)| changes).unwrap_err().to_string()
    }
}

const TWO: &str = "\
[[listener]]
listen = '127.0.0.1:1'
name = 'public'
[[listener]]
listen = '127.0.0.1:2'
";

#[test]
fn changes_are_told_one_by_one_and_the_values_are_new() {
    let daemon = Daemon::start(&["--max-frame", "1k"], TWO);
    assert_eq!(daemon.changes(TWO), [""; 0]);
    let file = format!(
        "drain = '1m'\nlog = 'warn'\nmax-connections = 5\nidle-timeout = '1m'\n{TWO}\
                        idle-timeout = '2m'\nmax-connections = 7\n"
    );
    assert_eq!(
        daemon.changes(&file),
        [
            "max-connections: auto -> 5",
            "drain: 10s -> 1m",
            "log: info -> warn",
            "idle-timeout of listener public: 5m -> 1m",
            "idle-timeout of listener tcp://127.0.0.1:2: 5m -> 2m",
            "max-connections of listener tcp://127.0.0.1:2: off -> 7",
        ]
    );
    let (settings, _) = daemon.reload(&file).unwrap();
    assert_eq!(settings.process.drain.value.as_secs(), 60);
    assert_eq!(settings.listeners[1].settings.idle_timeout.value.unwrap().as_secs(), 120);
    // What a flag says stays, whatever the file says.
    assert_eq!(daemon.changes(&format!("max-frame = '2k'\n{TWO}")), [""; 0]);
}

#[test]
fn the_same_value_in_other_words_or_from_elsewhere_is_no_change() {
    let daemon = Daemon::start(&[], "drain = '60s'\nlisten = '127.0.0.1:7007'");
    assert_eq!(daemon.changes("idle-timeout = '300s'\ndrain = '1m'"), [""; 0]);
}

#[test]
fn listeners_may_change_places() {
    let daemon = Daemon::start(&[], TWO);
    let swapped = "[[listener]]\nlisten = '127.0.0.1:2'\n\
                   [[listener]]\nlisten = '127.0.0.1:1'\nname = 'public'\nreply = 'echo'\n";
    let (settings, changes) = daemon.reload(swapped).unwrap();
    assert_eq!(changes, []);
    let titles: Vec<_> = settings.listeners.iter().map(|listener| listener.title()).collect();
    assert_eq!(titles, ["public", "tcp://127.0.0.1:2"]);
    // Equal ones stay in order.
    let free = "[[listener]]\nlisten = '127.0.0.1:0'\n[[listener]]\nlisten = '127.0.0.1:0'\n";
    let daemon = Daemon::start(&[], free);
    let changes = daemon.changes(&format!("{free}idle-timeout = '1m'"));
    assert_eq!(changes, ["idle-timeout of listener tcp://127.0.0.1:0: 5m -> 1m"]);
}

#[test]
fn what_takes_a_restart_is_named_and_nothing_else_changes() {
    let daemon = Daemon::start(&[], TWO);
    let cases = [
        (format!("threads = 1000\ndrain = '1m'\n{TWO}"), "threads: auto -> 1000"),
        (format!("log-format = 'json'\n{TWO}"), "log-format: text -> json"),
        (format!("admin = '127.0.0.1:3'\n{TWO}"), "admin: off -> tcp://127.0.0.1:3"),
        (format!("{TWO}reply = 'ack'"), "reply of listener tcp://127.0.0.1:2: echo -> ack"),
        (format!("{TWO}name = 'new'"), "listener tcp://127.0.0.1:2 is gone; listener new is new"),
        (TWO.replace(":1'", ":3'"), "listener public is gone; listener public is new"),
        (
            TWO.replace("[[listener]]\nlisten = '127.0.0.1:2'\n", ""),
            "listener tcp://127.0.0.1:2 is gone",
        ),
        (format!("{TWO}[[listener]]\nlisten = '127.0.0.1:3'"), "listener tcp://127.0.0.1:3 is new"),
    ];
    for (file, named) in cases {
        assert_eq!(daemon.refusal(&file), format!("that takes a restart: {named}"), "{file}");
    }
}

#[test]
fn a_broken_file_or_none_changes_nothing() {
    let daemon = Daemon::start(&[], TWO);
    let error = daemon.refusal("drain = '1m'\nidle-timout = '1m'");
    assert!(
        error.ends_with(":2:1: unknown key `idle-timout`: did you mean `idle-timeout`?"),
        "{error}"
    );
    fs::remove_file(daemon.directory.path().join(FILE)).unwrap();
    let error = daemon.settings.reload(&daemon.sources).unwrap_err();
    assert!(error.to_string().starts_with("cannot read "), "{error}");
    let sources = Sources::new(Flags::parse(["volleyd"]).unwrap(), []).unwrap();
    let error = sources.settings().unwrap().reload(&sources).unwrap_err();
    assert_eq!(error.to_string(), "there is no file to read again: none was given by --config");
}
