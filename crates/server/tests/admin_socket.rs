//! The admin listener on a Unix socket: who may use it, and what becomes of its file.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::{Volleyd, exit_of, hello, welcome};
use rustix::process::Signal;
use socket2::{Domain, SockAddr, Socket, Type};
use tempfile::TempDir;

/// A place for a socket, and the endpoint there.
fn place() -> (TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let endpoint = format!("unix:{}", directory.path().join("admin.sock").display());
    (directory, endpoint)
}

fn start(endpoint: &str) -> Volleyd {
    let mut command = Volleyd::command();
    command.args(["--listen", "127.0.0.1:0", "--drain", "1h", "--admin", endpoint]);
    Volleyd::spawn_with(command, 1, true)
}

fn file_of(endpoint: &str) -> &Path {
    Path::new(endpoint.strip_prefix("unix:").unwrap())
}

#[test]
fn its_owner_and_group_may_ask_and_nobody_else() {
    let (_directory, endpoint) = place();
    let mut daemon = start(&endpoint);
    assert_eq!(daemon.admin().endpoint, endpoint);
    assert_eq!(daemon.admin().get("/readyz").body, "ready\n");
    let mode = fs::metadata(file_of(&endpoint)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    daemon.wait_for(&["INFO", "admin", &endpoint]);
}

#[test]
fn it_is_removed_at_the_end_whichever_way() {
    let (_directory, endpoint) = place();
    let daemon = start(&endpoint);
    assert!(file_of(&endpoint).exists());
    daemon.finish();
    assert!(!file_of(&endpoint).exists());

    let mut daemon = start(&endpoint);
    let mut peer = daemon.connect();
    peer.send(hello(0));
    peer.expect(welcome(1));
    daemon.signal(Signal::TERM);
    daemon.wait_for(&["shutting down"]);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.exit().0, 143);
    assert!(!file_of(&endpoint).exists());
}

#[test]
fn one_that_nobody_listens_on_is_replaced() {
    let (_directory, endpoint) = place();
    // Killed, it leaves its file.
    let daemon = start(&endpoint);
    daemon.signal(Signal::KILL);
    drop(daemon);
    assert!(file_of(&endpoint).exists());
    assert_eq!(start(&endpoint).admin().get("/readyz").status, 200);
}

#[test]
fn one_that_is_in_use_is_an_error_and_stays() {
    let (_directory, endpoint) = place();
    // And so busy that nobody gets in any more.
    let taken = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    let address = SockAddr::unix(file_of(&endpoint)).unwrap();
    taken.bind(&address).unwrap();
    taken.listen(0).unwrap();
    let waiting: Vec<_> = std::iter::from_fn(|| {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket.connect(&address).is_ok().then_some(socket)
    })
    .collect();
    assert!(!waiting.is_empty());
    let (code, stdout, stderr) = exit_of(&["--listen", "127.0.0.1:0", "--admin", &endpoint], &[]);
    assert_eq!((code, stdout.as_str()), (69, ""), "{stderr}");
    let told = format!("cannot listen on {endpoint}: Address already in use");
    assert!(stderr.contains(&told), "{stderr}");
    assert!(file_of(&endpoint).exists());
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let (_directory, endpoint) = place();
    fs::write(file_of(&endpoint), "precious").unwrap();
    let (code, _, stderr) = exit_of(&["--listen", "127.0.0.1:0", "--admin", &endpoint], &[]);
    assert_eq!(code, 69, "{stderr}");
    assert_eq!(fs::read_to_string(file_of(&endpoint)).unwrap(), "precious");
}

#[test]
fn a_directory_that_is_not_there_is_an_error() {
    let (_directory, endpoint) = place();
    let endpoint = format!("{endpoint}/below/it");
    let (code, _, stderr) = exit_of(&["--listen", "127.0.0.1:0", "--admin", &endpoint], &[]);
    assert_eq!(code, 2, "{stderr}");
    let directory = file_of(&endpoint).parent().unwrap().display().to_string();
    let told = format!("volleyd: --admin: {endpoint}: there is no directory {directory}");
    assert_eq!(stderr, told);
}

/// The file of a process that has taken its place is not its own.
#[test]
fn it_does_not_remove_the_socket_of_another() {
    let (_directory, endpoint) = place();
    let old = start(&endpoint);
    fs::remove_file(file_of(&endpoint)).unwrap();
    let new = start(&endpoint);
    old.signal(Signal::TERM);
    assert_eq!(old.exit().0, 0);
    assert_eq!(new.admin().get("/readyz").status, 200);
}
