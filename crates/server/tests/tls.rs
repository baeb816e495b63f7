//! TLS through the library: what a client that speaks it gets, and what becomes of all others.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, SystemTime};

use common::{
    Authority, ERROR, GOAWAY, Identity, LIMIT, Peer, Received, Server, TlsClient, data, hello,
    pattern, welcome,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::version::{TLS12, TLS13};
use volley_proto::Reason;
use volley_server::{
    Config, ConnectionLimit, End, LiveTls, OpenFailure, Proxied, Tls, TlsClients, TlsConfig,
    TlsInput, Trusted,
};

/// Whoever shows `identity`, and takes only clients of `client_ca` if there is one.
fn live(identity: &Identity, client_ca: Option<&Authority>) -> LiveTls {
    LiveTls::new(config(identity, client_ca))
}

fn config(Identity { cert, key }: &Identity, client_ca: Option<&Authority>) -> TlsConfig {
    let client_ca = client_ca.map(Authority::pem);
    let clients = client_ca.as_ref().map(|ca| TlsClients::signed_by(ca.as_bytes()));
    TlsConfig::from_pem(cert.as_bytes(), key.as_bytes(), clients).unwrap()
}

/// A server, and a client that trusts it.
fn start(config: Config) -> (Server, TlsClient) {
    let authority = Authority::new();
    let live = live(&authority.issue(), None);
    let server = Server::start_through(config, |listener| Tls::new(listener, live));
    (server, TlsClient::trusting(&authority))
}

/// Waits for the end of all openings, and checks that so many have failed, all in this way.
#[track_caller]
fn all_failed(server: &Server, how: OpenFailure, count: u64) {
    server.wait_until(|server| server.handle.books().open_failures() == count);
    let books = server.handle.books();
    assert_eq!((books.open_failures.get(&how), books.accepted), (Some(&count), 0), "{books:?}");
}

#[test]
fn frames_come_back_over_both_versions() {
    let authority = Authority::new();
    let live = live(&authority.issue(), None);
    let server = Server::start_through(Config::default(), |listener| Tls::new(listener, live));
    assert!(server.handle.endpoint().to_string().starts_with("tls://127.0.0.1:"));
    for version in [&TLS13, &TLS12] {
        let mut peer = TlsClient::build(&authority, None, &[version]).connect(server.address);
        peer.send(hello(0));
        peer.expect(welcome(1));
        for len in [0, 1, 1000, 16_384, 300_000, 1 << 20] {
            peer.echoes(&pattern(len, len as u64));
        }
        assert_eq!(peer.0.conn.alpn_protocol(), Some(&b"volley/1"[..]));
        peer.leave();
    }
    let books = server.finish();
    assert_eq!((books.accepted, books.frames_answered, books.handshakes), (2, 12, 2));
}

#[test]
fn frames_may_be_split_over_records_and_records_over_reads() {
    let (server, client) = start(Config::default());
    let mut peer = client.connect(server.address);
    peer.echoes(b"first");
    let frames: Vec<u8> = (0..20).flat_map(|n| data(&pattern(n * 7, 1))).collect();
    let mut wire = Vec::new();
    for record in frames.chunks(11) {
        peer.0.conn.writer().write_all(record).unwrap();
        peer.0.conn.write_tls(&mut wire).unwrap();
    }
    for byte in &wire {
        peer.0.sock.write_all(&[*byte]).unwrap();
    }
    peer.expect(&frames);
    peer.leave();
}

#[test]
fn a_client_that_names_no_protocol_is_served_and_one_that_names_only_others_is_not() {
    let (server, client) = start(Config::default());
    client.clone().with_alpn(&[]).connect(server.address).echoes(b"hello");
    client.clone().with_alpn(&["h2", "volley/1"]).connect(server.address).echoes(b"hello");
    let error = client.with_alpn(&["h2", "http/1.1"]).fails(server.address);
    assert!(error.contains("NoApplicationProtocol"), "{error}");
    server.wait_until(|server| server.handle.books().open_failures() == 1);
    assert_eq!(server.handle.books().open_failures[&OpenFailure::TlsMismatch], 1);
}

#[test]
fn a_plain_client_is_told_that_the_listener_speaks_tls() {
    let (server, _) = start(Config::default());
    for (sent, instead) in [
        (&hello(0)[..], "is a frame"),
        (&data(b"hello"), "is a frame"),
        (b"GET / HTTP/1.1\r\n\r\n", "looks like HTTP"),
        (b"PROXY UNKNOWN\r\n", "looks like PROXY protocol v1"),
        (b"\x80\x2e\x01\x00\x02", "is something else"),
    ] {
        let mut peer = Peer::connect(server.address);
        peer.send(sent);
        assert_eq!(peer.error(), (8, 0, format!("this listener speaks TLS, and this {instead}")));
        peer.leave();
    }
    all_failed(&server, OpenFailure::NotTls, 5);
}

#[test]
fn a_client_that_must_show_a_certificate_is_served_with_a_good_one_only() {
    let (authority, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let good = clients.issue_for(&["client"], (2000, 4000));
    let bad = [
        (None, OpenFailure::CertificateMissing, "CertificateRequired"),
        (
            Some(clients.issue_for(&["client"], (2000, 2001))),
            OpenFailure::CertificateExpired,
            "CertificateExpired",
        ),
        (
            Some(clients.issue_for(&["client"], (3999, 4000))),
            OpenFailure::CertificateExpired,
            "CertificateExpired",
        ),
        (Some(strangers.issue()), OpenFailure::CertificateUnknownCa, "UnknownCA"),
    ];
    for version in [&TLS13, &TLS12] {
        for (identity, failure, alert) in &bad {
            let live = live(&authority.issue(), Some(&clients));
            let server =
                Server::start_through(Config::default(), |listener| Tls::new(listener, live));
            let client = TlsClient::build(&authority, Some(&good), &[version]);
            client.connect(server.address).echoes(b"hello");
            let error =
                TlsClient::build(&authority, identity.as_ref(), &[version]).fails(server.address);
            // The alert of version 1.2 knows no missing certificate.
            let alert = if *version == TLS12 && identity.is_none() { "alert" } else { alert };
            assert!(error.contains(alert), "{error}: no {alert}");
            server.wait_until(|server| server.handle.books().open_failures() == 1);
            let books = server.finish();
            assert_eq!((books.open_failures[failure], books.accepted), (1, 1), "{books:?}");
        }
    }
}

#[test]
fn one_certificate_may_be_taken_whoever_has_signed_it() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let (own, other) = (Authority::new().issue(), Authority::new().issue());
    let (ca, der) = (clients.pem(), CertificateDer::from_pem_slice(own.cert.as_bytes()).unwrap());
    let admitted = TlsClients { ca: ca.as_bytes(), own: Some(&der) };
    let Identity { cert, key } = authority.issue();
    let config = TlsConfig::from_pem(cert.as_bytes(), key.as_bytes(), Some(admitted)).unwrap();
    let live = LiveTls::new(config);
    let server = Server::start_through(Config::default(), |listener| Tls::new(listener, live));
    for good in [&own, &clients.issue()] {
        TlsClient::showing(&authority, good).connect(server.address).echoes(b"hello");
    }
    let error = TlsClient::showing(&authority, &other).fails(server.address);
    assert!(error.contains("UnknownCA"), "{error}");
    // The certificate is no secret: without its key it is worth nothing.
    let thief = Identity { cert: own.cert.clone(), key: other.key };
    let error = TlsClient::showing(&authority, &thief).fails(server.address);
    assert!(error.contains("DecryptError"), "{error}");
}

#[test]
fn a_client_that_does_not_take_our_certificate_says_so() {
    let authority = Authority::new();
    for identity in [
        Authority::new().issue(),
        authority.issue_for(&["localhost"], (2000, 2001)),
        authority.issue_for(&["example.org"], (2000, 4000)),
    ] {
        let live = live(&identity, None);
        let server = Server::start_through(Config::default(), |listener| Tls::new(listener, live));
        let error = TlsClient::trusting(&authority).fails(server.address);
        assert!(error.starts_with("invalid peer certificate: "), "{error}");
        all_failed(&server, OpenFailure::Alert, 1);
    }
}

#[test]
fn what_only_begins_like_tls_is_ended_with_an_alert() {
    let (server, _) = start(Config::default());
    let mut peer = Peer::connect(server.address);
    peer.send([22, 3, 1, 0, 5, 1, 0, 0, 1, 0]);
    peer.half_close();
    let told = peer.read_to_end();
    assert!(matches!(told[..], [21, 3, _, 0, 2, 2, _]), "{told:?}");
    all_failed(&server, OpenFailure::TlsBroken, 1);
}

#[test]
fn an_alert_in_place_of_a_handshake_is_what_the_client_says() {
    let (server, _) = start(Config::default());
    let mut peer = Peer::connect(server.address);
    // Fatal, handshake_failure.
    peer.send([21, 3, 1, 0, 2, 2, 40]);
    assert!(peer.read_to_end().is_empty());
    all_failed(&server, OpenFailure::Alert, 1);
}

#[test]
fn a_hello_in_more_records_than_are_kept_breaks_the_rules() {
    let (server, _) = start(Config::default());
    let mut peer = Peer::connect(server.address);
    let hello = [&[1, 0, 0xff, 0xff], &[0; 12_000][..]].concat();
    let records: Vec<_> = hello.iter().flat_map(|&byte| [22, 3, 1, 0, 1, byte]).collect();
    peer.send(records);
    peer.read_to_end();
    all_failed(&server, OpenFailure::TlsBroken, 1);
}

#[test]
fn what_can_not_be_decrypted_is_the_clients_fault_and_an_alert_its_reset() {
    let (server, client) = start(Config::default());
    let mut broken = client.connect(server.address);
    broken.echoes(b"hello");
    broken.0.sock.write_all(&[&[23, 3, 3, 0, 32], &[0; 32][..]].concat()).unwrap();
    let told = broken.0.read(&mut [0]).unwrap_err();
    assert_eq!(told.to_string(), "received fatal alert: BadRecordMac");
    // This one finds fault with what it is sent, and says so.
    let mut finder = client.connect(server.address);
    finder.echoes(b"hello");
    let mut bad = &[23, 3, 3, 0, 1, 0][..];
    finder.0.conn.read_tls(&mut bad).unwrap();
    finder.0.conn.process_new_packets().unwrap_err();
    finder.0.conn.write_tls(&mut finder.0.sock).unwrap();
    assert!(finder.is_cut());
    let ends = server.finish().ends;
    assert_eq!(ends, [(End::Reset, 1), (End::Error(Reason::Protocol), 1)].into());
}

#[test]
fn who_never_finishes_a_handshake_is_waited_for_no_longer_than_the_deadline() {
    let mut config = Config::default();
    config.deadlines.handshake = Some(Duration::from_millis(100));
    let (server, _) = start(config);
    for begun in [&b""[..], &[22], &[22, 3, 1, 2, 0, 1, 0]] {
        let mut peer = Peer::connect(server.address);
        peer.send(begun);
        peer.expect_end();
    }
    all_failed(&server, OpenFailure::TimedOut, 3);
}

#[test]
fn no_more_handshakes_are_under_way_than_may_be_and_none_holds_up_the_accepting() {
    let mut config = Config::default();
    config.max_handshakes = 1;
    config.connections = ConnectionLimit::new(3);
    let (server, client) = start(config);
    let mut slow = Peer::connect(server.address);
    slow.send([22, 3, 1]);
    server.wait_until(|server| server.handle.books().opening == 1);
    let mut waiting = client.connect(server.address);
    waiting.0.conn.write_tls(&mut waiting.0.sock).unwrap();
    let _silent = Peer::connect(server.address);
    server.wait_until(|server| server.handle.books().opening == 3);
    assert_eq!(server.handle.books().handshakes, 0);
    // Who comes now is turned away at once, in the language of TLS.
    let error = client.fails(server.address);
    assert!(error.contains("InternalError"), "{error}");
    slow.leave();
    waiting.echoes(b"hello");
}

#[test]
fn the_end_of_a_stream_is_always_said() {
    let mut config = Config::default();
    config.drain = Duration::from_millis(300);
    let (mut server, client) = start(config);
    // The client's end, between frames and inside one.
    let mut peer = client.connect(server.address);
    peer.echoes(b"hello");
    peer.leave();
    let mut peer = client.connect(server.address);
    peer.send(&data(b"hello")[..7]);
    peer.leave();
    // An ERROR.
    let mut peer = client.connect(server.address);
    peer.send(u32::MAX.to_be_bytes());
    let Received::Control { kind: ERROR, code: 8, .. } = peer.frame() else { panic!("no ERROR") };
    peer.expect_end();
    // A drain, of one who is idle and of one who stays.
    let mut idle = client.connect(server.address);
    idle.echoes(b"hello");
    let mut staying = client.connect(server.address);
    staying.send(hello(0));
    staying.expect(welcome(1));
    server.shut_down();
    idle.expect_end();
    let Received::Control { kind: GOAWAY, .. } = staying.frame() else { panic!("no GOAWAY") };
    staying.echoes(b"still");
    let Received::Control { kind: ERROR, code: 7, .. } = staying.frame() else {
        panic!("no ERROR")
    };
    staying.expect_end();
    let books = server.finish();
    assert_eq!((books.ends[&End::Closed], books.ends[&End::Truncated]), (1, 1));
    assert_eq!((books.ends[&End::Drained], books.cut_off()), (1, 1));
}

#[test]
fn a_close_without_a_word_is_a_close_all_the_same() {
    let (server, client) = start(Config::default());
    let mut between = client.connect(server.address);
    between.echoes(b"hello");
    drop(between);
    let mut inside = client.connect(server.address);
    inside.echoes(b"hello");
    inside.send(&data(b"hello")[..7]);
    drop(inside);
    server.wait_until(|server| server.handle.books().closed() == 2);
    let books = server.finish();
    assert_eq!((books.ends[&End::Closed], books.ends[&End::Truncated]), (1, 1));
}

#[test]
fn a_client_that_does_not_read_is_not_read_from_and_loses_nothing() {
    let (server, client) = start(Config::default());
    let mut peer = client.connect(server.address);
    peer.echoes(b"hello");
    let frame = data(&pattern(100_000, 3));
    let (sent, mut read) = (400, 0);
    let mut writer = peer.0.sock.try_clone().unwrap();
    let mut wire = Vec::new();
    peer.0.conn.set_buffer_limit(None);
    for _ in 0..sent {
        peer.0.conn.writer().write_all(&frame).unwrap();
        while peer.0.conn.wants_write() {
            peer.0.conn.write_tls(&mut wire).unwrap();
        }
    }
    let writing = std::thread::spawn(move || writer.write_all(&wire).unwrap());
    server.wait_until(|server| server.handle.books().frames_pending > 0);
    let books = server.handle.books();
    assert!(books.balance() && books.frames_received < sent, "{books:?}");
    // Not a byte of what is counted as out may be held back here.
    let frames_out = (books.bytes_out - 9) / frame.len() as u64;
    assert!(books.frames_answered - 1 <= frames_out, "{books:?}");
    while read < sent {
        peer.expect(&frame);
        read += 1;
    }
    writing.join().unwrap();
    peer.leave();
    assert_eq!(server.finish().frames_answered, sent + 1);
}

#[test]
fn a_frame_that_waits_decrypted_is_answered_before_a_drain_ends_its_connection() {
    let (server, client) = start(Config::default());
    let mut peer = client.connect(server.address);
    peer.echoes(b"hello");
    let frames: Vec<u8> = (0..1000).flat_map(|_| data(&[7; 300])).collect();
    peer.send(&frames);
    let books = server.finish();
    assert_eq!(books.frames_answered, books.frames_received);
    let mut replies = Vec::new();
    peer.0.read_to_end(&mut replies).unwrap();
    assert_eq!(replies.len() as u64, 304 * (books.frames_answered - 1));
}

#[test]
fn a_session_is_resumed_and_counted() {
    let authority = Authority::new();
    for version in [&TLS13, &TLS12] {
        let live = live(&authority.issue(), None);
        let server = Server::start_through(Config::default(), |listener| Tls::new(listener, live));
        let client = TlsClient::build(&authority, None, &[version]);
        for is_resumed in [false, true, true] {
            let mut peer = client.connect(server.address);
            peer.echoes(b"hello");
            assert_eq!(peer.is_resumed(), is_resumed);
            peer.leave();
        }
        let books = server.finish();
        assert_eq!((books.handshakes, books.resumed), (3, 2));
    }
}

#[test]
fn what_replaces_a_certificate_holds_for_new_handshakes_only() {
    let (before, after) = (Authority::new(), Authority::new());
    let live = live(&before.issue(), None);
    let clone = live.clone();
    let server = Server::start_through(Config::default(), |listener| Tls::new(listener, clone));
    let client = TlsClient::trusting(&before);
    let mut open = client.connect(server.address);
    open.echoes(b"before");
    live.replace(config(&after.issue(), None));
    open.echoes(b"after");
    // It has a ticket, which is worth nothing any more.
    let error = client.fails(server.address);
    assert!(error.contains("UnknownIssuer"), "{error}");
    TlsClient::trusting(&after).connect(server.address).echoes(b"hello");
    open.leave();
}

#[test]
fn a_balancers_header_comes_before_the_handshake() {
    let authority = Authority::new();
    let live = live(&authority.issue(), None);
    let server = Server::start_through(Config::default(), |listener| {
        Proxied::new(Tls::new(listener, live), Trusted::new(["127.0.0.1/32".parse().unwrap()]))
    });
    let client = TlsClient::trusting(&authority);
    let mut stream = TcpStream::connect_timeout(&server.address, LIMIT).unwrap();
    stream.write_all(b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 7007\r\n").unwrap();
    let mut peer = client.connect_on(stream);
    peer.echoes(b"hello");
    let [status] = &server.handle.connections()[..] else { panic!("one connection") };
    assert_eq!(status.peer.to_string(), "192.0.2.1:56324");
    peer.leave();
    // Without a header, or from somewhere else, the word is an alert.
    let error = client.fails(server.address);
    assert!(error.contains("UnexpectedMessage"), "{error}");
    let mut stranger = Peer::connect_from("127.0.0.9", server.address);
    stranger.expect([21, 3, 3, 0, 2, 2, 49]);
    stranger.leave();
    server.wait_until(|server| server.handle.books().open_failures() == 2);
    let books = server.handle.books();
    assert_eq!(books.open_failures[&OpenFailure::ProxyHeader], 1);
    assert_eq!(books.open_failures[&OpenFailure::ProxyUntrusted], 1);
}

#[test]
fn what_can_not_be_used_is_told_with_its_reason() {
    let (authority, other) = (Authority::new(), Authority::new());
    let Identity { cert, key } = authority.issue();
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let half = "-----BEGIN CERTIFICATE-----\nAAAA\n";
    let strange = key.replace("-----\nM", "-----\nA");
    let (no_cert, no_key) = ("there is no certificate in it", "there is no private key in it");
    let cases = [
        ("", &*key, None, TlsInput::Certificate, no_cert),
        (&key, &key, None, TlsInput::Certificate, no_cert),
        (garbage, &key, None, TlsInput::Certificate, "certificate 1 in it is bad: "),
        (half, &key, None, TlsInput::Certificate, "it is no PEM: "),
        (&cert, "", None, TlsInput::Key, no_key),
        (&cert, &cert, None, TlsInput::Key, no_key),
        (&cert, encrypted, None, TlsInput::Key, "the key in it is encrypted: "),
        (&cert, &strange, None, TlsInput::Key, "the key in it can't be used: "),
        (&cert, &other.issue().key, None, TlsInput::Key, "the key in it is not that of the cert"),
        (&cert, &key, Some(""), TlsInput::ClientCa, no_cert),
        (&cert, &key, Some(garbage), TlsInput::ClientCa, "certificate 1 in it is bad: "),
    ];
    for (cert, key, client_ca, input, why) in cases {
        let clients = client_ca.map(|ca: &str| TlsClients::signed_by(ca.as_bytes()));
        let error = TlsConfig::from_pem(cert.as_bytes(), key.as_bytes(), clients).unwrap_err();
        assert_eq!(error.input(), Some(input), "{error}");
        assert!(error.to_string().starts_with(why), "{error}");
    }
}

#[test]
fn a_certificate_and_its_key_may_stand_in_one_text_and_it_may_have_expired() {
    let Identity { cert, key } = Authority::new().issue_for(&["localhost"], (2000, 2001));
    let both = key + &cert;
    let config = TlsConfig::from_pem(both.as_bytes(), both.as_bytes(), None).unwrap();
    assert!(config.not_before() < config.not_after() && config.not_after() < SystemTime::now());
}
