//! What a service manager is told, by sd_notify(3).
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Command;
use std::time::Instant;

use common::{LIMIT, Peer, Received, Volleyd, data, hello, welcome};
use rustix::process::Signal;
use tempfile::TempDir;

/// Hears what the daemon tells.
struct Manager {
    socket: UnixDatagram,
    folder: TempDir,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        Self { socket, folder }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Volleyd::command();
        command.env("NOTIFY_SOCKET", self.folder.path().join("notify"));
        command.args(["--listen", "127.0.0.1:0"]).args(arguments);
        command
    }

    fn start(&self, arguments: &[&str]) -> Volleyd {
        Volleyd::spawn(self.command(arguments), 1)
    }

    /// The lines of the next message.
    #[track_caller]
    fn hear(&self) -> Vec<String> {
        let mut message = [0; 4096];
        self.socket.set_read_timeout(Some(LIMIT)).unwrap();
        let len = self.socket.recv(&mut message).unwrap();
        let message = std::str::from_utf8(&message[..len]).unwrap();
        message.lines().map(str::to_owned).collect()
    }

    /// What has been told already.
    fn rest(&self) -> Vec<String> {
        self.socket.set_nonblocking(true).unwrap();
        let mut message = [0; 4096];
        let mut rest = Vec::new();
        while let Ok(len) = self.socket.recv(&mut message) {
            rest.push(String::from_utf8_lossy(&message[..len]).into_owned());
        }
        rest
    }
}

#[test]
fn it_tells_when_it_is_ready_and_when_it_goes() {
    let manager = Manager::new();
    let daemon = manager.start(&[]);
    assert_eq!(manager.hear(), ["READY=1", "STATUS=serving 1 listener, 0 connections"]);
    let mut peer = daemon.connect();
    peer.send(hello(0));
    peer.expect(welcome(1));
    daemon.signal(Signal::TERM);
    assert_eq!(manager.hear(), ["STOPPING=1", "STATUS=draining, 1 connection left"]);
    drop(peer);
    assert_eq!(daemon.exit().0, 0);
    assert_eq!(manager.rest(), [""; 0]);
}

#[test]
fn it_tells_every_now_and_then_how_many_connections_there_are() {
    let manager = Manager::new();
    let daemon = manager.start(&["--log-format", "json"]);
    assert_eq!(manager.hear()[0], "READY=1");
    let mut peer = daemon.connect();
    peer.echoes(b"hello");
    assert_eq!(manager.hear(), ["STATUS=serving 1 listener, 1 connection"]);
    daemon.signal(Signal::TERM);
}

#[test]
fn nobody_there_to_be_told_is_no_error() {
    for path in ["", "/nowhere/notify"] {
        let mut command = Volleyd::command();
        command.args(["--listen", "127.0.0.1:0"]).env("NOTIFY_SOCKET", path);
        let daemon = Volleyd::spawn(command, 1);
        daemon.connect().echoes(b"hello");
        let (_, log) = daemon.finish();
        let warned = log.iter().any(|line| line.contains("cannot tell the service manager"));
        assert_eq!(warned, !path.is_empty(), "{log:#?}");
    }
}

#[test]
fn a_manager_that_does_not_read_holds_nothing_up() {
    let manager = Manager::new();
    let mut command = manager.command(&["--threads", "1"]);
    command.env("WATCHDOG_USEC", "3000");
    let mut daemon = Volleyd::spawn(command, 1);
    // Its socket holds some ten messages (net.unix.max_dgram_qlen).
    daemon.wait_for(&["cannot tell the service manager: WATCHDOG=1"]);
    daemon.connect().echoes(b"hello");
    daemon.finish();
}

#[test]
fn a_manager_with_an_abstract_name_is_told() {
    let name = format!("volley-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let socket = UnixDatagram::bind_addr(&address).unwrap();
    let mut manager = Manager::new();
    manager.socket = socket;
    let mut command = manager.command(&[]);
    command.env("NOTIFY_SOCKET", format!("@{name}"));
    let _daemon = Volleyd::spawn(command, 1);
    assert_eq!(manager.hear()[0], "READY=1");
}

/// Has the only place for a connection, which the watchdog's own frame may have for a moment.
fn take_the_place(daemon: &Volleyd) -> Peer {
    let deadline = Instant::now() + LIMIT;
    while Instant::now() < deadline {
        let mut peer = daemon.connect();
        peer.send(data(b"mine"));
        if matches!(peer.frame(), Received::Data(_)) {
            return peer;
        }
    }
    panic!("the place is never free");
}

#[test]
fn a_watchdog_is_fed_by_whoever_it_is_for() {
    // One without a place for connections is alive.
    for is_full in [false, true] {
        let manager = Manager::new();
        let mut command = manager.command(&["--max-connections", if is_full { "1" } else { "9" }]);
        let daemon = Volleyd::spawn(
            {
                command.env("WATCHDOG_USEC", "60000");
                command
            },
            1,
        );
        assert_eq!(manager.hear()[0], "READY=1");
        let _inside = is_full.then(|| take_the_place(&daemon));
        for _ in 0..5 {
            assert_eq!(manager.hear(), ["WATCHDOG=1"]);
        }
        daemon.finish();
    }
}

#[test]
fn a_reload_is_told_from_its_beginning_to_its_end() {
    let manager = Manager::new();
    let file = manager.folder.path().join("volleyd.toml");
    fs::write(&file, "").unwrap();
    let daemon = manager.start(&["--config", file.to_str().unwrap()]);
    assert_eq!(manager.hear()[0], "READY=1");
    // A bad one too: it goes on as before.
    for text in ["drain = '1s'", "drain = 1"] {
        fs::write(&file, text).unwrap();
        daemon.signal(Signal::HUP);
        let reloading = manager.hear();
        assert_eq!(reloading[0], "RELOADING=1");
        let since = reloading[1].strip_prefix("MONOTONIC_USEC=").unwrap();
        assert!(since.parse::<u64>().unwrap() > 0);
        assert_eq!(manager.hear(), ["READY=1", "STATUS=serving 1 listener, 0 connections"]);
    }
}

#[test]
fn a_watchdog_for_another_process_is_not_fed() {
    let manager = Manager::new();
    let mut command = manager.command(&[]);
    command.env("WATCHDOG_USEC", "3000").env("WATCHDOG_PID", "1");
    let daemon = Volleyd::spawn(command, 1);
    assert_eq!(manager.hear()[0], "READY=1");
    // Of a watchdog that was fed every millisecond there would be something by the end of this.
    for _ in 0..200 {
        daemon.connect().echoes(b"hello");
    }
    daemon.signal(Signal::TERM);
    assert_eq!(manager.hear()[0], "STOPPING=1");
    daemon.exit();
}

#[test]
fn during_the_drain_delay_it_is_not_ready_and_accepts() {
    let manager = Manager::new();
    let mut daemon = manager.start(&["--drain-delay", "1h"]);
    assert_eq!(manager.hear()[0], "READY=1");
    let mut before = daemon.connect();
    before.echoes(b"hello");
    daemon.signal(Signal::TERM);
    let status = "STATUS=not ready, accepting for another 1h before the drain";
    assert_eq!(manager.hear(), ["STOPPING=1", status]);
    before.echoes(b"still there");
    let mut greeted = daemon.connect();
    greeted.send(hello(0));
    greeted.expect(welcome(1));
    // A second signal ends the delay, and a third the drain.
    daemon.signal(Signal::TERM);
    before.expect_end();
    assert_eq!(manager.hear(), ["STOPPING=1", "STATUS=draining, 2 connections left"]);
    daemon.wait_for(&["shutting down"]);
    daemon.signal(Signal::INT);
    assert_eq!(daemon.exit().0, 130);
}

#[test]
fn the_drain_delay_is_as_long_as_asked_for() {
    let manager = Manager::new();
    let mut command = manager.command(&[]);
    let daemon = Volleyd::spawn(
        {
            command.env("VOLLEYD_DRAIN_DELAY", "300ms");
            command
        },
        1,
    );
    assert_eq!(manager.hear()[0], "READY=1");
    let began = Instant::now();
    daemon.signal(Signal::TERM);
    assert!(manager.hear()[1].contains("accepting for another 300ms"));
    Peer::connect(daemon.address()).echoes(b"hello");
    assert_eq!(manager.hear()[0], "STOPPING=1");
    assert!(began.elapsed().as_millis() >= 300, "{:?}", began.elapsed());
    assert_eq!(daemon.exit().0, 0);
}
