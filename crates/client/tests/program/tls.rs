//! TLS as a user asks for it: the flags, what is shown, and what is told when it does not come about.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio_rustls::TlsAcceptor;
use volley_proto::Endpoint;

use crate::scripted::within;
use crate::tls_server::{Authority, Identity, Server, listen, play, serve_all};
use crate::{Ended, program, run, send};

fn of(authority: &Authority) -> TlsAcceptor {
    Server::new(authority.issue(&["127.0.0.1"])).acceptor()
}

/// `volley` with a command and the CA of a test.
fn volley(command: &str, ca: &Path) -> Command {
    let mut volley = program();
    volley.arg(command).arg("--ca").arg(ca);
    volley
}

/// Replaces what differs from run to run: the port and the times.
fn stable(ended: &Ended, to: &Endpoint) -> String {
    ended.stderr.replace(&to.to_string(), "TARGET")
}

#[tokio::test]
async fn every_command_speaks_tls_with_the_same_flags() {
    let authority = Authority::new("a CA");
    let ca = authority.file();
    play(of(&authority), async |to| {
        let endpoint = to.to_string();
        run(volley("send", &ca).args(["--to", &endpoint, "a", "b"])).await.printed("a\nb\n");
        run(volley("wait", &ca).args(["--timeout", "25s", &endpoint])).await.printed("");
        let mut ping = volley("ping", &ca);
        let ping = run(ping.args(["-c", "2", "-i", "1ms", "-W", "25", &endpoint])).await;
        assert_eq!((ping.code, ping.stderr.as_str()), (Some(0), ""));
        let script = authority
            .write("x.volley", &format!("connect {endpoint}\nhello\nsend \"a\"\nexpect \"a\"\n"));
        let script = run(volley("script", &ca).args(["--timeout", "25s"]).arg(script)).await;
        assert_eq!((script.code, script.stderr.as_str()), (Some(0), ""));
    })
    .await;
}

#[tokio::test]
async fn a_script_says_hello_over_tls() {
    let authority = Authority::new("a CA");
    let text = "hello\nsend \"a\"\nexpect \"a\"\nconnect\nhello\nsend \"b\"\nexpect \"b\"\n";
    let script = authority.write("x.volley", text);
    play(of(&authority), async |to| {
        let mut script_of_two = volley("script", &authority.file());
        let ended = run(script_of_two.args(["-v", "--to", &to.to_string()]).arg(script)).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let handshakes: Vec<_> =
            ended.stderr.lines().filter(|line| line.contains("TLS 1.3, ")).collect();
        assert_eq!(handshakes.len(), 2, "{ended:?}");
        assert!(handshakes[0].contains(", volley/1, full handshake in "), "{handshakes:?}");
        assert!(handshakes[1].contains(", volley/1, resumed in "), "{handshakes:?}");
    })
    .await;
}

#[tokio::test]
async fn what_passes_is_shown_with_the_handshake_before_it() {
    let authority = Authority::new("a CA");
    play(of(&authority), async |to| {
        let ended = run(send(&to).arg("--ca").arg(authority.file()).args(["-v", "x"])).await;
        let shown: Vec<_> = ended.stderr.lines().map(|line| line.trim_start()).collect();
        let at = shown.iter().position(|line| line.contains("* TLS 1.3, TLS_")).unwrap();
        assert!(shown[at].contains(", volley/1, full handshake in "), "{shown:?}");
        assert!(shown[at - 1].contains("* connected from 127.0.0.1:"), "{shown:?}");
    })
    .await;
}

#[tokio::test]
async fn a_ping_with_a_new_connection_shows_connect_and_handshake() {
    let authority = Authority::new("a CA");
    play(of(&authority), async |to| {
        let ping = || {
            let mut ping = volley("ping", &authority.file());
            ping.args(["-c", "2", "-i", "1ms", "-W", "25", "--connect"]);
            ping
        };
        let ended = run(ping().arg(to.to_string())).await;
        let text = String::from_utf8(ended.stdout).unwrap();
        let line = text.lines().find(|line| line.starts_with("seq=1 ")).unwrap();
        let names: Vec<_> = line.split(' ').filter_map(|part| part.split_once('=')).collect();
        let names: Vec<_> = names.into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["seq", "bytes", "connect", "handshake", "time"]);
        assert!(text.contains("\nhandshake min/avg/max/mdev = "), "{text}");

        let ended = run(ping().args(["--json", &to.to_string()])).await;
        let text = String::from_utf8(ended.stdout).unwrap();
        let objects: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let reply = objects.iter().find(|object| object["event"] == "reply").unwrap();
        assert!(reply["handshake_ns"].as_u64().unwrap() > 0, "{reply}");
        assert!(objects.last().unwrap()["handshake_ns"]["max"].as_u64().unwrap() > 0);
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_not_trusted_is_told_with_what_to_do() {
    let authority = Authority::new("a CA");
    play(of(&authority), async |to| {
        let ended = run(send(&to).arg("x")).await;
        assert_eq!(ended.code, Some(69));
        assert_eq!(
            stable(&ended, &to),
            "volley: cannot speak TLS with TARGET: the server's certificate is from a CA that is \
             not trusted: CN=a CA (give --ca FILE, or --insecure)\n"
        );
    })
    .await;
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_waited_for_in_vain() {
    let authority = Authority::new("a CA");
    let old = Server::new(authority.issue_for_years(&["127.0.0.1"], 2001, 2002)).acceptor();
    play(old, async |to| {
        let mut wait = volley("wait", &authority.file());
        let ended = run(wait.args(["--timeout", "200ms", &to.to_string()])).await;
        assert_eq!(ended.code, Some(75));
        let why = "the server's certificate expired on 2002-01-01T00:00:00Z";
        assert!(ended.stderr.contains(why), "{ended:?}");
    })
    .await;
}

/// That is how a proxy that hands TLS through ends a connection for which it finds no server.
#[tokio::test]
async fn an_end_before_the_handshake_is_done_is_worth_another_try() {
    let authority = Authority::new("a CA");
    let (listener, to) = listen().await;
    let serve = async {
        // With its hello unread the client is reset, and without a hello of its own closed upon.
        drop(listener.accept().await.unwrap());
        let (mut closing, _) = listener.accept().await.unwrap();
        closing.shutdown().await.unwrap();
        serve_all(&listener, &of(&authority)).await;
    };
    let mut retry = send(&to);
    retry.arg("--ca").arg(authority.file()).args(["--retry", "2", "a"]);
    let ended = within(async {
        tokio::select! {
            () = serve => unreachable!(),
            ended = run(&mut retry) => ended,
        }
    })
    .await;
    assert_eq!((ended.code, &*ended.stdout), (Some(0), &b"a\n"[..]), "{ended:?}");
    assert!(ended.stderr.contains("; try 2 of 2 in "), "{ended:?}");
}

#[tokio::test]
async fn insecure_takes_it_and_warns_once() {
    let lonely = Identity::self_signed(&["volley.test"], true);
    play(Server::new(lonely).acceptor(), async |to| {
        let ended = run(send(&to).args(["--insecure", "a", "b"])).await;
        assert_eq!((ended.code, &*ended.stdout), (Some(0), &b"a\nb\n"[..]));
        assert_eq!(
            ended.stderr,
            "volley: --insecure takes any certificate: whoever is in between can read and change \
             everything\n"
        );
    })
    .await;
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_a_server_that_wants_one() {
    let authority = Authority::new("a CA");
    let (cert, key) = authority.issue(&["client"]).files(authority.directory.path());
    let server = Server::new(authority.issue(&["127.0.0.1"])).demanding(&authority);
    play(server.acceptor(), async |to| {
        let with_ca = || {
            let mut send = send(&to);
            send.arg("--ca").arg(authority.file());
            send
        };
        let ended = run(with_ca().arg("x")).await;
        assert_eq!(ended.code, Some(69));
        assert_eq!(
            stable(&ended, &to),
            "volley: cannot speak TLS with TARGET: the server wants a client certificate (give \
             --cert and --key)\n"
        );
        let identified = || {
            let mut send = with_ca();
            send.arg("--cert").arg(&cert).arg("--key").arg(&key).arg("x");
            send
        };
        set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
        run(&mut identified()).await.printed("x\n");
        set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
        let ended = run(&mut identified()).await;
        let warning = format!(
            "volley: every user can read the private key in {}: chmod 600\n",
            key.display()
        );
        assert_eq!((ended.code, ended.stderr), (Some(0), warning));
    })
    .await;
}

#[tokio::test]
async fn files_of_no_use_are_told_before_anything_is_tried() {
    let authority = Authority::new("a CA");
    let (cert, key) = authority.issue(&["client"]).files(authority.directory.path());
    set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    let other = authority.write("other.pem", &authority.issue(&["other"]).key_pem());
    set_permissions(&other, Permissions::from_mode(0o600)).unwrap();
    let (cert, key, other) =
        (cert.to_str().unwrap(), key.to_str().unwrap(), other.to_str().unwrap());
    let cases: [(i32, &[&str], String); 5] = [
        (66, &["--ca", "/nowhere"], "cannot read /nowhere: No such file or directory".to_owned()),
        (65, &["--ca", key], format!("{key} holds no certificate in PEM")),
        (65, &["--cert", cert], format!("volley: {cert} holds no private key in PEM")),
        (
            65,
            &["--cert", cert, "--key", other],
            format!("the certificate in {cert} is not for the key in {other}"),
        ),
        (2, &["--server-name", "a b"], "`a b` is neither a DNS name nor an IP address".to_owned()),
    ];
    for (code, flags, message) in cases {
        // ping(8) has no code for it.
        for (command, code) in [("send", code), ("wait", code), ("shell", code), ("ping", 2)] {
            let mut volley = program();
            volley.arg(command).args(["--to", "tls://127.0.0.1:1"]).args(flags);
            let ended = within(run(&mut volley)).await;
            assert_eq!(ended.code, Some(code), "{command}: {ended:?}");
            assert!(ended.stderr.contains(&message), "{command}: {ended:?}");
            assert_eq!(ended.stderr.lines().count(), 1, "{command}: {ended:?}");
        }
    }
}

#[tokio::test]
async fn flags_that_would_have_no_effect_are_wrong_usage() {
    let to = "127.0.0.1:1".parse().unwrap();
    for flags in [&["--ca", "/nowhere"][..], &["--insecure"], &["--server-name", "a"]] {
        let ended = within(run(send(&to).args(flags).arg("x"))).await;
        let told = format!("{} is for tls:// endpoints, and there is none", flags[0]);
        ended.failed(2, &told);
    }
    for flags in [&["--key", "x"][..], &["--ca", "x", "--insecure"]] {
        let ended = within(run(send(&to).args(flags).arg("x"))).await;
        assert_eq!(ended.code, Some(2), "{ended:?}");
    }
}
