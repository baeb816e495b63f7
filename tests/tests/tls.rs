//! The programs together over TLS: with the certificate that volleyd makes, with clients that have
//! one, and with everything that can be wrong between them.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, also in what it calls")]

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use tempfile::TempDir;
use volley_tests::{Daemon, Ended, Load, all_answered, program, run, send};

/// A CA, and a directory for what it signs.
struct Authority {
    directory: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = named(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        std::fs::write(directory.path().join("ca.pem"), pem).unwrap();
        Self { directory, issuer: Issuer::new(params, key) }
    }

    /// The certificate of the CA.
    fn ca(&self) -> String {
        self.path("ca.pem")
    }

    /// A certificate and its key in one file.
    fn sign(&self, file: &str, params: &CertificateParams) -> String {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        self.write(file, certificate.pem() + &key.serialize_pem())
    }

    /// A file that its owner alone can read.
    fn write(&self, file: &str, pem: String) -> String {
        let path = self.path(file);
        std::fs::write(&path, pem).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn path(&self, file: &str) -> String {
        self.directory.path().join(file).to_str().unwrap().to_owned()
    }
}

fn named(name: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// A certificate that stands for nobody but itself.
fn self_signed(authority: &Authority) -> String {
    let key = KeyPair::generate().unwrap();
    let certificate = named("lonely", &["127.0.0.1"]).self_signed(&key).unwrap();
    authority.write("self-signed.pem", certificate.pem() + &key.serialize_pem())
}

/// A daemon with a TLS listener, and a certificate and its key in this file.
async fn serve(identity: &str, flags: &[&str]) -> Daemon {
    let arguments = [&["--cert", identity, "--key", identity], flags].concat();
    Daemon::start_at("tls://127.0.0.1:0", &arguments).await
}

async fn load(to: &str, flags: &[&str]) -> Ended {
    let mut load = program("volley-load");
    load.args(["run", "-q", "-n", "10", "-c", "1", "--timeout", "30s", "--to", to]).args(flags);
    run(&mut load, b"").await
}

/// A frame is echoed, a load comes back whole over connections that go on with each other's
/// sessions, and daemon and clients have counted the same.
async fn all_is_well(daemon: Daemon, flags: &[&str]) {
    let to = daemon.endpoint.clone();
    let ended = send(&to, &[flags, &["hello"]].concat(), b"").await;
    assert_eq!(ended.printed(), "hello\n");
    let mut sent = 1;
    for load in ["-n 2k -p 8 -s 0..2000 --reply ack", "-n 1k -r 5k --frames-per-connection 50"] {
        let load: Vec<_> = ["-c", "4"].into_iter().chain(load.split(' ')).collect();
        sent += Load::whole(&to, &[&load[..], flags].concat()).await;
    }
    all_answered(&daemon.books().await, "frames", sent);
}

#[tokio::test]
async fn the_certificate_that_volleyd_makes_is_enough_to_begin_with() {
    let directory = tempfile::tempdir().unwrap();
    let path = |file: &str| directory.path().join(file).to_str().unwrap().to_owned();
    let made = run(program("volleyd").arg("--dev-cert").arg(directory.path()), b"").await;
    assert_eq!(made.code, Some(0), "{made:?}");
    let (cert, key) = (path("cert.pem"), path("key.pem"));
    let flags = ["--cert", &cert, "--key", &key];
    let daemon = Daemon::start_at("tls://127.0.0.1:0", &flags).await;
    all_is_well(daemon, &["--ca", &path("ca.pem")]).await;
}

#[tokio::test]
async fn clients_are_who_their_certificates_say() {
    let (servers, clients) = (Authority::new("of servers"), Authority::new("of clients"));
    let server = servers.sign("server.pem", &named("server", &["127.0.0.1"]));
    let client = clients.sign("client.pem", &named("client", &[]));
    let daemon = serve(&server, &["--client-ca", &clients.ca()]).await;
    let flags = ["--ca", &servers.ca(), "--cert", &client, "--key", &client];
    all_is_well(daemon, &flags).await;
}

/// What both clients and the daemon tell of a connection that does not come about.
struct Told<'a> {
    code: i32,
    /// To whoever runs the client. `TARGET` stands for the endpoint.
    client: &'a str,
    /// In the daemon's log.
    daemon: &'a str,
}

async fn tell(daemon: Daemon, scheme: &str, flags: &[&str], told: Told<'_>) {
    let (_, address) = daemon.endpoint.split_once("://").unwrap();
    let to = format!("{scheme}://{address}");
    let client = told.client.replace("TARGET", &to);
    let ended = [
        ("volley", send(&to, &[flags, &["hello"]].concat(), b"").await),
        ("volley-load", load(&to, flags).await),
    ];
    for (name, ended) in ended {
        assert_eq!((ended.code, &ended.stdout[..]), (Some(told.code), &b""[..]), "{ended:?}");
        // On a busy machine any connection may take so long that this is told before.
        assert!(ended.stderr.ends_with(&format!("{name}: {client}\n")), "{ended:?}");
    }
    let log = daemon.log().await;
    let told = format!(" cause=\"{}\" ", told.daemon);
    assert_eq!(log.matches(&told).count(), 2, "not twice{told}: {log}");
}

#[tokio::test]
async fn what_is_wrong_with_the_servers_certificate_is_told_at_both_ends() {
    let (ours, theirs) = (Authority::new("our CA"), Authority::new("their CA"));
    let mut expired = named("server", &["127.0.0.1"]);
    (expired.not_before, expired.not_after) =
        (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1));
    let cases = [
        (
            ours.sign("expired.pem", &expired),
            "the server's certificate expired on 2002-01-01T00:00:00Z (to take it all the same \
             give --insecure)",
            "our certificate has expired by its clock (certificate_expired)",
        ),
        (
            self_signed(&ours),
            "the server's certificate is self-signed: CN=lonely (give --ca FILE, or --insecure)",
            "it does not trust who signed our certificate (unknown_ca)",
        ),
        (
            ours.sign("other.pem", &named("server", &["volley.test"])),
            "the server's certificate is not for 127.0.0.1, but for volley.test (give \
             --server-name)",
            "it takes our certificate for bad, perhaps because of its name (bad_certificate)",
        ),
        (
            theirs.sign("theirs.pem", &named("server", &["127.0.0.1"])),
            "the server's certificate is from a CA that is not trusted: CN=their CA (give --ca \
             FILE, or --insecure)",
            "it does not trust who signed our certificate (unknown_ca)",
        ),
    ];
    for (identity, client, daemon) in cases {
        let told = Told {
            code: 69,
            client: &format!("cannot speak TLS with TARGET: {client}"),
            daemon: &format!("the client ended the handshake: {daemon}"),
        };
        tell(serve(&identity, &[]).await, "tls", &["--ca", &ours.ca()], told).await;
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_clients_certificate_is_told_at_both_ends() {
    let (ours, theirs) = (Authority::new("our CA"), Authority::new("their CA"));
    let server = ours.sign("server.pem", &named("server", &["127.0.0.1"]));
    let stranger = theirs.sign("stranger.pem", &named("stranger", &[]));
    let ca = ours.ca();
    let none = Told {
        code: 69,
        client: "cannot speak TLS with TARGET: the server wants a client certificate (give --cert \
                 and --key)",
        daemon: "the client showed no certificate, and has to",
    };
    tell(serve(&server, &["--client-ca", &ca]).await, "tls", &["--ca", &ca], none).await;
    let unknown = Told {
        code: 69,
        client: "cannot speak TLS with TARGET: the server refused: unknown ca (it does not take \
                 --cert)",
        daemon: "the client's certificate is of an authority that is not trusted here",
    };
    let flags = ["--ca", &ca, "--cert", &stranger];
    tell(serve(&server, &["--client-ca", &ca]).await, "tls", &flags, unknown).await;
}

#[tokio::test]
async fn whoever_speaks_tls_to_one_that_does_not_is_told_at_both_ends() {
    let authority = Authority::new("a CA");
    let server = authority.sign("server.pem", &named("server", &["127.0.0.1"]));
    let plaintext = Told {
        code: 76,
        client: "refused by the server after 0 frames: protocol: this listener speaks TLS, and \
                 this is a frame (use tls://)",
        daemon: "this listener speaks TLS, and this is a frame",
    };
    tell(serve(&server, &[]).await, "tcp", &[], plaintext).await;
    let tls = Told {
        code: 76,
        client: "cannot speak TLS with TARGET: the server does not speak TLS there: it sent an \
                 ERROR of volleyd's: this looks like TLS, not a framed client (use tcp://)",
        daemon: "this looks like TLS, not a framed client",
    };
    tell(Daemon::start(&[]).await, "tls", &["--ca", &authority.ca()], tls).await;
}
