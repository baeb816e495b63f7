//! Servers that speak TLS, with certificates that are made for a test.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd,
};
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use volley_proto::{Endpoint, ReplyKind};

use crate::scripted::{Peer, within};

/// A CA, and a directory for what it hands out.
pub(crate) struct Authority {
    pub(crate) directory: TempDir,
    issuer: Issuer<'static, KeyPair>,
    certificate: Certificate,
}

/// A certificate with its key.
pub(crate) struct Identity {
    certificate: Certificate,
    key: KeyPair,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = named(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let directory = tempfile::tempdir().unwrap();
        Self { directory, issuer: Issuer::new(params, key), certificate }
    }

    /// A certificate for these names.
    pub(crate) fn issue(&self, names: &[&str]) -> Identity {
        self.sign(named("server", names))
    }

    /// A certificate from one year to another.
    pub(crate) fn issue_for_years(&self, names: &[&str], from: i32, to: i32) -> Identity {
        let mut params = named("server", names);
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        Identity { certificate: params.signed_by(&key, &self.issuer).unwrap(), key }
    }

    /// The file of the CA's certificate.
    pub(crate) fn file(&self) -> PathBuf {
        self.write("ca.pem", &self.certificate.pem())
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).unwrap();
        roots
    }
}

impl Identity {
    /// A certificate that nobody else has signed; `is_ca` as those that openssl makes.
    pub(crate) fn self_signed(names: &[&str], is_ca: bool) -> Self {
        let mut params = named("lonely", names);
        if is_ca {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        let key = KeyPair::generate().unwrap();
        Self { certificate: params.self_signed(&key).unwrap(), key }
    }

    pub(crate) fn cert_pem(&self) -> String {
        self.certificate.pem()
    }

    pub(crate) fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// Files of certificate and key in a directory.
    pub(crate) fn files(&self, directory: &Path) -> (PathBuf, PathBuf) {
        let (cert, key) = (directory.join("cert.pem"), directory.join("key.pem"));
        std::fs::write(&cert, self.cert_pem()).unwrap();
        std::fs::write(&key, self.key_pem()).unwrap();
        (cert, key)
    }
}

fn named(name: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// How a server speaks TLS.
pub(crate) struct Server {
    pub(crate) identity: Identity,
    pub(crate) versions: &'static [&'static SupportedProtocolVersion],
    /// Who must have signed the certificates of clients.
    pub(crate) clients_of: Option<RootCertStore>,
    pub(crate) alpn: Vec<Vec<u8>>,
}

impl Server {
    pub(crate) fn new(identity: Identity) -> Self {
        let alpn = vec![b"volley/1".to_vec()];
        Self { identity, versions: rustls::ALL_VERSIONS, clients_of: None, alpn }
    }

    pub(crate) fn demanding(self, authority: &Authority) -> Self {
        Self { clients_of: Some(authority.roots()), ..self }
    }

    pub(crate) fn acceptor(self) -> TlsAcceptor {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_protocol_versions(self.versions).unwrap();
        let builder = match self.clients_of {
            Some(roots) => builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .build()
                    .unwrap(),
            ),
            None => builder.with_no_client_auth(),
        };
        let key = PrivateKeyDer::try_from(self.identity.key.serialize_der()).unwrap();
        let chain = vec![self.identity.certificate.der().clone()];
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = self.alpn;
        Arc::new(config).into()
    }
}

/// A listener, and its endpoint as one of TLS.
pub(crate) async fn listen() -> (TcpListener, Endpoint) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, Endpoint::Tls(address.into()))
}

/// The next connection, if TLS comes about.
pub(crate) async fn accept(
    listener: &TcpListener,
    acceptor: &TlsAcceptor,
) -> io::Result<Peer<TlsStream<TcpStream>>> {
    let (tcp, _) = listener.accept().await?;
    acceptor.accept(tcp).await.map(Peer::over)
}

/// Serves every connection: greets it and echoes until it closes.
pub(crate) async fn serve_all(listener: &TcpListener, acceptor: &TlsAcceptor) {
    loop {
        if let Ok(mut peer) = accept(listener, acceptor).await {
            peer.greet(ReplyKind::Echo).await;
            peer.echo_all().await;
        }
    }
}

/// Lets a server serve every connection while `client` is given its endpoint.
pub(crate) async fn play<T>(acceptor: TlsAcceptor, client: impl AsyncFnOnce(Endpoint) -> T) -> T {
    let (listener, endpoint) = listen().await;
    within(async {
        tokio::select! {
            () = serve_all(&listener, &acceptor) => unreachable!(),
            outcome = client(endpoint) => outcome,
        }
    })
    .await
}
