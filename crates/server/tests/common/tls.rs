//! Certificates, made for a test and forgotten with it, and a client that speaks TLS.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    date_time_ymd,
};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned,
    SupportedProtocolVersion,
};

use super::{LIMIT, Received, data, same_bytes};

/// Somebody who signs certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// Tells one from another.
static NEXT: AtomicU32 = AtomicU32::new(1);

/// A certificate and its key, in PEM.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Identity {
    /// As `cert.pem` and `key.pem`, which only the owner can read.
    pub(crate) fn write_to(&self, directory: &Path) {
        let key = directory.join("key.pem");
        fs::write(directory.join("cert.pem"), &self.cert).unwrap();
        fs::write(&key, &self.key).unwrap();
        fs::set_permissions(key, Permissions::from_mode(0o600)).unwrap();
    }
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Two of the same name would be taken for one that signs wrongly.
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        params.distinguished_name.push(DnType::CommonName, format!("authority {number}"));
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// For `localhost` and 127.0.0.1, valid today.
    pub(crate) fn issue(&self) -> Identity {
        self.issue_for(&["localhost", "127.0.0.1"], (2000, 4000))
    }

    /// For these names, from the first day of one year to that of another.
    pub(crate) fn issue_for(&self, names: &[&str], (from, to): (i32, i32)) -> Identity {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        (params.not_before, params.not_after) =
            (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
        self.sign(&params)
    }

    /// For a client with this common name.
    pub(crate) fn issue_to(&self, name: &str) -> Identity {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.0).unwrap();
        Identity { cert: cert.pem(), key: key.serialize_pem() }
    }
}

/// How a client shakes hands; what it remembers of earlier sessions is in it.
#[derive(Clone, Debug)]
pub(crate) struct TlsClient(ClientConfig);

impl TlsClient {
    /// Trusts `authority`, shows no certificate and speaks `volley/1`.
    pub(crate) fn trusting(authority: &Authority) -> Self {
        Self::build(authority, None, rustls::DEFAULT_VERSIONS)
    }

    pub(crate) fn showing(authority: &Authority, identity: &Identity) -> Self {
        Self::build(authority, Some(identity), rustls::DEFAULT_VERSIONS)
    }

    /// Trusts whoever has this certificate, and shows `identity`, if there is one.
    pub(crate) fn trusting_root(
        root: CertificateDer<'static>,
        identity: Option<&Identity>,
    ) -> Self {
        Self::build_on(root, identity, rustls::DEFAULT_VERSIONS)
    }

    pub(crate) fn build(
        authority: &Authority,
        identity: Option<&Identity>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        let root = CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap();
        Self::build_on(root, identity, versions)
    }

    fn build_on(
        root: CertificateDer<'static>,
        identity: Option<&Identity>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(root).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(Identity { cert, key }) => {
                let chain = vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                let key = default_provider().key_provider.load_private_key(key).unwrap();
                // Whether the two belong together is for the server to find out.
                let shown = SingleCertAndKey::from(CertifiedKey::new(chain, key));
                builder.with_client_cert_resolver(Arc::new(shown))
            }
        };
        config.alpn_protocols = vec![b"volley/1".to_vec()];
        Self(config)
    }

    pub(crate) fn with_alpn(mut self, protocols: &[&str]) -> Self {
        self.0.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        self
    }

    pub(crate) fn connect(&self, address: SocketAddr) -> TlsPeer {
        self.connect_on(TcpStream::connect_timeout(&address, LIMIT).unwrap())
    }

    /// On a connection on which something may have been said already.
    pub(crate) fn connect_on(&self, stream: TcpStream) -> TlsPeer {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_write_timeout(Some(LIMIT)).unwrap();
        let name = "localhost".try_into().unwrap();
        let session = ClientConnection::new(Arc::new(self.0.clone()), name).unwrap();
        TlsPeer(StreamOwned::new(session, stream))
    }

    /// The error that a whole handshake, and a read after it, end with.
    #[track_caller]
    pub(crate) fn fails(&self, address: SocketAddr) -> String {
        let mut peer = self.connect(address);
        let error = peer.handshake().and_then(|()| peer.0.read(&mut [0]).map(drop));
        error.expect_err("the connection is refused").to_string()
    }
}

/// The client's end of a connection.
#[derive(Debug)]
pub(crate) struct TlsPeer(pub(crate) StreamOwned<ClientConnection, TcpStream>);

impl TlsPeer {
    pub(crate) fn handshake(&mut self) -> io::Result<()> {
        while self.0.conn.is_handshaking() {
            self.0.conn.complete_io(&mut self.0.sock)?;
        }
        Ok(())
    }

    pub(crate) fn is_resumed(&self) -> bool {
        self.0.conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).unwrap();
        self.0.flush().unwrap();
    }

    #[track_caller]
    pub(crate) fn expect(&mut self, expected: impl AsRef<[u8]>) {
        let mut found = vec![0; expected.as_ref().len()];
        self.0.read_exact(&mut found).unwrap();
        same_bytes(&found, expected.as_ref());
    }

    #[track_caller]
    pub(crate) fn echoes(&mut self, payload: &[u8]) {
        self.send(data(payload));
        self.expect(data(payload));
    }

    #[track_caller]
    pub(crate) fn frame(&mut self) -> Received {
        Received::read(|len| {
            let mut bytes = vec![0; len];
            self.0.read_exact(&mut bytes).unwrap();
            bytes
        })
    }

    /// Says that no more will come.
    pub(crate) fn half_close(&mut self) {
        self.0.conn.send_close_notify();
        self.0.flush().unwrap();
    }

    /// The stream must end here, and be said to.
    #[track_caller]
    pub(crate) fn expect_end(&mut self) {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).expect("close_notify precedes the end");
        assert!(rest.is_empty(), "{} more bytes", rest.len());
    }

    /// Closes, and waits until the server has.
    #[track_caller]
    pub(crate) fn leave(mut self) {
        self.half_close();
        self.expect_end();
    }

    /// Whether the connection was cut.
    pub(crate) fn is_cut(&mut self) -> bool {
        let read = self.0.read(&mut [0]);
        read.is_err_and(|error| error.kind() != ErrorKind::WouldBlock)
    }
}
