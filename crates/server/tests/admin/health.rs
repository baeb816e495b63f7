//! Whether the daemon says rightly that it is ready, and alive.

use std::net::{Shutdown, TcpListener};
use std::time::Instant;

use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use rustix::process::Signal;
use socket2::Socket;
use volley_tests::Admin;

use crate::common::{LIMIT, Peer, Volleyd, hello, pass, welcome};

/// Asks whether it lives until the answer is yes: a machine that stands still for a second is no
/// fault of the daemon's.
#[track_caller]
fn wait_until_alive(admin: &Admin) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let answer = admin.get("/livez");
        if (answer.status, answer.body.as_str()) == (200, "ok\n") {
            return;
        }
        assert!(Instant::now() < deadline, "{answer:?}");
    }
}

#[test]
fn it_is_ready_until_a_drain_begins_and_alive_to_its_end() {
    let daemon = Volleyd::start(&["--drain", "1h"]);
    let mut peer = daemon.connect();
    peer.send(hello(0));
    peer.expect(welcome(1));
    assert_eq!(daemon.admin().get("/readyz").status, 200);
    daemon.signal(Signal::TERM);
    let deadline = Instant::now() + LIMIT;
    let answer = loop {
        let answer = daemon.admin().get("/readyz");
        if answer.status != 200 {
            break answer;
        }
        assert!(Instant::now() < deadline, "it is ready in a drain");
    };
    assert_eq!((answer.status, answer.body.as_str()), (503, "draining\n"));
    assert_eq!(daemon.admin().metrics().get("volleyd_ready", &[]), 0.0);
    // The listener is closed, and yet nobody must be told to restart a daemon that drains.
    assert_eq!(daemon.admin().get("/livez").status, 200);
    // GOAWAY, and then the peer is served until it leaves.
    peer.frame();
    peer.echoes(b"still answered");
    daemon.admin().check_books();
    peer.leave();
    assert_eq!(daemon.exit().0, 0);
}

/// A listener that breaks ends the daemon, which drains the others before that.
#[test]
fn it_is_not_ready_once_a_listener_is_broken() {
    let sockets = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let broken = Socket::from(sockets[0].try_clone().unwrap());
    let mut command = Volleyd::command();
    command.args(["--drain", "1h"]);
    let names = ["first", "second"];
    pass(&mut command, names.into_iter().zip(sockets.map(Into::into)));
    let mut daemon = Volleyd::spawn(command, 2);
    let mut peer = Peer::connect(daemon.addresses()[1]);
    peer.send(hello(0));
    peer.expect(welcome(1));
    assert_eq!(daemon.admin().get("/readyz").status, 200);
    // From now on accept(2) says EINVAL.
    broken.shutdown(Shutdown::Both).unwrap();
    daemon.wait_for(&["ERROR", "cannot accept"]);
    // GOAWAY.
    peer.frame();
    let answer = daemon.admin().get("/readyz");
    assert_eq!((answer.status, answer.body.as_str()), (503, "draining\n"));
    peer.leave();
    assert_eq!(daemon.exit().0, 69);
}

#[test]
fn a_look_at_the_listeners_is_a_frame_through_each_of_them() {
    let mut command = Volleyd::command();
    command.args(["--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"]);
    let daemon = Volleyd::spawn(command, 2);
    wait_until_alive(daemon.admin());
    let metrics = daemon.admin().metrics();
    for endpoint in &daemon.endpoints {
        assert!(metrics.get("volleyd_frames_answered_total", &[("listener", endpoint)]) >= 1.0);
    }
}

/// What a deadlock or an endless loop would be: the thread that serves the frames stands still, and
/// the one that answers for it does not.
#[test]
fn it_is_not_alive_while_its_frames_are_held_up() {
    let daemon = Volleyd::start(&["--threads", "1"]);
    // With one thread that is the main one. Its number is the process's.
    let main = nix::unistd::Pid::from_raw(daemon.pid().try_into().unwrap());
    wait_until_alive(daemon.admin());
    if let Err(error) = ptrace::seize(main, ptrace::Options::empty()) {
        println!("skipped: threads can't be stopped here: {error}");
        return;
    }
    ptrace::interrupt(main).unwrap();
    waitpid(main, Some(WaitPidFlag::__WALL)).unwrap();
    let answer = daemon.admin().get("/livez");
    let wrong = format!("{}: no reply within 1s\n", daemon.endpoints[0]);
    assert_eq!((answer.status, answer.body), (503, wrong));
    assert_eq!(daemon.admin().get("/metrics").status, 200);
    ptrace::detach(main, None).unwrap();
    wait_until_alive(daemon.admin());
}

#[test]
fn a_daemon_that_refuses_everybody_is_alive() {
    let daemon = Volleyd::start(&["--max-connections", "1"]);
    let mut inside = daemon.connect();
    inside.echoes(b"in");
    wait_until_alive(daemon.admin());
    assert!(daemon.admin().metrics().sum("volleyd_connections_refused_total", &[]) >= 1.0);
}
