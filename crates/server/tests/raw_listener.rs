//! The daemon without frames: for programs that know none, on this machine alone unless told
//! otherwise.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use common::{Peer, Volleyd, data, exit_of, pass, same_bytes};

#[test]
fn what_comes_in_goes_back_beside_a_listener_with_frames() {
    let directory = tempfile::tempdir().unwrap();
    let (file, socket) = (directory.path().join("volleyd.toml"), directory.path().join("raw.sock"));
    let text = format!(
        "[[listener]]\nlisten = '127.0.0.1:0'\n\
         [[listener]]\nlisten = '127.0.0.1:0'\nframing = 'raw'\n\
         [[listener]]\nlisten = 'unix:{}'\nframing = 'raw'\n",
        socket.display()
    );
    fs::write(&file, text).unwrap();
    let mut command = Volleyd::command();
    command.arg("--config").arg(file);
    let daemon = Volleyd::spawn(command, 3);
    let [framed, raw] = daemon.addresses()[..] else { panic!("{daemon:?}") };
    let (mut framed, mut raw) = (Peer::connect(framed), Peer::connect(raw));
    framed.echoes(b"hello");
    let mut unix = UnixStream::connect(&socket).unwrap();
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &data(b"hello")[..7], b"\xff"] {
        raw.send(bytes);
        same_bytes(&raw.read(bytes.len()), bytes);
        unix.write_all(bytes).unwrap();
        let mut back = vec![0; bytes.len()];
        unix.read_exact(&mut back).unwrap();
        assert_eq!(back, bytes);
    }
    // A frame goes through it too.
    assert_eq!(daemon.admin().get("/livez").status, 200);
    drop((framed, raw, unix));
    let (books, _) = daemon.finish();
    assert_eq!(books.accepted, 6, "{books:?}");
}

#[test]
fn it_is_not_open_to_the_network_unless_told_so() {
    let why = "a raw listener is for this machine alone, unless --allow-public-raw is given";
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:7", "example.org:7007"] {
        let (code, stdout, stderr) = exit_of(&["--framing", "raw", "--listen", listen], &[]);
        assert_eq!((code, stdout.as_str()), (78, ""), "{stderr}");
        assert!(stderr.contains(&format!("--listen: tcp://{listen}: {why}")), "{stderr}");
    }
    let mut command = Volleyd::command();
    command.args(["--framing", "raw", "--allow-public-raw", "--listen", "0.0.0.0:0"]);
    let daemon = Volleyd::spawn(command, 1);
    let mut peer = Peer::connect(([127, 0, 0, 1], daemon.address().port()).into());
    peer.send(b"x");
    same_bytes(&peer.read(1), b"x");
}

#[test]
fn a_switch_is_on_when_it_is_named_and_takes_a_word() {
    for (arguments, printed) in [
        (&["--allow-public-raw"][..], "allow-public-raw = true"),
        (&["--allow-public-raw", "off"], "allow-public-raw = false"),
        (&["--allow-public-raw=on"], "allow-public-raw = true"),
        (&[], "allow-public-raw = false"),
    ] {
        let (code, stdout, stderr) = exit_of(&[arguments, &["--print-config"]].concat(), &[]);
        assert_eq!(code, 0, "{stderr}");
        assert!(stdout.contains(printed), "{stdout}");
    }
    let (code, _, stderr) = exit_of(&["--allow-public-raw", "perhaps"], &[]);
    assert_eq!(code, 2);
    assert!(stderr.contains("`perhaps` is neither on nor off"), "{stderr}");
}

#[test]
fn a_socket_that_is_passed_may_not_be_open_to_the_network_either() {
    let socket = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let mut command = Volleyd::command();
    command.args(["--framing", "raw"]);
    pass(&mut command, [("public", socket.into())]);
    let (code, _, stderr) = common::exit_of_command(command);
    assert_eq!(code, 78, "{stderr}");
    assert!(stderr.contains("a raw listener is for this machine alone"), "{stderr}");
}
