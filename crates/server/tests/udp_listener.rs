//! `volleyd --listen udp://…`: what is answered, what is refused, and what the daemon tells of it.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed")]

mod common;

use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;
use std::time::Instant;

use common::{
    Client, LIMIT, Peer, Volleyd, exit_of, exit_of_command, pass, pattern, program_is_missing,
};
use quinn_udp::{Transmit, UdpSocketState};
use rustix::process::{
    Pid, Signal, WaitOptions, getpid, kill_process, kill_process_group, set_child_subreaper,
    waitpid,
};
use volley_proto::{LONGEST_DATAGRAM, Receipt};

const ON_ANY_PORT: &str = "udp://127.0.0.1:0";

const WHY: &str = "a UDP listener is for this machine alone, unless --allow-public-udp is given";

/// Listens for datagrams alone.
fn start(arguments: &[&str]) -> Volleyd {
    let mut command = Volleyd::command();
    command.args(["--listen", ON_ANY_PORT]).args(arguments);
    Volleyd::spawn(command, 1)
}

fn listener(address: SocketAddr) -> [(&'static str, String); 1] {
    [("listener", format!("udp://{address}"))]
}

/// A counter of a listener.
#[track_caller]
fn count(daemon: &Volleyd, name: &str, labels: &[(&str, &str)]) -> f64 {
    let [(key, listener)] = listener(daemon.udp(0));
    let labels = [&[(key, &*listener)], labels].concat();
    daemon.admin().metrics().get(name, &labels)
}

/// Waits until a counter of a listener is that: a reply may be here before it is booked.
#[track_caller]
fn expect_count(daemon: &Volleyd, name: &str, labels: &[(&str, &str)], expected: f64) {
    let deadline = Instant::now() + LIMIT;
    while Instant::now() < deadline && count(daemon, name, labels) < expected {
        thread::yield_now();
    }
    assert_eq!(count(daemon, name, labels), expected, "{name} {labels:?}");
}

#[track_caller]
fn expect_dropped(daemon: &Volleyd, why: &str, expected: f64) {
    expect_count(daemon, "volleyd_datagrams_dropped_total", &[("reason", why)], expected);
}

#[test]
fn datagrams_of_any_length_come_back() {
    let daemon = start(&[]);
    let client = Client::to(daemon.udp(0));
    for len in [0, 1, 64, 1_472, LONGEST_DATAGRAM] {
        client.echoes(&pattern(len, len as u64));
    }
    expect_count(&daemon, "volleyd_datagrams_answered_total", &[], 5.0);
    let bytes = (1 + 64 + 1_472 + LONGEST_DATAGRAM) as f64;
    expect_count(&daemon, "volleyd_datagrams_received_bytes_total", &[], bytes);
    expect_count(&daemon, "volleyd_datagrams_sent_bytes_total", &[], bytes);
}

#[test]
fn receipts_are_for_datagrams_that_are_as_long() {
    let daemon = start(&["--reply", "ack"]);
    let client = Client::to(daemon.udp(0));
    client.send(&[7; 31]);
    client.send(&pattern(32, 1));
    let receipt = Receipt::parse(&client.receive()).unwrap();
    assert_eq!((receipt.seq, receipt.total), (0, 32));
    expect_dropped(&daemon, "short", 1.0);
}

/// One that is free for both.
fn sockets_of_one_port() -> (TcpListener, UdpSocket) {
    let sockets = (0..100).find_map(|_| {
        let stream = TcpListener::bind("127.0.0.1:0").unwrap();
        let datagrams = UdpSocket::bind(stream.local_addr().unwrap()).ok()?;
        Some((stream, datagrams))
    });
    sockets.expect("some port is free")
}

#[test]
fn one_port_can_be_of_both_kinds() {
    let (stream, datagrams) = sockets_of_one_port();
    let port = stream.local_addr().unwrap().port();
    let endpoints = [format!("tcp://127.0.0.1:{port}"), format!("udp://127.0.0.1:{port}")];
    let mut command = Volleyd::command();
    command.args(["--listen", &endpoints[0], "--listen", &endpoints[1]]);
    pass(&mut command, [("one", datagrams.into()), ("other", OwnedFd::from(stream))]);
    let daemon = Volleyd::spawn(command, 2);
    assert_eq!(daemon.endpoints, endpoints);
    Peer::connect(([127, 0, 0, 1], port).into()).echoes(b"a frame");
    Client::to(daemon.udp(1)).echoes(b"a datagram");
    let answer = daemon.admin().get("/livez");
    assert_eq!((answer.status, &*answer.body), (200, "ok\n"));
    let (books, log) = daemon.finish();
    // With those of the look at its life.
    assert_eq!(books.frames_answered, 2);
    let last = log.last().unwrap();
    assert!(last.contains("datagrams_received=2 datagrams_answered=2"), "{last}");
}

#[test]
fn where_a_port_is_taken_nobody_listens() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("udp://{}", taken.local_addr().unwrap());
    let (code, stdout, stderr) = exit_of(&["--listen", &endpoint], &[]);
    assert_eq!((code, &*stdout), (69, ""), "{stderr}");
    assert!(stderr.contains(&format!("cannot listen on {endpoint}: ")), "{stderr}");
}

#[test]
fn it_is_not_open_to_the_network_unless_told_so() {
    for listen in ["udp://0.0.0.0:0", "udp://[::]:0", "udp://192.0.2.1:7", "udp://a.example:7"] {
        let (code, stdout, stderr) = exit_of(&["--listen", listen], &[]);
        assert_eq!((code, &*stdout), (78, ""), "{stderr}");
        assert!(stderr.contains(&format!("--listen: {listen}: {WHY}")), "{stderr}");
        let (code, _, stderr) = exit_of(&[], &[("VOLLEYD_LISTEN", listen)]);
        assert_eq!(code, 78, "{stderr}");
        assert!(stderr.contains(&format!("VOLLEYD_LISTEN: {listen}: {WHY}")), "{stderr}");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("volleyd.toml");
    fs::write(&file, "[[listener]]\nlisten = \"udp://0.0.0.0:0\"\n").unwrap();
    let file = file.to_str().unwrap();
    let (code, _, stderr) = exit_of(&["--config", file, "--check"], &[]);
    assert_eq!(code, 78, "{stderr}");
    assert!(stderr.contains(":2:10: udp://0.0.0.0:0: ") && stderr.contains(WHY), "{stderr}");
    let (code, _, stderr) = exit_of(&["--config", file, "--check", "--allow-public-udp"], &[]);
    assert_eq!(code, 0, "{stderr}");
}

#[test]
fn a_socket_that_is_passed_may_not_be_open_to_the_network_either() {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let mut command = Volleyd::command();
    pass(&mut command, [("public", socket.into())]);
    let (code, stdout, stderr) = exit_of_command(command);
    assert_eq!((code, &*stdout), (78, ""), "{stderr}");
    assert!(stderr.contains(WHY), "{stderr}");
}

#[test]
fn where_it_may_be_open_it_says_so_and_has_a_rate() {
    let mut command = Volleyd::command();
    command.args(["--allow-public-udp", "--listen", "udp://0.0.0.0:0"]);
    let mut daemon = Volleyd::spawn(command, 1);
    daemon.wait_for(&["WARN", "open to the network", "forges the source"]);
    let port = daemon.udp(0).port();
    for host in ["127.0.0.1", "127.0.0.7"] {
        Client::to(SocketAddr::new(host.parse().unwrap(), port)).echoes(b"hello");
    }
    assert_eq!(daemon.admin().get("/livez").status, 200);
}

#[test]
fn a_source_over_its_rate_is_not_answered_until_a_reload_raises_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("volleyd.toml");
    let configure = |rate: &str| {
        let listen = "[[listener]]\nlisten = \"udp://127.0.0.1:0\"\n";
        fs::write(&file, format!("{listen}datagram-rate = {rate}\n")).unwrap();
    };
    configure("0.001");
    let mut command = Volleyd::command();
    command.arg("--config").arg(&file);
    let mut daemon = Volleyd::spawn(command, 1);
    daemon.wait_for(&["limits in force", "datagram_rate=0.001"]);
    let client = Client::to(daemon.udp(0));
    client.echoes(b"first");
    client.send(b"too many");
    // It was received, which is what counts.
    assert_eq!(daemon.admin().get("/livez").status, 200);
    expect_dropped(&daemon, "rate_limited", 2.0);
    client.expect_nothing();
    configure("\"off\"");
    daemon.signal(Signal::HUP);
    daemon.wait_for(&["reloaded", "datagram-rate: 0.001 -> off"]);
    client.echoes(b"as many as you like");
    client.echoes(b"as many as you like");
}

#[test]
fn the_log_has_no_line_for_a_datagram_and_the_last_one_has_them_all() {
    let daemon = start(&["--log", "trace"]);
    let client = Client::to(daemon.udp(0));
    for _ in 0..100 {
        client.echoes(b"a payload that nobody shall read");
    }
    client.send(b"ACK1");
    client.echoes(b"last");
    let (_, log) = daemon.finish();
    let last = log.last().unwrap();
    let books = "datagrams_received=102 datagrams_answered=101 datagrams_overflowed=0 \
                 datagrams_dropped=\"a receipt=1\"";
    assert!(last.contains(books), "{last}");
    let text = log.join("\n");
    assert!(!text.contains("payload that"), "{text}");
    let port = client.socket.local_addr().unwrap().port().to_string();
    assert!(!text.contains(&port), "{text}");
}

#[test]
fn a_socket_that_is_passed_is_served_by_the_listener_of_its_name_or_address() {
    let [first, second] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
    let addresses = [&first, &second].map(|socket| socket.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("volleyd.toml");
    let text = format!(
        "[[listener]]\nname = \"public\"\nlisten = \"udp://127.0.0.1:0\"\nreply = \"ack\"\n\
         [[listener]]\nlisten = \"udp://{}\"\n",
        addresses[0]
    );
    fs::write(&file, text).unwrap();
    let mut command = Volleyd::command();
    command.arg("--config").arg(&file);
    pass(&mut command, [("volleyd.socket", first.into()), ("public", second.into())]);
    let daemon = Volleyd::spawn(command, 2);
    assert_eq!((daemon.udp(0), daemon.udp(1)), (addresses[1], addresses[0]));
    let client = Client::to(addresses[1]);
    client.send(&[7; 32]);
    assert!(Receipt::parse(&client.receive()).is_ok());
    Client::to(addresses[0]).echoes(&[7; 32]);
}

/// A daemon and what runs beside it: its successor, or strace, which would leave it behind.
/// Dropped, all are killed.
struct Family(Volleyd);

impl Family {
    fn start(mut command: Command) -> Self {
        set_child_subreaper(Some(getpid())).unwrap();
        command.process_group(0).args(["--listen", ON_ANY_PORT]);
        Self(Volleyd::spawn(command, 1))
    }
}

impl Family {
    /// Ends the one that strace has started, and strace with it.
    #[track_caller]
    fn finish_traced(mut self) {
        let children = format!("/proc/{0}/task/{0}/children", self.0.pid());
        let traced = fs::read_to_string(children).unwrap();
        let traced = Pid::from_raw(traced.trim().parse().unwrap()).unwrap();
        kill_process(traced, Signal::TERM).unwrap();
        assert_eq!(self.0.wait().code(), Some(0));
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        let group = Pid::from_raw(self.0.pid().try_into().unwrap()).unwrap();
        // All may have gone already.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// Has the system fail the first `calls` of a kind with `error`.
fn under_strace(call: &str, error: &str, calls: u32) -> Option<Family> {
    if program_is_missing("strace") {
        return None;
    }
    let inject = format!("inject={call}:error={error}:when=1..{calls}");
    // Not to be told of each call.
    let arguments = ["-f", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject];
    let mut command = Volleyd::command_through("strace", &arguments);
    command.args(["--threads", "1"]);
    Some(Family::start(command))
}

#[test]
fn what_the_system_says_to_a_reply_harms_only_that_one() {
    for (error, why) in [
        ("ENOBUFS", "blocked"),
        ("EMSGSIZE", "too_large"),
        ("ENETUNREACH", "unsent"),
        ("ECONNREFUSED", "unsent"),
        ("EPERM", "unsent"),
    ] {
        let Some(mut family) = under_strace("sendmsg", error, 2) else { return };
        let daemon = &mut family.0;
        let client = Client::to(daemon.udp(0));
        client.send(b"first");
        daemon.wait_for(&["WARN", "cannot send replies", "len=5"]);
        client.send(b"again");
        expect_dropped(daemon, why, 2.0);
        client.echoes(b"third");
        family.finish_traced();
    }
}

#[test]
fn replies_that_are_refused_together_are_sent_one_by_one() {
    let Some(family) = under_strace("sendmsg", "EMSGSIZE", 1) else { return };
    let daemon = &family.0;
    let client = Client::to(daemon.udp(0));
    let state = UdpSocketState::new((&client.socket).into()).unwrap();
    client.socket.set_nonblocking(false).unwrap();
    let joined = Transmit {
        destination: daemon.udp(0),
        ecn: None,
        contents: b"firstagain",
        segment_size: Some(5),
        src_ip: None,
    };
    state.try_send((&client.socket).into(), &joined).unwrap();
    client.expect(b"first");
    client.expect(b"again");
    expect_count(daemon, "volleyd_datagrams_answered_total", &[], 2.0);
    expect_dropped(daemon, "too_large", 0.0);
    family.finish_traced();
}

#[test]
fn what_the_system_says_to_receiving_harms_no_datagram() {
    for error in ["ENOMEM", "ECONNREFUSED", "EHOSTUNREACH", "EINTR"] {
        let Some(family) = under_strace("recvmmsg", error, 2) else { return };
        let daemon = &family.0;
        let client = Client::to(daemon.udp(0));
        (0..5).for_each(|n| client.echoes(&[n]));
        let errors = if error == "EINTR" { 0.0 } else { 2.0 };
        assert_eq!(count(daemon, "volleyd_datagram_receive_errors_total", &[]), errors, "{error}");
        family.finish_traced();
    }
}

#[test]
fn a_reply_waits_until_there_is_room_for_it() {
    let Some(family) = under_strace("sendmsg", "EAGAIN", 1) else { return };
    let daemon = &family.0;
    let client = Client::to(daemon.udp(0));
    client.echoes(b"hello");
    expect_count(daemon, "volleyd_datagrams_answered_total", &[], 1.0);
    family.finish_traced();
}

#[test]
fn a_new_process_takes_over_and_no_datagram_is_lost() {
    let mut family = Family::start(Volleyd::command());
    let daemon = &mut family.0;
    let client = Client::to(daemon.udp(0));
    let mut sent = 0;
    let mut exchange = || {
        client.echoes(&pattern(64, sent));
        sent += 1;
    };
    exchange();
    daemon.signal(Signal::USR2);
    // Both have the socket now and then; whoever receives a datagram answers it.
    let mut line = None;
    while line.is_none() {
        (0..50).for_each(|_| exchange());
        line = daemon.seen_so_far(&["handed over to a new process"]);
    }
    let line = line.unwrap();
    (0..50).for_each(|_| exchange());
    assert_eq!(daemon.wait().code(), Some(0));
    (0..50).for_each(|_| exchange());
    let pid = line.split("pid=").nth(1).unwrap().split_whitespace().next().unwrap();
    let new = Pid::from_raw(pid.parse().unwrap()).unwrap();
    kill_process(new, Signal::TERM).unwrap();
    let (_, status) = waitpid(Some(new), WaitOptions::empty()).unwrap().unwrap();
    assert_eq!(status.exit_status(), Some(0));
}
