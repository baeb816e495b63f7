//! The daemon on Unix sockets: its lines, who may connect, what becomes of the file, and what is
//! told of its peers.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Instant;

use common::{LIMIT, Peer, Volleyd, control, data, exit_of, hello, program_is_missing, welcome};
use rustix::process::{Pid, Signal, getegid, geteuid, getpid, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// A place for a socket that nobody else has.
struct Place {
    directory: TempDir,
    path: PathBuf,
    endpoint: String,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("volley.sock");
        let endpoint = format!("unix:{}", path.display());
        Self { directory, path, endpoint }
    }

    /// The daemon at this place.
    fn start(&self, arguments: &[&str]) -> Volleyd {
        start_at(&self.endpoint, arguments)
    }

    /// The daemon with a file that says this.
    fn start_by_file(&self, text: &str, listeners: usize) -> Volleyd {
        let file = self.directory.path().join("volleyd.toml");
        fs::write(&file, text).unwrap();
        let mut command = Volleyd::command();
        command.arg("--config").arg(file);
        Volleyd::spawn(command, listeners)
    }

    fn mode(&self) -> u32 {
        mode(&self.path)
    }
}

fn start_at(endpoint: &str, arguments: &[&str]) -> Volleyd {
    let mut command = Volleyd::command();
    command.args(["--listen", endpoint]).args(arguments);
    Volleyd::spawn(command, 1)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// What a connection has done shows a moment later.
#[track_caller]
fn until(so: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !so() {
        assert!(Instant::now() < deadline, "it never is so");
    }
}

/// Where the daemon can't listen. Returns what it says.
#[track_caller]
fn refuses(endpoint: &str, code: i32) -> String {
    let (found, stdout, stderr) = exit_of(&["--listen", endpoint], &[]);
    assert_eq!((found, stdout.as_str()), (code, ""), "{stderr}");
    stderr
}

#[test]
fn frames_come_back_over_a_path_and_over_an_abstract_name() {
    let place = Place::new();
    let name = format!("unix:@{}", place.path.display());
    for endpoint in [&place.endpoint, &name] {
        let daemon = start_at(endpoint, &["--reply", "ack"]);
        assert_eq!(daemon.endpoints, [endpoint.as_str()]);
        let mut peer = Peer::connect_to(endpoint);
        peer.send(hello(1));
        peer.expect(welcome(1));
        peer.echoes(b"hello");
        peer.leave();
        let mut peer = Peer::connect_to(endpoint);
        peer.send(data(b"hello"));
        let head = [&data(&[0; 32])[..4], b"ACK1\x9a\x71\xbb\x4c"].concat();
        peer.expect(head);
        peer.read(24);
        assert_eq!(daemon.admin().get("/livez").body, "ok\n");
        peer.leave();
        let labels = [("listener", endpoint.as_str())];
        until(|| daemon.admin().metrics().get("volleyd_payload_bytes_total", &labels) == 10.0);
        assert_eq!(daemon.finish().0.frames_answered, 3);
    }
}

#[test]
fn it_listens_at_several_places_of_several_kinds() {
    let place = Place::new();
    let mut command = Volleyd::command();
    command.args(["--listen", "127.0.0.1:0", "--listen", &place.endpoint]);
    let daemon = Volleyd::spawn(command, 2);
    for endpoint in &daemon.endpoints {
        Peer::connect_to(endpoint).echoes(b"hello");
    }
    assert_eq!(daemon.endpoints[1], place.endpoint);
    assert_eq!(daemon.finish().0.frames_answered, 2);
}

#[test]
fn a_relative_path_is_one_from_the_working_directory() {
    let place = Place::new();
    let mut command = Volleyd::command();
    command.args(["--listen", "unix:volley.sock"]).current_dir(&place.directory);
    let daemon = Volleyd::spawn(command, 1);
    assert_eq!(daemon.endpoints, ["unix:volley.sock"]);
    Peer::connect_to(&place.endpoint).echoes(b"hello");
    daemon.finish();
    assert!(!place.path.exists());
}

#[test]
fn its_file_lets_in_whom_the_settings_say() {
    let place = Place::new();
    let daemon = place.start(&[]);
    assert_eq!(place.mode(), 0o660, "by default");
    daemon.finish();
    let daemon = place.start(&["--unix-mode", "0606"]);
    assert_eq!(place.mode(), 0o606, "by flag");
    daemon.finish();
    let mut command = Volleyd::command();
    command.env("VOLLEYD_UNIX_MODE", "600").env("VOLLEYD_LISTEN", &place.endpoint);
    let daemon = Volleyd::spawn(command, 1);
    assert_eq!(place.mode(), 0o600, "by variable");
    daemon.finish();
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    let other = place.path.with_extension("other");
    let text = format!(
        "unix-mode = '0666'\nunix-owner = {user}\n[[listener]]\nlisten = '{}'\nunix-mode = '0640'\n\
         unix-group = '{group}'\n[[listener]]\nlisten = 'unix:{}'\n",
        place.endpoint,
        other.display(),
    );
    let daemon = place.start_by_file(&text, 2);
    assert_eq!((place.mode(), mode(&other)), (0o640, 0o666), "by file");
    for path in [&place.path, &other] {
        let file = fs::metadata(path).unwrap();
        assert_eq!((file.uid(), file.gid()), (user, group));
    }
    daemon.finish();
}

#[test]
fn wrong_settings_of_a_file_are_wrong_usage() {
    let place = Place::new();
    for (flag, value, told) in [
        ("--unix-mode", "0668", "`0668` is no mode: write it in octal, for example 0660"),
        ("--unix-owner", "no such user", "there is no user `no such user`"),
        ("--unix-group", "no such group", "there is no group `no such group`"),
    ] {
        let (code, _, stderr) = exit_of(&["--listen", &place.endpoint, flag, value], &[]);
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains(told), "{stderr}");
    }
}

/// Whatever the umask is, and for whoever looks at the wrong moment.
#[test]
fn its_file_is_never_wider_than_asked_for() {
    if program_is_missing("strace") {
        return;
    }
    let place = Place::new();
    let trace = place.directory.path().join("trace");
    let calls = "trace=bind,listen,fchmod,chmod,fchmodat";
    let flags = ["-f", "-qq", "-e", calls, "-e", "signal=none", "-o", trace.to_str().unwrap()];
    let mut command = Volleyd::command_through("strace", &flags);
    command.args(["--listen", &place.endpoint, "--unix-mode", "0600"]);
    let daemon = Volleyd::spawn(command, 1);
    let trace = fs::read_to_string(trace).unwrap();
    // strace ends with it, and would leave it behind.
    let process = trace.split_whitespace().next().unwrap().parse().unwrap();
    let mode = place.mode();
    kill_process(Pid::from_raw(process).unwrap(), Signal::TERM).unwrap();
    assert_eq!(daemon.exit().0, 0);
    let of_socket = format!("{}\"", place.path.display());
    let position = |is_it: &dyn Fn(&str) -> bool| {
        trace.lines().position(is_it).unwrap_or_else(|| panic!("{trace}"))
    };
    let bound = position(&|line| line.contains(" bind(") && line.contains(&of_socket));
    // Descriptors are not closed in between: it is the same one.
    let socket = trace.lines().nth(bound).unwrap().split_once("bind(").unwrap().1;
    let socket = socket.split_once(',').unwrap().0;
    let narrowed = position(&|line| line.contains(&format!(" fchmod({socket}, 0600)")));
    let listening = position(&|line| line.contains(&format!(" listen({socket}, ")));
    assert!(narrowed < bound && bound < listening, "{trace}");
    assert_eq!(mode, 0o600);
}

#[test]
fn its_file_is_removed_at_the_end_whichever_way() {
    let place = Place::new();
    let daemon = place.start(&[]);
    assert!(place.path.exists());
    daemon.finish();
    assert!(!place.path.exists());

    let mut daemon = place.start(&["--drain", "1h"]);
    let mut peer = Peer::connect_to(&place.endpoint);
    peer.send(hello(0));
    peer.expect(welcome(1));
    daemon.signal(Signal::TERM);
    daemon.wait_for(&["shutting down"]);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.exit().0, 143);
    assert!(!place.path.exists());

    // Another listener can't be had: what was bound before it is not left behind.
    let arguments = ["--listen", &place.endpoint, "--listen", "192.0.2.1:0"];
    assert_eq!(exit_of(&arguments, &[]).0, 69);
    assert!(!place.path.exists());
}

#[test]
fn the_file_of_one_that_was_killed_is_replaced() {
    let place = Place::new();
    let daemon = place.start(&[]);
    daemon.signal(Signal::KILL);
    drop(daemon);
    assert!(place.path.exists());
    let daemon = place.start(&["--unix-mode", "0666"]);
    Peer::connect_to(&place.endpoint).echoes(b"hello");
    assert_eq!(place.mode(), 0o666);
    daemon.finish();
}

#[test]
fn one_that_is_alive_is_in_use_and_goes_on() {
    let place = Place::new();
    let daemon = place.start(&[]);
    let told = format!("cannot listen on {}: Address already in use", place.endpoint);
    let stderr = refuses(&place.endpoint, 69);
    assert!(stderr.contains(&told), "{stderr}");
    Peer::connect_to(&place.endpoint).echoes(b"hello");
    daemon.finish();
    assert!(!place.path.exists());
}

#[test]
fn what_is_no_socket_is_left_alone() {
    let place = Place::new();
    fs::write(&place.path, "precious").unwrap();
    let stderr = refuses(&place.endpoint, 69);
    assert!(stderr.contains("there is a file in its place that is no socket"), "{stderr}");
    assert_eq!(fs::read_to_string(&place.path).unwrap(), "precious");
}

#[test]
fn it_does_not_remove_the_socket_of_another() {
    let place = Place::new();
    let old = place.start(&[]);
    fs::remove_file(&place.path).unwrap();
    let new = place.start(&[]);
    old.signal(Signal::TERM);
    assert_eq!(old.exit().0, 0);
    Peer::connect_to(&place.endpoint).echoes(b"hello");
    new.finish();
    assert!(!place.path.exists());
}

#[test]
fn a_bad_path_is_told_with_what_is_wrong_and_where() {
    let place = Place::new();
    let long = format!("unix:/{}", "a".repeat(107));
    let stderr = refuses(&long, 2);
    let told = "a Unix socket's path has at most 107 bytes, and this one has 108";
    assert!(stderr.contains(told), "{stderr}");
    let file = place.directory.path().join("volleyd.toml");
    fs::write(&file, format!("listen = '{long}'\n")).unwrap();
    let (code, _, stderr) = exit_of(&["--config", file.to_str().unwrap()], &[]);
    assert_eq!(code, 78, "{stderr}");
    assert!(stderr.contains(&format!(":1:10: `listen`: {told}\n")), "{stderr}");
    let below = format!("{}/below", place.endpoint);
    let told = format!("--listen: {below}: there is no directory {}", place.path.display());
    assert!(refuses(&below, 2).contains(&told));
}

#[test]
fn two_listeners_can_not_share_a_path() {
    let place = Place::new();
    let twice = ["--listen", &place.endpoint, "--listen", &place.endpoint];
    let (code, _, stderr) = exit_of(&twice, &[]);
    assert_eq!(
        (code, stderr),
        (2, format!("volleyd: --listen: {} is there twice", place.endpoint))
    );
    let admin = ["--listen", &place.endpoint, "--admin", &place.endpoint];
    let (code, _, stderr) = exit_of(&admin, &[]);
    let told =
        format!("volleyd: --admin: {} is that of a listener (flag --listen)", place.endpoint);
    assert_eq!((code, stderr), (2, told));
}

#[test]
fn a_peer_is_told_by_its_process_and_its_user() {
    let place = Place::new();
    let daemon = place.start(&["--log-format", "json"]);
    let mut peer = Peer::connect_to(&place.endpoint);
    peer.send(control(common::HELLO, 0, 1, 0, b"a client"));
    peer.expect(welcome(1));
    let connections = || daemon.admin().get("/connections").body;
    until(|| connections().contains("\"client\":\"a client\""));
    let body = connections();
    let listing: Value = serde_json::from_str(&body).unwrap();
    let own = [
        ("pid", getpid().as_raw_pid().cast_unsigned()),
        ("uid", geteuid().as_raw()),
        ("gid", getegid().as_raw()),
    ];
    let shown = &listing["connections"][0];
    assert_eq!(
        (&shown["peer"], &shown["listener"]),
        (&"unix".into(), &Value::from(&*place.endpoint))
    );
    for (field, expected) in own {
        assert_eq!(shown[field], expected, "{field}: {body}");
    }
    peer.leave();
    daemon.signal(Signal::TERM);
    let (_, log) = daemon.exit();
    let record = log.iter().find(|line| line.contains("\"connection over\"")).unwrap();
    let record: Value = serde_json::from_str(record).unwrap();
    assert_eq!(record["span"]["peer"], "unix", "{record}");
    for (field, expected) in own {
        assert_eq!(record["span"][field], expected, "{field}: {record}");
    }
    assert!(record.get("rtt").is_none(), "{record}");
}

#[test]
fn connections_of_a_user_are_counted_together() {
    let place = Place::new();
    let daemon = place.start(&["--max-connections-per-source", "1"]);
    let mut inside = Peer::connect_to(&place.endpoint);
    inside.echoes(b"hello");
    let mut over = Peer::connect_to(&place.endpoint);
    let told = (2, 0, "you have as many connections as one source may".to_owned());
    assert_eq!(over.error(), told);
    over.expect_end();
    inside.leave();
    assert_eq!(daemon.finish().0.refused, 1);
}

#[test]
fn it_is_not_alive_when_its_file_is_gone() {
    let place = Place::new();
    let daemon = place.start(&[]);
    assert_eq!(daemon.admin().get("/livez").status, 200);
    fs::remove_file(&place.path).unwrap();
    let answer = daemon.admin().get("/livez");
    assert_eq!(answer.status, 503);
    let told = format!("{}: cannot connect: No such file", place.endpoint);
    assert!(answer.body.starts_with(&told), "{answer:?}");
}

#[test]
fn who_may_connect_can_not_be_reloaded() {
    let place = Place::new();
    let text = |mode: &str| format!("listen = '{}'\nunix-mode = '{mode}'\n", place.endpoint);
    let mut daemon = place.start_by_file(&text("0600"), 1);
    fs::write(place.directory.path().join("volleyd.toml"), text("0660")).unwrap();
    daemon.signal(Signal::HUP);
    daemon.wait_for(&["takes a restart", "unix-mode", "0600 -> 0660"]);
    assert_eq!(place.mode(), 0o600);
    daemon.finish();
}

/// Whoever listens there keeps it: the daemon leaves it as it is.
#[test]
fn a_passed_socket_keeps_its_file() {
    let place = Place::new();
    let passed = UnixListener::bind(&place.path).unwrap();
    fs::set_permissions(&place.path, fs::Permissions::from_mode(0o622)).unwrap();
    for arguments in [&[][..], &["--listen", &place.endpoint]] {
        let mut command = Volleyd::command();
        command.args(arguments);
        common::pass(&mut command, [("volleyd.socket", passed.try_clone().unwrap().into())]);
        let daemon = Volleyd::spawn(command, 1);
        assert_eq!(daemon.endpoints, [place.endpoint.as_str()]);
        Peer::connect_to(&place.endpoint).echoes(b"hello");
        daemon.finish();
        assert_eq!(place.mode(), 0o622);
    }
}
