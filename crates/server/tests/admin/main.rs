//! The admin listener: its metrics, its health, its list of connections, the log's filter, and that
//! nobody who asks it can harm the frames.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "../common/mod.rs"]
mod common;
mod connections;
mod health;
mod log;
mod metrics;
mod requests;

use std::fs;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{Peer, Volleyd, data, exit_of, pattern};

/// Connects, sends, resets and leaves without end, until told to stop.
fn make_traffic(address: std::net::SocketAddr, seed: u64, stop: &AtomicBool) {
    for round in seed.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let mut peer = Peer::connect(address);
        let frames = data(&pattern(usize::try_from(round % 5000).unwrap(), round)).repeat(5);
        peer.send(&frames);
        match round % 3 {
            0 => peer.reset(),
            1 => {
                peer.expect(&frames);
                peer.leave();
            }
            _ => peer.expect(&frames),
        }
    }
}

#[test]
fn a_port_in_use_exits_with_69_and_says_which() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", taken.local_addr().unwrap());
    let (code, stdout, stderr) =
        exit_of(&["--listen", "127.0.0.1:0", "--admin", &endpoint, "--log", "off"], &[]);
    assert_eq!((code, stdout.as_str()), (69, ""));
    let told = format!("volleyd: cannot listen on {endpoint}: Address already in use");
    assert!(stderr.starts_with(&told), "{stderr}");
}

#[test]
fn it_is_set_by_the_environment_too_and_told_in_the_log() {
    let mut command = Volleyd::command();
    command.env("VOLLEYD_ADMIN", "localhost:0").args(["--listen", "127.0.0.1:0"]);
    let mut daemon = Volleyd::spawn_with(command, 1, true);
    assert_eq!(daemon.admin().get("/readyz").status, 200);
    let url = daemon.admin().endpoint.replace("tcp://", "http://");
    daemon.wait_for(&["INFO", "admin", &format!("endpoint={url}")]);
}

#[test]
fn without_the_flag_there_is_none() {
    let mut command = Volleyd::command();
    command.args(["--listen", "127.0.0.1:0"]);
    let daemon = Volleyd::spawn_alone(command, 1);
    daemon.connect().echoes(b"hello");
    let threads = |pid: u32| -> Vec<String> {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        let name = |task: std::io::Result<fs::DirEntry>| {
            fs::read_to_string(task.unwrap().path().join("comm")).unwrap().trim().to_owned()
        };
        tasks.map(name).collect()
    };
    assert!(!threads(daemon.pid()).contains(&"volleyd-admin".to_owned()));
    let with = Volleyd::start(&[]);
    // It has a name once it runs.
    assert_eq!(with.admin().get("/readyz").status, 200);
    assert!(threads(with.pid()).contains(&"volleyd-admin".to_owned()));
}
