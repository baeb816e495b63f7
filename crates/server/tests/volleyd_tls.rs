//! TLS and the PROXY protocol in the daemon: files, messages, reload, and what the admin listener
//! shows of them.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::fs::{self, Permissions};
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;
use std::time::Instant;

use common::{Authority, Identity, LIMIT, Peer, TlsClient, Volleyd, data, exit_of, hello};
use rustix::process::Signal;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tempfile::TempDir;

/// A directory with a certificate, and who has signed it.
struct Files {
    directory: TempDir,
    authority: Authority,
}

impl Files {
    fn new() -> Self {
        let files = Self { directory: tempfile::tempdir().unwrap(), authority: Authority::new() };
        files.authority.issue().write_to(files.path());
        files
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn name(&self, file: &str) -> String {
        self.path().join(file).to_str().unwrap().to_owned()
    }

    /// `--listen tls://127.0.0.1:0 --cert … --key …`, and `more`.
    fn flags(&self, more: &[&str]) -> Vec<String> {
        let cert_and_key = ["--cert", &self.name("cert.pem"), "--key", &self.name("key.pem")];
        ["--listen", "tls://127.0.0.1:0"]
            .iter()
            .chain(&cert_and_key)
            .chain(more)
            .map(ToString::to_string)
            .collect()
    }

    fn start(&self, more: &[&str]) -> Volleyd {
        let mut command = Volleyd::command();
        command.args(self.flags(more));
        Volleyd::spawn(command, 1)
    }

    fn client(&self) -> TlsClient {
        TlsClient::trusting(&self.authority)
    }
}

#[test]
fn frames_go_through_tls_and_the_line_on_stdout_says_so() {
    let files = Files::new();
    let daemon = files.start(&[]);
    assert_eq!(daemon.endpoints, [format!("tls://{}", daemon.address())]);
    files.client().connect(daemon.address()).echoes(b"hello");
    let (books, log) = daemon.finish();
    assert_eq!((books.accepted, books.frames_answered), (1, 1));
    assert!(
        log.iter().any(|line| line.contains("certificate in force until=4000-01-01T00:00:00Z"))
    );
    assert!(!log.iter().any(|line| line.contains("WARN")), "{log:#?}");
}

/// A ClientHello (RFC 8446, 4.1.2) that names no more than the server it is for.
fn client_hello(server: &[u8]) -> Vec<u8> {
    let with_len = |bytes: usize, body: &[u8]| {
        let len = u32::try_from(body.len()).unwrap().to_be_bytes();
        [&len[len.len() - bytes..], body].concat()
    };
    let names = with_len(2, &[&[0], &*with_len(2, server)].concat());
    let extensions = with_len(2, &[&[0; 2], &*with_len(2, &names)].concat());
    let (random, ciphers, compressions) = ([7; 32], [0, 2, 0x13, 1], [1, 0]);
    let body = [&[3, 3], &random[..], &[0], &ciphers, &compressions, &extensions].concat();
    let handshake = [&[1], &*with_len(3, &body)].concat();
    [&[22, 3, 1], &*with_len(2, &handshake)].concat()
}

#[test]
fn what_a_client_sends_in_its_handshake_does_not_fill_the_log() {
    let files = Files::new();
    let mut daemon = files.start(&[]);
    let name = [1; 10_000];
    let try_it = |daemon: &mut Volleyd| {
        let mut peer = Peer::connect(daemon.address());
        peer.send(client_hello(&name));
        daemon.wait_for_next(&["connection not opened", "broken TLS"]);
    };
    try_it(&mut daemon);
    // Whoever wants to see it can.
    assert_eq!(daemon.admin().ask("PUT", "/log", "info,rustls=warn").status, 200);
    try_it(&mut daemon);
    let (_, log) = daemon.finish();
    assert_eq!(log.iter().filter(|line| line.len() > 1000).count(), 1, "{log:#?}");
}

#[test]
fn the_log_says_why_each_connection_came_to_nothing() {
    let files = Files::new();
    let (clients, strangers) = (Authority::new(), Authority::new());
    fs::write(files.path().join("ca.pem"), clients.pem()).unwrap();
    let mut daemon = files.start(&["--client-ca", &files.name("ca.pem"), "--log-format", "text"]);
    let (address, authority) = (daemon.address(), &files.authority);
    let showing = |identity| TlsClient::showing(authority, &identity);
    let good = showing(clients.issue());
    good.connect(address).echoes(b"hello");
    let expect = |daemon: &mut Volleyd, reason: &str, cause: &str| {
        let (reason, cause) = (format!("reason=\"{reason}\""), format!("cause=\"{cause}"));
        daemon.wait_for_next(&["connection not opened", "peer=127.0.0.1:", &reason, &cause]);
    };

    files.client().fails(address);
    let cause = "the client showed no certificate, and has to\"";
    expect(&mut daemon, "no client certificate", cause);
    showing(clients.issue_for(&["client"], (2000, 2001))).fails(address);
    expect(&mut daemon, "client certificate expired", "the client's certificate has expired\"");
    showing(strangers.issue()).fails(address);
    let cause = "the client's certificate is of an authority that is not trusted here\"";
    expect(&mut daemon, "client certificate of an unknown CA", cause);
    TlsClient::showing(&strangers, &clients.issue()).fails(address);
    let cause = "the client ended the handshake: it does not trust who signed our certificate";
    expect(&mut daemon, "alert from the peer", cause);
    good.with_alpn(&["h2"]).fails(address);
    let cause = "client and server have nothing in common: it names protocols, and not volley/1";
    expect(&mut daemon, "nothing in common", cause);
    let mut plain = Peer::connect(address);
    plain.send(hello(0));
    assert_eq!(plain.error().2, "this listener speaks TLS, and this is a frame");
    plain.leave();
    expect(&mut daemon, "not TLS", "this listener speaks TLS, and this is a frame\"");
    Peer::connect(address).leave();
    expect(&mut daemon, "closed", "the peer closed before it was served\"");

    let metrics = daemon.admin().metrics();
    for reason in [
        "certificate_missing",
        "certificate_expired",
        "certificate_unknown_ca",
        "alert",
        "tls_mismatch",
        "not_tls",
        "closed",
    ] {
        let unopened = "volleyd_connections_unopened_total";
        assert_eq!(metrics.sum(unopened, &[("reason", reason)]), 1.0, "{reason}");
    }
    assert_eq!(metrics.sum("volleyd_tls_handshakes_total", &[("session", "new")]), 1.0);
}

#[test]
fn tls_on_a_plain_listener_is_told_as_such() {
    let mut daemon = Volleyd::start(&[]);
    let error = TlsClient::trusting(&Authority::new()).fails(daemon.address());
    assert!(!error.is_empty());
    daemon.wait_for(&["connection over", "cause=\"this looks like TLS, not a framed client\""]);
}

#[test]
fn a_hangup_has_the_files_read_again() {
    let files = Files::new();
    let mut daemon = files.start(&[]);
    let client = files.client();
    let mut before = client.connect(daemon.address());
    before.echoes(b"before");
    let other = Authority::new();
    other.issue_for(&["localhost"], (2000, 3000)).write_to(files.path());
    daemon.signal(Signal::HUP);
    daemon.wait_for(&["certificate in force", "until=3000-01-01T00:00:00Z"]);
    daemon.wait_for(&["reloaded, and nothing has changed"]);
    assert!(client.fails(daemon.address()).contains("UnknownIssuer"));
    TlsClient::trusting(&other).connect(daemon.address()).echoes(b"hello");
    before.echoes(b"still");
    let expiry = daemon.admin().metrics().sum("volleyd_tls_certificate_expiry_seconds", &[]);
    assert_eq!(expiry, 32_503_680_000.0);
}

#[test]
fn bad_files_leave_the_old_ones_in_force() {
    let files = Files::new();
    let mut daemon = files.start(&[]);
    for (cert, why) in [
        (Authority::new().issue().cert, "key.pem: the key in it is not that of the certificate"),
        (String::new(), "cert.pem: there is no certificate in it"),
    ] {
        fs::write(files.path().join("cert.pem"), cert).unwrap();
        daemon.signal(Signal::HUP);
        daemon.wait_for_next(&["the configuration is bad; going on as before", why]);
        files.client().connect(daemon.address()).echoes(b"hello");
    }
    let metrics = daemon.admin().metrics();
    assert_eq!(metrics.sum("volleyd_reloads_total", &[("outcome", "rejected")]), 2.0);
}

#[test]
fn files_that_can_not_be_used_end_the_start_with_their_name_and_a_code() {
    let files = Files::new();
    let other = Authority::new().issue();
    fs::write(files.path().join("other.pem"), other.key).unwrap();
    fs::write(files.path().join("empty.pem"), "").unwrap();
    let name = |file: &str| files.name(file);
    for (more, code, problem) in [
        (
            ["--key".to_owned(), name("other.pem")],
            78,
            format!("--key: {}: the key in it is not that of the certificate", name("other.pem")),
        ),
        (
            ["--cert".to_owned(), name("empty.pem")],
            78,
            format!("--cert: {}: there is no certificate in it", name("empty.pem")),
        ),
        (
            ["--client-ca".to_owned(), name("empty.pem")],
            78,
            format!("--client-ca: {}: there is no certificate in it", name("empty.pem")),
        ),
        (
            ["--key".to_owned(), name("gone.pem")],
            66,
            format!("--key: {}: there is no such file", name("gone.pem")),
        ),
    ] {
        let arguments: Vec<_> = match more[0].as_str() {
            "--key" => vec!["--cert".to_owned(), name("cert.pem")],
            "--cert" => vec!["--key".to_owned(), name("key.pem")],
            _ => vec!["--cert".to_owned(), name("cert.pem"), "--key".to_owned(), name("key.pem")],
        };
        let arguments = ["--listen", "tls://127.0.0.1:0", "--check"]
            .into_iter()
            .chain(arguments.iter().map(String::as_str))
            .chain(more.iter().map(String::as_str));
        let (exit, stdout, stderr) = exit_of(&arguments.collect::<Vec<_>>(), &[]);
        assert_eq!((exit, &*stdout, &*stderr), (code, "", &*format!("volleyd: {problem}")));
    }
}

#[test]
fn settings_that_go_together_are_told_when_one_is_missing() {
    let files = Files::new();
    let cert = files.name("cert.pem");
    let needs = "needs `cert` and `key`; to try it out, `volleyd --dev-cert DIR` makes both";
    for (flags, problem) in [
        (
            vec!["--listen", "tls://127.0.0.1:0"],
            format!("volleyd: --listen: tls://127.0.0.1:0 {needs}"),
        ),
        (
            vec!["--listen", "tls://127.0.0.1:0", "--cert", &cert],
            format!("volleyd: --listen: tls://127.0.0.1:0 {needs}"),
        ),
        (
            vec!["--listen", "127.0.0.1:0", "--cert", &cert],
            "volleyd: --cert: `cert` is given, and no listener speaks TLS: write tls:// before its \
             address"
                .to_owned(),
        ),
        (
            vec!["--listen", "unix:@volleyd-tls-test", "--proxy-from", "10.0.0.0/8"],
            "volleyd: --proxy-from: `proxy-from` is given, and no listener is of TCP or TLS"
                .to_owned(),
        ),
    ] {
        let (exit, _, stderr) = exit_of(&[&["--check"][..], &flags].concat(), &[]);
        assert_eq!((exit, stderr), (2, problem));
    }
}

#[test]
fn a_key_that_all_can_read_and_a_certificate_that_has_expired_are_warned_of() {
    let files = Files::new();
    files.authority.issue_for(&["localhost"], (2000, 2001)).write_to(files.path());
    fs::set_permissions(files.path().join("key.pem"), Permissions::from_mode(0o644)).unwrap();
    let mut daemon = files.start(&[]);
    daemon.wait_for(&["WARN", "key.pem can be read by all (mode 0644)"]);
    daemon.wait_for(&["WARN", "has expired at 2001-01-01T00:00:00Z: it is shown all the same"]);
    assert!(files.client().fails(daemon.address()).contains("expired"));
    daemon.wait_for(&["our certificate has expired by its clock (certificate_expired)"]);
}

#[test]
fn liveness_gets_through_handshakes_and_headers_whoever_else_may() {
    let files = Files::new();
    // Expired, and clients have to show a certificate, and come from somewhere else.
    files.authority.issue_for(&["example.org"], (2000, 2001)).write_to(files.path());
    fs::write(files.path().join("ca.pem"), Authority::new().pem()).unwrap();
    let ca = files.name("ca.pem");
    let daemon = files.start(&["--client-ca", &ca, "--proxy-from", "192.0.2.0/24"]);
    for _ in 0..2 {
        let answer = daemon.admin().get("/livez");
        assert_eq!((answer.status, &*answer.body), (200, "ok\n"));
    }
    let (books, log) = daemon.finish();
    assert_eq!((books.accepted, books.frames_answered), (2, 2));
    assert!(!log.iter().any(|line| line.contains("not opened")), "{log:#?}");
}

#[test]
fn a_listener_whose_handshakes_wait_is_alive() {
    let files = Files::new();
    let daemon = files.start(&["--max-handshakes", "1", "--handshake-timeout", "off"]);
    let mut slow = [(); 2].map(|()| daemon.connect());
    slow.iter_mut().for_each(|peer| peer.send([22]));
    let waits = || daemon.admin().metrics().sum("volleyd_handshake_waits_total", &[]);
    let deadline = Instant::now() + LIMIT;
    while waits() < 1.0 {
        assert!(Instant::now() < deadline, "nobody waits");
        thread::yield_now();
    }
    // Again, since a machine that stands still for a second is no fault of the daemon's.
    while daemon.admin().get("/livez").status != 200 {
        assert!(Instant::now() < deadline, "it is dead");
    }
    assert!(waits() > 1.0, "the probe waits too");
}

#[test]
fn who_a_clients_certificate_names_is_in_the_log_and_among_the_connections() {
    let (files, clients) = (Files::new(), Authority::new());
    fs::write(files.path().join("ca.pem"), clients.pem()).unwrap();
    let flags =
        ["--client-ca", &files.name("ca.pem"), "--proxy-from", "127.0.0.1", "--log-format", "text"];
    let mut daemon = files.start(&flags);
    let identity = clients.issue_to("a \"client\"\n\u{1b}[31m");
    let client = TlsClient::showing(&files.authority, &identity);
    for is_resumed in [false, true] {
        let mut stream = TcpStream::connect(daemon.address()).unwrap();
        stream.write_all(b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 7007\r\n").unwrap();
        let mut peer = client.connect_on(stream);
        peer.echoes(b"hello");
        assert_eq!(peer.is_resumed(), is_resumed);
        let connections: serde_json::Value =
            serde_json::from_str(&daemon.admin().get("/connections").body).unwrap();
        let connection = &connections["connections"][0];
        assert_eq!(connection["client_certificate"], r#"CN=a \"client\"\0a\1b[31m"#);
        assert_eq!(connection["peer"], "192.0.2.1:56324");
        peer.leave();
        let named = r#"client_certificate="CN=a \\\"client\\\"\\0a\\1b[31m""#;
        daemon.wait_for_next(&["connection over", "peer=192.0.2.1:56324 via=", named]);
    }
}

#[test]
fn the_client_behind_a_balancer_is_in_the_log_and_among_the_connections() {
    let mut daemon = Volleyd::start(&["--proxy-from", "127.0.0.1"]);
    let mut peer = daemon.connect();
    peer.send(b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 7007\r\n");
    peer.echoes(b"hello");
    let via = peer.local();
    let connections: serde_json::Value =
        serde_json::from_str(&daemon.admin().get("/connections").body).unwrap();
    let connection = &connections["connections"][0];
    assert_eq!(connection["peer"], "192.0.2.1:56324");
    assert_eq!(connection["via"], via.to_string());
    peer.leave();
    daemon.wait_for(&["connection over", &format!("peer=192.0.2.1:56324 via={via}")]);
    let mut without = daemon.connect();
    without.send(data(b"hello"));
    let told = "a PROXY header has to come first, and this is a frame";
    assert_eq!(without.error(), (8, 0, told.to_owned()));
    without.leave();
    daemon.wait_for(&["connection not opened", "reason=\"bad PROXY header\"", told]);
}

#[test]
fn who_is_still_opening_at_the_drain_deadline_is_in_the_last_line() {
    let daemon = Volleyd::start(&["--proxy-from", "127.0.0.1", "--drain", "100ms"]);
    let mut peer = daemon.connect();
    peer.send(b"PROXY TCP4");
    let (_, log) = daemon.finish();
    peer.expect_end();
    let told = "cut off at the drain deadline connections=1";
    assert!(log.iter().any(|line| line.contains(told)), "{log:#?}");
    assert!(log.last().unwrap().contains("unopened=\"cut off=1\""), "{log:#?}");
}

#[test]
fn a_hangup_changes_who_is_trusted_and_not_whether_a_header_is_required() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("volleyd.toml");
    let write =
        |proxy_from: &str| fs::write(&file, format!("proxy-from = {proxy_from}\n")).unwrap();
    write("['192.0.2.0/24', '198.51.100.1']");
    let mut daemon = Volleyd::start(&["--config", file.to_str().unwrap()]);
    assert_eq!(daemon.connect().error().0, 10);
    write("'127.0.0.0/8'");
    daemon.signal(Signal::HUP);
    daemon.wait_for(&["reloaded", "proxy-from: 192.0.2.0/24,198.51.100.1/32 -> 127.0.0.0/8"]);
    let mut peer = daemon.connect();
    peer.send(b"PROXY UNKNOWN\r\n");
    peer.echoes(b"hello");
    write("'off'");
    daemon.signal(Signal::HUP);
    daemon.wait_for(&["that takes a restart", "proxy-from is switched on or off"]);
}

#[test]
fn a_successor_speaks_tls_on_the_same_socket() {
    let files = Files::new();
    let mut daemon = files.start(&[]);
    let mut before = files.client().connect(daemon.address());
    before.echoes(b"before");
    daemon.signal(Signal::USR2);
    assert_eq!(daemon.more_endpoints(1), daemon.endpoints);
    daemon.wait_for(&["handed over to a new process"]);
    let mut after = files.client().connect(daemon.address());
    after.echoes(b"after");
    let line = daemon.wait_for(&["a new process is to take over"]);
    before.expect_end();
    let pid = line.rsplit_once("pid=").unwrap().1.split_whitespace().next().unwrap();
    let pid = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    after.expect_end();
}

#[test]
fn a_certificate_to_try_tls_with_takes_one_command() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("dev");
    let place = place.to_str().unwrap();
    let (code, stdout, stderr) = exit_of(&["--dev-cert", place], &[]);
    assert_eq!((code, &*stderr), (0, ""));
    let lines: Vec<_> = stdout.lines().collect();
    assert!(
        lines[0].starts_with(&format!("made {place}/ca.pem, cert.pem and key.pem, for localhost"))
    );
    let mode = |name: &str| fs::metadata(format!("{place}/{name}")).unwrap().permissions().mode();
    assert_eq!(mode("key.pem") & 0o777, 0o600);
    // The two commands are what one has to type.
    let command: Vec<_> = lines[1].split(' ').collect();
    assert_eq!(command[..3], ["volleyd", "--listen", "tls://127.0.0.1:7007"]);
    let mut daemon = Volleyd::command();
    daemon.args(["--listen", "tls://127.0.0.1:0"]).args(&command[3..]);
    let daemon = Volleyd::spawn(daemon, 1);
    let (_, ca) = lines[2].split_once(" --ca ").unwrap();
    let ca = fs::read(ca.split(' ').next().unwrap()).unwrap();
    let client = TlsClient::trusting_root(CertificateDer::from_pem_slice(&ca).unwrap(), None);
    client.connect(daemon.address()).echoes(b"hello");
    // What is there is left alone.
    let (code, _, stderr) = exit_of(&["--dev-cert", place], &[]);
    assert_eq!(code, 73);
    assert_eq!(
        stderr,
        format!("volleyd: {place}/ca.pem is there already: remove it, or name another directory")
    );
}

#[test]
fn a_client_can_show_the_certificate_to_try_tls_with() {
    let directory = tempfile::tempdir().unwrap();
    let (code, _, stderr) = exit_of(&["--dev-cert", directory.path().to_str().unwrap()], &[]);
    assert_eq!((code, &*stderr), (0, ""));
    let file = |name: &str| directory.path().join(name);
    let mut command = Volleyd::command();
    command.args(["--listen", "tls://127.0.0.1:0"]).arg("--cert").arg(file("cert.pem"));
    command.arg("--key").arg(file("key.pem")).arg("--client-ca").arg(file("ca.pem"));
    let daemon = Volleyd::spawn(command, 1);
    let text = |name: &str| fs::read_to_string(file(name)).unwrap();
    let identity = Identity { cert: text("cert.pem"), key: text("key.pem") };
    let ca = CertificateDer::from_pem_slice(text("ca.pem").as_bytes()).unwrap();
    assert!(String::from_utf8_lossy(&ca).contains("volleyd dev CA"));
    TlsClient::trusting_root(ca, Some(&identity)).connect(daemon.address()).echoes(b"hello");
}
