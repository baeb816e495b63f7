//! TLS: what is measured of it, and what is told when it does not come about.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use volley_client::Framing;
use volley_load::embedded::Embedded;
use volley_proto::{Endpoint, MaxFrame};

use crate::{ledger, line, load, refused, run};

/// A server that speaks TLS, in front of one that does not. It ends with the value.
struct Secured {
    endpoint: Endpoint,
    directory: TempDir,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Secured {
    fn start() -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ca.pem"), cert.pem()).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let endpoint = Endpoint::Tls(listener.local_addr().unwrap().into());
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let plain = Embedded::start(1, MaxFrame::CEILING, Framing::Frames).unwrap();
            let Endpoint::Tcp(behind) = plain.endpoint() else { unreachable!() };
            let behind = behind.to_string();
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    () = serve(&listener, &acceptor, &behind) => {}
                    _ = stopped => {}
                }
            });
            plain.stop();
        });
        Self { endpoint, directory, stop: Some(stop), thread: Some(thread) }
    }

    fn ca(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }
}

impl Drop for Secured {
    fn drop(&mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}

async fn serve(listener: &TcpListener, acceptor: &TlsAcceptor, behind: &str) {
    while let Ok((client, _)) = listener.accept().await {
        let (acceptor, behind) = (acceptor.clone(), behind.to_owned());
        tokio::spawn(async move {
            let Ok(mut client) = acceptor.accept(client).await else { return };
            let mut server = TcpStream::connect(behind).await.unwrap();
            // However it ends, the client has to say what came of it.
            let _ = copy_bidirectional(&mut client, &mut server).await;
        });
    }
}

#[test]
fn handshakes_are_measured_apart_from_connecting_and_sessions_are_resumed() {
    let server = Secured::start();
    let (to, ca) = (&server.endpoint, server.ca());
    let json = server.directory.path().join("report.json");
    let ended = run(load(&format!(
        "--to {to} --ca {} -c 2 -n 400 --frames-per-connection 10 --fail-if handshake.max>60s --json {}",
        ca.display(),
        json.display()
    )));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{}", ended.stdout);
    assert_eq!(ledger(&ended), (400, vec![("ok".to_owned(), 400)]));
    assert!(line(&ended, "handshake").contains('s'));

    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    let (connects, handshakes) = (&report["run"]["connect"], &report["run"]["handshake"]);
    assert_eq!(connects["count"], handshakes["count"]);
    let handshakes = handshakes["count"].as_u64().unwrap();
    assert!(handshakes >= 40, "{handshakes}");
    // Each connection leaves tickets for the next one; two began without.
    let resumed = report["connections"]["resumed"].as_u64().unwrap();
    assert!((1..handshakes).contains(&resumed), "{resumed} of {handshakes}");
    let told = line(&ended, "resumed");
    assert_eq!(told, format!("{resumed} of {handshakes} TLS handshakes"));
}

#[test]
fn frames_longer_than_any_buffer_come_back_over_tls() {
    let server = Secured::start();
    let (to, ca) = (&server.endpoint, server.ca());
    let ended = run(load(&format!(
        "--to {to} --ca {} -c 3 -p 4 -s 3MiB -n 40 --timeout 50s",
        ca.display()
    )));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ledger(&ended), (40, vec![("ok".to_owned(), 40)]));
}

#[test]
fn without_tls_nothing_is_said_of_it() {
    let ended = run(load("-n 100"));
    assert!(!ended.stdout.contains("handshake"), "{}", ended.stdout);
}

#[test]
fn a_server_that_is_not_trusted_is_told_with_what_to_do() {
    let server = Secured::start();
    let to = &server.endpoint;
    let ended = run(load(&format!("--to {to} -n 100")));
    let why = format!("cannot speak TLS with {to}: the server's certificate is self-signed: ");
    let told = refused(&ended, 69);
    assert!(told.starts_with(&why) && told.ends_with("(give --ca FILE, or --insecure)"), "{told}");

    let ended = run(load(&format!("--to {to} -n 100 --insecure")));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.stderr.matches("--insecure takes any certificate").count(), 1, "{ended:?}");
}

#[test]
fn flags_for_tls_without_it_are_wrong_usage() {
    let ended = run(load("-n 1 --insecure"));
    let told = "--insecure is for tls:// endpoints, and there is none";
    assert_eq!(refused(&ended, 2), told);
}
