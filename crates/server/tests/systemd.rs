//! The units in deploy/systemd: whether systemd understands them, how much they leave open, and
//! whether the daemon can live with what they close.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Peer, Volleyd, hello, pass, program_is_missing, welcome};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// The most that `systemd-analyze security` may find, of 10.
const MOST_EXPOSURE: f64 = 1.5;

const UNITS: [&str; 2] = ["volleyd.service", "volleyd.socket"];

fn units() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/systemd")
}

fn unit(name: &str) -> String {
    fs::read_to_string(units().join(name)).unwrap()
}

/// Copies of the units, in which the program is where it has been built.
fn installed() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in UNITS {
        let text = unit(name)
            .replace("/usr/local/bin/volleyd\n", concat!(env!("CARGO_BIN_EXE_volleyd"), "\n"));
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// What it prints, with both streams, and whether it is content.
fn analyze(arguments: &[&str], folder: &Path) -> (bool, String) {
    let mut command = Command::new("systemd-analyze");
    let done = command.args(arguments).arg("--no-pager").current_dir(folder).output().unwrap();
    let printed = [done.stdout, done.stderr].concat();
    (done.status.success(), String::from_utf8(printed).unwrap())
}

/// The values of a setting in a unit, in the order of its lines.
fn values(unit: &str, setting: &str) -> Vec<String> {
    let values = unit.lines().filter_map(|line| line.strip_prefix(setting)?.strip_prefix('='));
    values.map(str::to_owned).collect()
}

#[test]
fn systemd_has_nothing_to_say_against_the_units() {
    if program_is_missing("systemd-analyze") {
        return;
    }
    let folder = installed();
    let paths = UNITS.map(|name| format!("./{name}"));
    let (is_content, printed) = analyze(&["verify", &paths[0], &paths[1]], folder.path());
    // What it says of the machine's own units is no matter of ours.
    let ours: Vec<_> = printed.lines().filter(|line| line.contains("volleyd")).collect();
    assert!(is_content && ours.is_empty(), "{printed}");
}

#[test]
fn the_service_leaves_next_to_nothing_open() {
    if program_is_missing("systemd-analyze") {
        return;
    }
    let service = units().join("volleyd.service");
    let arguments = ["security", "--offline=true", service.to_str().unwrap()];
    let (_, printed) = analyze(&arguments, Path::new("/"));
    let (_, overall) = printed.split_once("Overall exposure level for volleyd.service: ").unwrap();
    let exposure: f64 = overall.split_whitespace().next().unwrap().parse().unwrap();
    println!("exposure {exposure}");
    assert!(exposure <= MOST_EXPOSURE, "{printed}");
}

/// Every system call that the daemon makes while it is activated, serves, hands over and drains.
/// With one that is not allowed the unit would break it, perhaps only in a corner.
#[test]
fn the_daemon_makes_no_system_call_that_the_service_forbids() {
    if program_is_missing("systemd-analyze") || program_is_missing("strace") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    let manager = std::os::unix::net::UnixDatagram::bind(folder.path().join("notify")).unwrap();
    let mut command = Volleyd::command_through(
        "strace",
        &["-f", "-qq", "-e", "signal=none", "-o", trace.to_str().unwrap()],
    );
    command.args(["--log", "debug", "--drain", "300ms"]);
    command.env("NOTIFY_SOCKET", folder.path().join("notify")).env("WATCHDOG_USEC", "300000");
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    pass(&mut command, [("volleyd", socket.into())]);
    let mut daemon = Volleyd::spawn(command, 1);
    let process = fs::read_to_string(&trace).unwrap();
    let process = pid(process.split_whitespace().next().unwrap());

    let mut greeted = daemon.connect();
    greeted.send(hello(2));
    greeted.expect(welcome(2));
    daemon.connect().echoes(&common::pattern(1 << 20, 1));
    daemon.connect().reset();
    daemon.wait_for(&["feeding the watchdog"]);
    kill_process(process, Signal::USR2).unwrap();
    let line = daemon.wait_for(&["handed over to a new process"]);
    let new = pid(line.rsplit_once("pid=").unwrap().1.trim());
    daemon.wait_for(&["cut off at the drain deadline"]);
    Peer::connect(daemon.address()).echoes(b"hello");
    kill_process(new, Signal::TERM).unwrap();
    // strace exits when both have.
    let (code, log) = daemon.exit();
    assert_eq!(code, 0, "{log:#?}");
    drop(manager);

    let allowed = allowed_calls();
    let trace = fs::read_to_string(&trace).unwrap();
    let made: BTreeSet<_> = trace.lines().filter_map(call).collect();
    assert!(made.contains("accept4") && made.contains("execve"), "{made:?}");
    let forbidden: Vec<_> = made.iter().filter(|&&call| !allowed.contains(call)).collect();
    assert!(forbidden.is_empty(), "{forbidden:?}");
}

fn pid(text: &str) -> Pid {
    Pid::from_raw(text.parse().unwrap()).unwrap()
}

/// From `123 accept4(3, …) = 7`, but not from `123 <... accept4 resumed>…`.
fn call(line: &str) -> Option<&str> {
    let (_, call) = line.split_once(char::is_whitespace)?;
    let (name, _) = call.trim_start().split_once('(')?;
    name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_').then_some(name)
}

/// What the service's `SystemCallFilter=` lines leave.
fn allowed_calls() -> BTreeSet<String> {
    let (_, sets) = analyze(&["syscall-filter"], Path::new("/"));
    let sets = parse_sets(&sets);
    let mut allowed = BTreeSet::new();
    // Always allowed (systemd.exec(5)).
    expand("@default", &sets, &mut allowed);
    for line in values(&unit("volleyd.service"), "SystemCallFilter") {
        let (forbids, names) =
            line.strip_prefix('~').map_or((false, &*line), |names| (true, names));
        let mut calls = BTreeSet::new();
        names.split_whitespace().for_each(|name| expand(name, &sets, &mut calls));
        if forbids {
            allowed.retain(|call| !calls.contains(call));
        } else {
            allowed.extend(calls);
        }
    }
    allowed
}

/// From `@set`, and its members on indented lines behind it.
fn parse_sets(printed: &str) -> BTreeMap<String, Vec<String>> {
    let mut sets: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut current = String::new();
    for line in printed.lines() {
        match line.trim() {
            "" => {}
            name if name.starts_with('#') => {}
            name if line.starts_with('@') => current = name.to_owned(),
            name => sets.entry(current.clone()).or_default().push(name.to_owned()),
        }
    }
    sets
}

fn expand(name: &str, sets: &BTreeMap<String, Vec<String>>, calls: &mut BTreeSet<String>) {
    match sets.get(name) {
        Some(members) => members.iter().for_each(|member| expand(member, sets, calls)),
        None => drop(calls.insert(name.to_owned())),
    }
}

#[test]
fn the_service_waits_longer_than_a_drain_takes() {
    let (code, help, _) = common::exit_of(&["--help"], &[]);
    assert_eq!(code, 0);
    let (_, drain) = help.split_once("--drain <DURATION>").unwrap();
    let (_, drain) = drain.split_once("[default: ").unwrap();
    let seconds = |text: &str| text.split('s').next().unwrap().parse::<u64>().unwrap();
    let stop = values(&unit("volleyd.service"), "TimeoutStopSec");
    assert!(seconds(&stop[0]) > seconds(drain) + 2, "{stop:?}");
}
