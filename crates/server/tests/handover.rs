//! SIGUSR2: a new process takes over the listening sockets, or the old one goes on.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Instant;

use common::{GOAWAY, LIMIT, Peer, Received, Volleyd, copy_program, hello, pass, welcome};
use rustix::process::{
    Pid, Signal, WaitOptions, getpid, kill_process, kill_process_group, set_child_subreaper,
    test_kill_process, waitpid,
};
use tempfile::TempDir;

/// A daemon and those that came after it. Dropped, all are killed.
struct Family {
    daemon: Volleyd,
}

/// One that has taken the place of another.
struct Successor(Pid);

impl Family {
    fn start(command: Command) -> Self {
        Self::start_with(command, 1)
    }

    fn start_with(mut command: Command, listeners: usize) -> Self {
        // Whose parent has gone is this process's then, which can wait for it.
        set_child_subreaper(Some(getpid())).unwrap();
        command.process_group(0).args(LOG);
        Self { daemon: Volleyd::spawn(command, listeners) }
    }

    /// Has the first one start another, which gets ready.
    fn hand_over(&mut self) -> Successor {
        self.daemon.signal(Signal::USR2);
        let line = self.daemon.wait_for(&["INFO", "handed over to a new process"]);
        Successor(pid(&line))
    }

    /// Has it try in vain. Returns what the log says.
    fn hand_over_in_vain(&mut self) -> String {
        self.daemon.signal(Signal::USR2);
        self.daemon.wait_for_next(&["ERROR", "going on as before: "])
    }
}

/// Its frames are not many.
const LOG: [&str; 2] = ["--log", "debug"];

impl Drop for Family {
    fn drop(&mut self) {
        let group = Pid::from_raw(self.daemon.pid().try_into().unwrap()).unwrap();
        // All may have gone already.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

impl Successor {
    /// Ends it with SIGTERM. Returns its exit code.
    fn finish(self) -> Option<i32> {
        kill_process(self.0, Signal::TERM).unwrap();
        self.wait()
    }

    fn wait(self) -> Option<i32> {
        let (_, status) = waitpid(Some(self.0), WaitOptions::empty()).unwrap().unwrap();
        status.exit_status()
    }
}

/// From `… pid=123`.
fn pid(line: &str) -> Pid {
    let (_, pid) = line.rsplit_once("pid=").unwrap();
    Pid::from_raw(pid.trim().parse().unwrap()).unwrap()
}

fn on_any_port(mut command: Command) -> Command {
    command.args(["--listen", "127.0.0.1:0"]);
    command
}

/// A program that can be replaced, and its folder.
fn copy() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("volleyd");
    (folder, path)
}

/// Puts a script in the place of the program, as an installation does: by a rename.
fn replace(path: &PathBuf, script: &str, mode: u32) {
    let [text, new] = ["text", "new"].map(|name| path.with_extension(name));
    fs::write(&text, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&text, Permissions::from_mode(mode)).unwrap();
    copy_program(&text, &new);
    fs::rename(new, path).unwrap();
}

#[test]
fn the_new_process_serves_at_the_same_address_and_the_old_one_drains() {
    let mut family = Family::start(on_any_port(Volleyd::command()));
    let mut greeted = family.daemon.connect();
    greeted.send(hello(0));
    greeted.expect(welcome(1));
    let mut plain = family.daemon.connect();
    plain.echoes(b"plain");
    let new = family.hand_over();
    // The old one says goodbye and answers until it is left.
    let Received::Control { kind: GOAWAY, code: 7, .. } = greeted.frame() else {
        panic!("no GOAWAY");
    };
    greeted.echoes(b"from the old one");
    plain.expect_end();
    family.daemon.connect().echoes(b"from the new one");
    greeted.leave();
    assert_eq!(family.daemon.wait().code(), Some(0));
    family.daemon.connect().echoes(b"from the new one");
    assert_eq!(new.finish(), Some(0));
}

/// A place for a Unix socket, and the endpoint there.
fn place() -> (TempDir, PathBuf, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("volley.sock");
    let endpoint = format!("unix:{}", path.display());
    (folder, path, endpoint)
}

#[test]
fn unix_sockets_are_handed_over_with_their_files() {
    let (folder, path, endpoint) = place();
    let name = format!("unix:@{}", path.display());
    let config = folder.path().join("volleyd.toml");
    fs::write(&config, "").unwrap();
    let mut command = Volleyd::command();
    command.args(["--listen", &endpoint, "--listen", &name]).arg("--config").arg(&config);
    let mut family = Family::start_with(command, 2);
    let mut plain = Peer::connect_to(&endpoint);
    plain.echoes(b"plain");
    // What could not be reloaded holds from a restart on.
    fs::write(&config, "unix-mode = '0606'").unwrap();
    let new = family.hand_over();
    plain.expect_end();
    assert_eq!(family.daemon.wait().code(), Some(0));
    assert_eq!(family.daemon.more_endpoints(2), [endpoint.as_str(), name.as_str()]);
    for endpoint in [&endpoint, &name] {
        Peer::connect_to(endpoint).echoes(b"from the new one");
    }
    // Once the old one has let go.
    let deadline = Instant::now() + LIMIT;
    while fs::metadata(&path).unwrap().permissions().mode() & 0o777 != 0o606 {
        assert!(Instant::now() < deadline, "it is as it was");
        thread::yield_now();
    }
    assert_eq!(new.finish(), Some(0));
    assert!(!path.exists());
}

#[test]
fn a_new_process_that_fails_leaves_the_old_one_its_unix_sockets() {
    let (folder, path, endpoint) = place();
    let admin = format!("unix:{}", folder.path().join("admin.sock").display());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = folder.path().join("volleyd.toml");
    let with = |listen: &str| format!("admin = '{admin}'\nlisten = ['{endpoint}', '{listen}']\n");
    fs::write(&config, with("127.0.0.1:0")).unwrap();
    let mut command = Volleyd::command();
    command.arg("--config").arg(&config).args(LOG);
    let mut daemon = Volleyd::spawn_with(command, 2, true);
    // It has its sockets by then, and can't have one more.
    fs::write(&config, with(&taken.local_addr().unwrap().to_string())).unwrap();
    daemon.signal(Signal::USR2);
    let told = daemon.wait_for_next(&["ERROR", "going on as before: "]);
    assert!(told.contains("exited with code 69"), "{told}");
    assert!(path.exists());
    Peer::connect_to(&endpoint).echoes(b"from the old one");
    assert_eq!(daemon.admin().get("/livez").status, 200);
    daemon.finish();
    assert!(!path.exists());
}

#[test]
fn a_connection_that_has_said_nothing_yet_is_not_lost() {
    let mut family = Family::start(on_any_port(Volleyd::command()));
    let mut young = family.daemon.connect();
    // It is known to have been accepted.
    family.daemon.wait_for(&["accepted"]);
    let new = family.hand_over();
    young.send(hello(0));
    young.expect(welcome(1));
    assert!(matches!(young.frame(), Received::Control { kind: GOAWAY, .. }));
    young.echoes(b"hello");
    young.leave();
    assert_eq!(family.daemon.wait().code(), Some(0));
    assert_eq!(new.finish(), Some(0));
}

#[test]
fn a_chain_of_processes_keeps_one_address() {
    let (passed, others) = (TcpListener::bind("127.0.0.1:0").unwrap(), ["127.0.0.1:0"; 2]);
    let address = passed.local_addr().unwrap();
    let mut command = Volleyd::command();
    command.args(["--listen", others[0], "--listen", others[1], "--listen", &address.to_string()]);
    pass(&mut command, [("volleyd.socket", passed.into())]);
    let mut family = Family::start_with(command, 3);
    let ends = family.daemon.endpoints.clone();
    let mut last = family.hand_over();
    assert_eq!(family.daemon.more_endpoints(3), ends);
    assert_eq!(family.daemon.wait().code(), Some(0));
    for _ in 0..3 {
        kill_process(last.0, Signal::USR2).unwrap();
        let next = pid(&family.daemon.wait_for_next(&["handed over to a new process"]));
        assert_eq!(last.wait(), Some(0));
        assert_eq!(family.daemon.more_endpoints(3), ends);
        last = Successor(next);
    }
    for endpoint in ends {
        Peer::connect(endpoint.trim_start_matches("tcp://").parse().unwrap()).echoes(b"hello");
    }
    assert_eq!(last.finish(), Some(0));
}

#[test]
fn the_service_manager_hears_whose_place_it_is_before_the_new_process_speaks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(LIMIT)).unwrap();
    let hear = || {
        let mut message = [0; 4096];
        let len = manager.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..len]).into_owned()
    };
    let mut command = on_any_port(Volleyd::command());
    command.env("NOTIFY_SOCKET", &path);
    let mut family = Family::start(command);
    assert!(hear().starts_with("READY=1\n"));
    let new = family.hand_over();
    assert_eq!(hear(), format!("MAINPID={}\n", new.0.as_raw_pid()));
    assert!(hear().starts_with("READY=1\n"));
    assert_eq!(family.daemon.wait().code(), Some(0));
    assert_eq!(new.finish(), Some(0));
    assert!(hear().starts_with("STOPPING=1\n"));
}

#[test]
fn a_broken_program_takes_nothing_over() {
    let (_folder, path) = copy();
    let mut family = Family::start(on_any_port(Volleyd::command_of_copy(&path)));
    let mut before = family.daemon.connect();
    before.echoes(b"before");
    replace(&path, "", 0o644);
    let told = family.hand_over_in_vain();
    assert!(told.contains("cannot start") && told.contains("Permission denied"), "{told}");
    replace(&path, "exit 9", 0o755);
    let told = family.hand_over_in_vain();
    assert!(told.contains("exited with code 9 before it was ready"), "{told}");
    fs::remove_file(&path).unwrap();
    let told = family.hand_over_in_vain();
    assert!(told.contains("cannot start") && told.contains("No such file"), "{told}");
    // Nothing has changed for anyone, and the next one that works is taken.
    before.echoes(b"after");
    family.daemon.connect().echoes(b"after");
    Volleyd::command_of_copy(&path);
    let new = family.hand_over();
    before.expect_end();
    assert_eq!(family.daemon.wait().code(), Some(0));
    family.daemon.connect().echoes(b"from the new one");
    assert_eq!(new.finish(), Some(0));
}

#[test]
fn a_signal_ends_both_while_the_new_one_is_starting() {
    let (_folder, path) = copy();
    let mut family = Family::start(on_any_port(Volleyd::command_of_copy(&path)));
    replace(&path, "exec sleep 1000", 0o755);
    family.daemon.signal(Signal::USR2);
    let new = pid(&family.daemon.wait_for(&["a new process is to take over"]));
    family.daemon.signal(Signal::USR2);
    family.daemon.wait_for(&["ignoring SIGUSR2: a new process is starting"]);
    family.daemon.connect().echoes(b"still served");
    family.daemon.signal(Signal::TERM);
    assert_eq!(family.daemon.wait().code(), Some(0));
    assert!(test_kill_process(new).is_err());
}

#[test]
fn a_signal_during_the_drain_of_a_handover_is_heeded_the_second_time() {
    let mut family = Family::start(on_any_port(Volleyd::command()));
    let mut greeted = family.daemon.connect();
    greeted.send(hello(0));
    greeted.expect(welcome(1));
    let new = family.hand_over();
    family.daemon.signal(Signal::USR2);
    family.daemon.wait_for(&["ignoring SIGUSR2: shutting down"]);
    family.daemon.signal(Signal::TERM);
    family.daemon.wait_for(&["draining already"]);
    assert!(matches!(greeted.frame(), Received::Control { kind: GOAWAY, .. }));
    greeted.echoes(b"still answered");
    family.daemon.signal(Signal::TERM);
    assert_eq!(family.daemon.wait().code(), Some(143));
    assert_eq!(new.finish(), Some(0));
}

#[test]
fn the_first_process_of_a_container_stays() {
    let namespace = ["--pid", "--fork", "--kill-child"];
    let tried = Command::new("unshare").args(namespace).arg("true").status();
    if !tried.is_ok_and(|status| status.success()) {
        println!("skipped: no namespace can be made for processes");
        return;
    }
    let mut daemon =
        Volleyd::spawn(on_any_port(Volleyd::command_through("unshare", &namespace)), 1);
    let children = format!("/proc/{0}/task/{0}/children", daemon.pid());
    let first = fs::read_to_string(children).unwrap().trim().parse().unwrap();
    kill_process(Pid::from_raw(first).unwrap(), Signal::USR2).unwrap();
    daemon.wait_for(&["ignoring SIGUSR2", "container"]);
    daemon.connect().echoes(b"hello");
}
