//! TLS: what is trusted, what is told when it does not come about, and that no byte is kept back.

use std::path::PathBuf;

use futures_util::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use volley_client::advice::{exit, with_hint};
use volley_client::{Connection, Error, Options, Tls, TlsFault, TlsOptions, TlsSetupError};
use volley_proto::{Reason, ReplyKind};

use crate::scripted::{self, Peer, within};
use crate::tls_server::{Authority, Identity, Server, accept, listen, play};
use crate::{connect, hasty, patient, silent};

/// Options that trust the certificates of a file.
fn trusting(ca: PathBuf) -> Options {
    let mut tls = TlsOptions::default();
    tls.ca = Some(ca);
    with(&tls)
}

fn with(tls: &TlsOptions) -> Options {
    let mut options = patient();
    options.tls = Some(tls.build().unwrap());
    options
}

/// The fault with which connecting to a server fails.
async fn fault(acceptor: TlsAcceptor, options: &Options) -> TlsFault {
    let opened = play(acceptor, async |to| Connection::connect(&to, options).await).await;
    match opened.unwrap_err() {
        Error::Tls { fault, .. } => fault,
        error => panic!("{error:?}"),
    }
}

/// What a user reads.
async fn told(acceptor: TlsAcceptor, options: &Options) -> (u8, String) {
    let opened =
        play(acceptor, async |to| (Connection::connect(&to, options).await, to.to_string())).await;
    let (error, to) = (opened.0.unwrap_err(), opened.1);
    (exit(&error).code(), with_hint(&error).replace(&to, "TARGET"))
}

#[tokio::test]
async fn frames_of_all_lengths_come_back_and_the_handshake_is_told() {
    let authority = Authority::new("a CA");
    let options = trusting(authority.file());
    for (version, name) in
        [(&rustls::version::TLS12, "TLS 1.2"), (&rustls::version::TLS13, "TLS 1.3")]
    {
        let versions: &[_] = Box::leak(Box::new([version]));
        let server = Server { versions, ..Server::new(authority.issue(&["127.0.0.1"])) };
        play(server.acceptor(), async |to| {
            let mut connection = connect(&to, &options).await;
            let handshake = connection.handshake().unwrap().clone();
            assert_eq!((handshake.version, handshake.resumed), (name, false));
            assert_eq!(handshake.alpn.as_deref(), Some("volley/1"));
            assert!(handshake.cipher_suite.starts_with("TLS_"), "{handshake}");
            assert!(handshake.took > std::time::Duration::ZERO);
            for len in [0, 1, 1000, 100_000, 1 << 20] {
                let payload = vec![7_u8; len];
                assert!(connection.request(payload.clone()).await.unwrap().payload == payload);
            }
            assert_eq!(
                connection.peer_addr().unwrap().to_string(),
                to.to_string()["tls://".len()..]
            );
            assert!(connection.local_addr().unwrap().to_string().starts_with("127.0.0.1:"));
        })
        .await;
    }
}

#[tokio::test]
async fn a_server_without_alpn_is_fine() {
    let authority = Authority::new("a CA");
    let server = Server { alpn: Vec::new(), ..Server::new(authority.issue(&["127.0.0.1"])) };
    play(server.acceptor(), async |to| {
        let connection = connect(&to, &trusting(authority.file())).await;
        assert_eq!(connection.handshake().unwrap().alpn, None);
    })
    .await;
}

#[tokio::test]
async fn a_second_connection_resumes_the_session_of_the_first() {
    let authority = Authority::new("a CA");
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let versions: &[_] = Box::leak(Box::new([version]));
        let server = Server { versions, ..Server::new(authority.issue(&["127.0.0.1"])) };
        let options = trusting(authority.file());
        play(server.acceptor(), async |to| {
            let mut kinds = Vec::new();
            // The third one is of options that know nothing of the first.
            for options in [&options, &options.clone(), &trusting(authority.file())] {
                let mut connection = connect(&to, options).await;
                connection.request("hello").await.unwrap();
                kinds.push(connection.handshake().unwrap().resumed);
            }
            assert_eq!(kinds, [false, true, false]);
        })
        .await;
    }
}

/// Whatever TLS takes and the socket does not is kept back, and nobody else would send it.
#[tokio::test]
async fn what_has_been_sent_is_out_and_not_kept_back() {
    let authority = Authority::new("a CA");
    let acceptor = Server::new(authority.issue(&["127.0.0.1"])).acceptor();
    let (listener, to) = listen().await;
    let options = silent(trusting(authority.file()));
    within(async {
        let (peer, connection) = tokio::join!(accept(&listener, &acceptor), connect(&to, &options));
        let (mut peer, (mut sender, _receiver)) = (peer.unwrap(), connection.split());
        // Nobody reads, so there comes one that does not go out at once.
        let mut sent = 0;
        while sender.send(vec![7_u8; 10_000]).now_or_never().is_some() {
            sent += 1;
        }
        assert!(sender.has_unsent());
        // Those before it come without another word from the client.
        for _ in 0..sent {
            assert_eq!(peer.payload().await.len(), 10_000);
        }
        let (flushed, last) = tokio::join!(sender.flush(), peer.payload());
        flushed.unwrap();
        assert!(last.len() == 10_000 && !sender.has_unsent());
    })
    .await;
}

#[tokio::test]
async fn a_client_that_is_done_says_so_in_tls() {
    let authority = Authority::new("a CA");
    let acceptor = Server::new(authority.issue(&["127.0.0.1"])).acceptor();
    let options = silent(trusting(authority.file()));
    let (listener, to) = listen().await;
    for splits in [false, true] {
        let serve = async {
            let mut peer = accept(&listener, &acceptor).await.unwrap();
            // Without a word of TLS this would be an error.
            assert_eq!(peer.stream.read(&mut [0]).await.unwrap(), 0);
        };
        let client = async {
            let connection = connect(&to, &options).await;
            if splits {
                let (sender, receiver) = connection.split();
                drop(sender);
                return Some(receiver);
            }
            None
        };
        within(async { tokio::join!(serve, client) }).await;
    }
}

#[tokio::test]
async fn a_server_that_closes_without_a_word_of_tls_has_closed() {
    let authority = Authority::new("a CA");
    let acceptor = Server::new(authority.issue(&["127.0.0.1"])).acceptor();
    let (listener, to) = listen().await;
    let serve = async {
        let mut peer = accept(&listener, &acceptor).await.unwrap();
        peer.payload().await;
        peer.stream.get_mut().0.shutdown().await.unwrap();
    };
    let client = async {
        let mut connection = connect(&to, &silent(trusting(authority.file()))).await;
        let error = connection.request("hello").await.unwrap_err();
        assert!(matches!(error, Error::Closed { outstanding: 1, .. }), "{error:?}");
    };
    within(async { tokio::join!(serve, client) }).await;
}

#[tokio::test]
async fn a_certificate_out_of_its_time_is_told_with_the_date() {
    let authority = Authority::new("a CA");
    let options = trusting(authority.file());
    let expired = Server::new(authority.issue_for_years(&["127.0.0.1"], 2001, 2002)).acceptor();
    let early = Server::new(authority.issue_for_years(&["127.0.0.1"], 4001, 4002)).acceptor();
    assert_eq!(
        told(expired, &options).await,
        (
            69,
            "cannot speak TLS with TARGET: the server's certificate expired on \
             2002-01-01T00:00:00Z (to take it all the same give --insecure)"
                .to_owned()
        )
    );
    assert_eq!(
        told(early, &options).await,
        (
            69,
            "cannot speak TLS with TARGET: the server's certificate is not valid before \
             4001-01-01T00:00:00Z (is the clock of this machine right?)"
                .to_owned()
        )
    );
}

#[tokio::test]
async fn a_certificate_of_nobody_or_of_another_ca_is_told_apart() {
    let (ours, theirs) = (Authority::new("our CA"), Authority::new("their CA"));
    let options = trusting(ours.file());
    for is_ca in [false, true] {
        let lonely = Server::new(Identity::self_signed(&["127.0.0.1"], is_ca)).acceptor();
        assert_eq!(
            told(lonely, &options).await,
            (
                69,
                "cannot speak TLS with TARGET: the server's certificate is self-signed: CN=lonely \
                 (give --ca FILE, or --insecure)"
                    .to_owned()
            )
        );
    }
    let other = || Server::new(theirs.issue(&["127.0.0.1"])).acceptor();
    assert_eq!(
        told(other(), &options).await,
        (
            69,
            "cannot speak TLS with TARGET: the server's certificate is from a CA that is not \
             trusted: CN=their CA (give --ca FILE, or --insecure)"
                .to_owned()
        )
    );
    // The system does not know it either.
    let fault = fault(other(), &patient()).await;
    assert!(matches!(fault, TlsFault::UnknownIssuer { .. }), "{fault}");
}

#[tokio::test]
async fn a_server_that_is_not_trusted_hears_that_its_ca_is_unknown() {
    let (ours, theirs) = (Authority::new("our CA"), Authority::new("their CA"));
    let options = trusting(ours.file());
    let identities: [&dyn Fn() -> Identity; 3] = [
        &|| theirs.issue(&["127.0.0.1"]),
        &|| Identity::self_signed(&["127.0.0.1"], false),
        &|| Identity::self_signed(&["127.0.0.1"], true),
    ];
    for identity in identities {
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let (listener, to) = listen().await;
            let versions: &[_] = Box::leak(Box::new([version]));
            let acceptor = Server { versions, ..Server::new(identity()) }.acceptor();
            let connect = Connection::connect(&to, &options);
            let accept = accept(&listener, &acceptor);
            let (refused, connected) = within(async { tokio::join!(accept, connect) }).await;
            let Err(heard) = refused else { panic!("it was taken") };
            assert_eq!(heard.to_string(), "received fatal alert: UnknownCA");
            assert!(matches!(connected, Err(Error::Tls { .. })), "{connected:?}");
        }
    }
}

#[tokio::test]
async fn a_certificate_for_another_name_is_told_with_its_names() {
    let authority = Authority::new("a CA");
    let server = || Server::new(authority.issue(&["volley.test", "192.0.2.1", "::1"])).acceptor();
    assert_eq!(
        told(server(), &trusting(authority.file())).await,
        (
            69,
            "cannot speak TLS with TARGET: the server's certificate is not for 127.0.0.1, but for \
             volley.test, 192.0.2.1, ::1 (give --server-name)"
                .to_owned()
        )
    );
    let mut tls = TlsOptions::default();
    tls.ca = Some(authority.file());
    tls.server_name = Some("volley.test".to_owned());
    play(server(), async |to| drop(connect(&to, &with(&tls)).await)).await;
}

#[tokio::test]
async fn a_certificate_that_is_given_itself_is_trusted_for_its_names_and_its_time() {
    let authority = Authority::new("a CA");
    for is_ca in [false, true] {
        let lonely = Identity::self_signed(&["127.0.0.1"], is_ca);
        let options = trusting(authority.write("lonely.pem", &lonely.cert_pem()));
        let acceptor = Server::new(lonely).acceptor();
        play(acceptor, async |to| drop(connect(&to, &options).await)).await;

        let other = Identity::self_signed(&["volley.test"], is_ca);
        let options = trusting(authority.write("lonely.pem", &other.cert_pem()));
        let fault = fault(Server::new(other).acceptor(), &options).await;
        assert!(matches!(&fault, TlsFault::WrongName { names, .. } if names == &["volley.test"]));
    }
    let old = authority.issue_for_years(&["127.0.0.1"], 2001, 2002);
    let options = trusting(authority.write("old.pem", &old.cert_pem()));
    let fault = fault(Server::new(old).acceptor(), &options).await;
    assert!(matches!(fault, TlsFault::Expired { .. }), "{fault}");
}

#[tokio::test]
async fn an_insecure_client_takes_any_certificate() {
    let authority = Authority::new("a CA");
    let mut tls = TlsOptions::default();
    tls.insecure = true;
    let options = with(&tls);
    for identity in [
        Identity::self_signed(&["volley.test"], true),
        authority.issue_for_years(&["127.0.0.1"], 2001, 2002),
    ] {
        let acceptor = Server::new(identity).acceptor();
        play(acceptor, async |to| drop(connect(&to, &options).await)).await;
    }
}

/// In TLS 1.2 the server says so in the handshake, in TLS 1.3 behind it.
#[tokio::test]
async fn a_server_that_wants_a_client_certificate_is_told_and_takes_one() {
    let authority = Authority::new("a CA");
    let (cert, key) = authority.issue(&["client"]).files(authority.directory.path());
    let both = authority.issue(&["client"]);
    let both = authority.write("both.pem", &(both.key_pem() + &both.cert_pem()));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let versions: &[_] = Box::leak(Box::new([version]));
        let server = || {
            let identity = authority.issue(&["127.0.0.1"]);
            Server { versions, ..Server::new(identity).demanding(&authority) }.acceptor()
        };
        let (code, message) = told(server(), &trusting(authority.file())).await;
        assert_eq!(code, 69);
        assert_eq!(
            message,
            "cannot speak TLS with TARGET: the server wants a client certificate (give --cert and \
             --key)"
        );
        for (cert, key) in [(&cert, Some(&key)), (&both, None)] {
            let mut tls = TlsOptions::default();
            tls.ca = Some(authority.file());
            tls.cert = Some(cert.clone());
            tls.key = key.cloned();
            play(server(), async |to| drop(connect(&to, &with(&tls)).await)).await;
        }
    }
}

/// Nobody waits for an answer when the connection is opened without HELLO.
#[tokio::test]
async fn a_refusal_behind_the_handshake_is_told_to_who_awaits_a_reply() {
    let authority = Authority::new("a CA");
    let server = Server::new(authority.issue(&["127.0.0.1"])).demanding(&authority);
    let options = silent(trusting(authority.file()));
    play(server.acceptor(), async |to| {
        let mut connection = connect(&to, &options).await;
        let error = connection.request("hello").await.unwrap_err();
        let message = with_hint(&error);
        assert!(message.contains("the server wants a client certificate"), "{message}");
        assert!(message.contains("(give --cert and --key)"), "{message}");
        assert_eq!(exit(&error).code(), 69);
    })
    .await;
}

#[tokio::test]
async fn a_client_certificate_that_the_server_does_not_take_is_told() {
    let (ours, theirs) = (Authority::new("our CA"), Authority::new("their CA"));
    let (cert, key) = ours.issue(&["client"]).files(ours.directory.path());
    let mut tls = TlsOptions::default();
    tls.ca = Some(theirs.file());
    (tls.cert, tls.key) = (Some(cert), Some(key));
    let server = Server::new(theirs.issue(&["127.0.0.1"])).demanding(&theirs);
    let (code, message) = told(server.acceptor(), &with(&tls)).await;
    assert_eq!(code, 69);
    assert_eq!(
        message,
        "cannot speak TLS with TARGET: the server refused: unknown ca (it does not take --cert)"
    );
}

/// What a server without TLS answers to the beginning of a handshake.
async fn answered_with(answer: impl AsyncFnOnce(Peer), options: &Options) -> (u8, String) {
    let (listener, to) = listen().await;
    let serve = async { answer(Peer::accept(&listener).await).await };
    let client = async { Connection::connect(&to, options).await.unwrap_err() };
    let error = within(async { tokio::join!(serve, client).1 }).await;
    (exit(&error).code(), with_hint(&error).replace(&to.to_string(), "TARGET"))
}

#[tokio::test]
async fn a_server_without_tls_is_told_by_what_it_answers() {
    let mut tls = TlsOptions::default();
    tls.insecure = true;
    let options = with(&tls);
    let volleyd = async |mut peer: Peer| {
        peer.bytes(16).await;
        peer.error(Reason::Protocol, 0, "this looks like TLS, not a framed client").await;
        peer.until_closed().await;
    };
    assert_eq!(
        answered_with(volleyd, &options).await,
        (
            76,
            "cannot speak TLS with TARGET: the server does not speak TLS there: it sent an ERROR of \
             volleyd's: this looks like TLS, not a framed client (use tcp://)"
                .to_owned()
        )
    );
    let http = async |mut peer: Peer| {
        peer.bytes(16).await;
        peer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        peer.until_closed().await;
    };
    let (code, message) = answered_with(http, &options).await;
    assert!(code == 76 && message.ends_with("there: it sent HTTP (use tcp://)"), "{message}");
    let echo = async |mut peer: Peer| {
        // A record's head ends with its length.
        let mut hello = peer.bytes(5).await;
        let len = u16::from_be_bytes([hello[3], hello[4]]);
        hello.extend(peer.bytes(len.into()).await);
        peer.write(&hello).await;
        peer.until_closed().await;
    };
    let (code, message) = answered_with(echo, &options).await;
    assert!(code == 76 && message.ends_with("it sent back what it got (use tcp://)"), "{message}");
    let close = async |mut peer: Peer| {
        peer.bytes(16).await;
        peer.stream.shutdown().await.unwrap();
        peer.until_closed().await;
    };
    assert_eq!(
        answered_with(close, &options).await,
        (
            69,
            "cannot speak TLS with TARGET: the server closed the connection during the handshake \
             (does it speak TLS there? If not use tcp://)"
                .to_owned()
        )
    );
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up_in_time() {
    let silent = async |mut peer: Peer| drop(peer.until_closed().await);
    let (code, message) = answered_with(silent, &hasty()).await;
    assert_eq!(code, 75);
    assert_eq!(
        message,
        "no TLS handshake from TARGET within 100ms (does it speak TLS there? If not use tcp://, or \
         else try a longer --timeout)"
    );
}

#[tokio::test]
async fn a_client_without_tls_is_told_to_use_it() {
    let authority = Authority::new("a CA");
    let acceptor = Server::new(authority.issue(&["127.0.0.1"])).acceptor();
    let (listener, to) = scripted::listen().await;
    let serve = async { drop(accept(&listener, &acceptor).await) };
    let client = async { Connection::connect(&to, &patient()).await.unwrap_err() };
    let error = within(async { tokio::join!(serve, client).1 }).await;
    assert_eq!(exit(&error).code(), 76);
    assert_eq!(
        with_hint(&error),
        "the server broke the protocol: this is TLS, not a framed server (use tls://)"
    );
}

#[test]
fn files_that_are_of_no_use_are_told_apart() {
    let authority = Authority::new("a CA");
    let (cert, key) = authority.issue(&["client"]).files(authority.directory.path());
    let other = authority.write("other.pem", &authority.issue(&["client"]).key_pem());
    let empty = authority.write("empty.pem", "");
    let secret = authority.write(
        "secret.pem",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let broken = authority.write("broken.pem", "-----BEGIN CERTIFICATE-----\nAA==\n");
    let failure = |set: &dyn Fn(&mut TlsOptions)| {
        let mut tls = TlsOptions::default();
        tls.ca = Some(authority.file());
        set(&mut tls);
        tls.build().unwrap_err()
    };
    let missing = failure(&|tls| tls.ca = Some("/nowhere/ca.pem".into()));
    assert!(missing.to_string().starts_with("cannot read /nowhere/ca.pem: No such file"));
    let none = failure(&|tls| tls.ca = Some(empty.clone()));
    assert!(none.to_string().ends_with("no certificate in PEM: no BEGIN CERTIFICATE in it"));
    let broken = failure(&|tls| tls.ca = Some(broken.clone()));
    assert!(broken.to_string().ends_with("no certificate in PEM: it is damaged"), "{broken}");
    let none = failure(&|tls| (tls.cert, tls.key) = (Some(cert.clone()), Some(cert.clone())));
    assert!(none.to_string().ends_with("no private key in PEM: no BEGIN PRIVATE KEY in it"));
    let secret = failure(&|tls| (tls.cert, tls.key) = (Some(cert.clone()), Some(secret.clone())));
    assert!(matches!(secret, TlsSetupError::Encrypted { .. }), "{secret}");
    let other = failure(&|tls| (tls.cert, tls.key) = (Some(cert.clone()), Some(other.clone())));
    assert!(matches!(other, TlsSetupError::Mismatch { .. }), "{other}");
    let name = failure(&|tls| tls.server_name = Some("a b".to_owned()));
    assert_eq!(name.to_string(), "`a b` is neither a DNS name nor an IP address");
    let mut good = TlsOptions::default();
    (good.cert, good.key) = (Some(cert), Some(key));
    assert!(good.build().is_ok());
}

/// Whoever has no [`Tls`] of his own shares one with everybody else.
#[test]
fn the_systems_tls_can_be_had() {
    Tls::system().unwrap();
}

#[tokio::test]
async fn both_halves_work_at_once() {
    let authority = Authority::new("a CA");
    let acceptor = Server::new(authority.issue(&["127.0.0.1"])).acceptor();
    play(acceptor, async |to| {
        let connection = connect(&to, &trusting(authority.file())).await;
        assert_eq!(connection.reply_kind(), ReplyKind::Echo);
        let (mut sender, mut receiver) = connection.split();
        let send = async {
            for number in 0..200_u8 {
                sender.feed(vec![number; 50_000]).await.unwrap();
            }
            sender.finish().await.unwrap();
        };
        let receive = async {
            let mut count = 0;
            while receiver.receive().await.unwrap().is_some() {
                count += 1;
            }
            count
        };
        assert_eq!(tokio::join!(send, receive).1, 200);
    })
    .await;
}
