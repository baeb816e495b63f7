//! Sockets that a service manager has opened and passes, as sd_listen_fds(3) describes.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::fs;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};

use common::{Peer, Volleyd, WELCOME, control, data, exit_of_command, hello, pass};

fn socket() -> (TcpListener, String) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    (socket, address)
}

/// What the daemon does that gets these sockets and these arguments.
fn start(arguments: &[&str], sockets: Vec<(&str, OwnedFd)>, listeners: usize) -> Volleyd {
    let mut command = Volleyd::command();
    command.args(arguments);
    pass(&mut command, sockets);
    Volleyd::spawn(command, listeners)
}

#[track_caller]
fn refuses(arguments: &[&str], sockets: Vec<(&str, OwnedFd)>, parts: &[&str]) {
    let mut command = Volleyd::command();
    command.args(arguments);
    pass(&mut command, sockets);
    let (code, stdout, stderr) = exit_of_command(command);
    assert_eq!((code, stdout.as_str()), (78, ""), "{stderr}");
    assert!(parts.iter().all(|part| stderr.contains(part)), "{parts:?}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

#[test]
fn without_a_listener_of_its_own_it_serves_all_that_was_passed() {
    let ((first, a), (second, b)) = (socket(), socket());
    let daemon = start(&[], vec![("one", first.into()), ("volleyd.socket", second.into())], 2);
    assert_eq!(daemon.endpoints, [format!("tcp://{a}"), format!("tcp://{b}")]);
    daemon.addresses().into_iter().for_each(|address| Peer::connect(address).echoes(b"hello"));
    assert_eq!(daemon.finish().0.frames_answered, 2);
}

#[test]
fn a_passed_socket_serves_the_listener_with_its_address_and_others_are_bound() {
    let (passed, address) = socket();
    let arguments = ["--listen", "127.0.0.1:0", "--listen", &address];
    let daemon = start(&arguments, vec![("volleyd.socket", passed.into())], 2);
    // Whoever takes any port has not taken this one.
    assert_eq!(daemon.endpoints[1], format!("tcp://{address}"));
    assert_ne!(daemon.endpoints[0], daemon.endpoints[1]);
    daemon.addresses().into_iter().for_each(|address| Peer::connect(address).echoes(b"hello"));
    daemon.finish();
}

#[test]
fn a_passed_socket_serves_a_listener_that_takes_any_port() {
    let (passed, address) = socket();
    let daemon = start(&["--listen", "127.0.0.1:0"], vec![("", passed.into())], 1);
    assert_eq!(daemon.endpoints, [format!("tcp://{address}")]);
    daemon.finish();
}

#[test]
fn a_passed_socket_has_the_settings_of_the_listener_with_its_name() {
    let ((first, a), (second, b)) = (socket(), socket());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("volleyd.toml");
    let text = "max-frame = 300\n\
                [[listener]]\nname = 'large'\nlisten = '192.0.2.1:7007'\nmax-frame = 200\n\
                [[listener]]\nname = 'small'\nlisten = '192.0.2.1:7008'\nmax-frame = 100\n";
    fs::write(&file, text).unwrap();
    let sockets = vec![("small", first.into()), ("large", second.into())];
    let daemon = start(&["--config", file.to_str().unwrap()], sockets, 2);
    assert_eq!(daemon.endpoints, [format!("tcp://{b}"), format!("tcp://{a}")]);
    for (address, max_frame) in daemon.addresses().into_iter().zip([200, 100]) {
        let mut peer = Peer::connect(address);
        peer.send(hello(0));
        peer.expect(control(WELCOME, 1, 1, max_frame, b""));
    }
    daemon.finish();
}

#[test]
fn a_socket_that_no_listener_wants_is_bad_configuration() {
    let (passed, address) = socket();
    let parts = ["`stray`", &format!("tcp://{address}"), "--listen"];
    refuses(&["--listen", "[::1]:0"], vec![("stray", passed.into())], &parts);
}

#[test]
fn what_is_no_listening_socket_is_bad_configuration() {
    let (listener, address) = socket();
    let connection = TcpStream::connect(address).unwrap();
    let unix = UnixDatagram::unbound().unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.connect(udp.local_addr().unwrap()).unwrap();
    let (pipe, _other_end) = std::io::pipe().unwrap();
    let connected = "descriptor 3, passed as `odd`, cannot be listened on: it is a connection";
    refuses(&[], vec![("odd", connection.into())], &[connected]);
    refuses(&[], vec![("odd", unix.into())], &["`odd`", "not a valid tcp socket"]);
    refuses(&[], vec![("odd", udp.into())], &["`odd`", "it is connected to one peer"]);
    let both: Vec<(_, OwnedFd)> = vec![("even", listener.into()), ("odd", pipe.into())];
    refuses(&[], both, &["descriptor 4, passed as `odd`", "not a socket"]);
}

#[test]
fn a_unix_socket_that_no_listener_wants_is_bad_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let passed = UnixListener::bind(&path).unwrap();
    let address = format!("unix:{}", path.display());
    refuses(&["--listen", "127.0.0.1:0"], vec![("odd", passed.into())], &["`odd`", &address]);
}

#[test]
fn the_limits_that_are_told_are_those_of_what_was_passed() {
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (_, log) = start(&[], vec![("volleyd.socket", udp.into())], 1).finish();
    let told: Vec<_> = log.iter().filter(|line| line.contains("limits in force")).collect();
    let [line] = told[..] else { panic!("{log:#?}") };
    assert!(line.contains("datagram_rate=off") && !line.contains("max_frame"), "{line}");
}

#[test]
fn a_passed_socket_that_knows_no_proxy_header_does_not_switch_it_off() {
    let folder = tempfile::tempdir().unwrap();
    let unix = UnixListener::bind(folder.path().join("socket")).unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let sockets: [OwnedFd; 2] = [unix.into(), udp.into()];
    let told = "a PROXY header is for TCP, and the passed socket is not of it";
    for socket in sockets {
        refuses(&["--proxy-from", "127.0.0.1"], vec![("odd", socket)], &[told]);
    }
}

#[test]
fn sockets_for_another_process_are_let_be() {
    let (passed, address) = socket();
    let mut command = Volleyd::command();
    command.args(["--listen", "127.0.0.1:0"]).env("LISTEN_PID", "1");
    pass(&mut command, vec![("stray", passed.into())]);
    let daemon = Volleyd::spawn(command, 1);
    assert_ne!(daemon.endpoints, [format!("tcp://{address}")]);
    daemon.finish();
}

#[test]
fn a_restart_refuses_no_connection() {
    let (kept, _) = socket();
    let pass_it = || vec![("volleyd.socket", kept.try_clone().unwrap().into())];
    let daemon = start(&[], pass_it(), 1);
    daemon.connect().echoes(b"to the first");
    let address = daemon.address();
    daemon.finish();
    // Nobody accepts, and nobody is refused.
    let mut waiting = Peer::connect(address);
    waiting.send(data(b"between them"));
    let daemon = start(&[], pass_it(), 1);
    waiting.expect(data(b"between them"));
    waiting.leave();
    assert_eq!(daemon.finish().0.accepted, 1);
}
