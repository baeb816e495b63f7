//! How the daemon gets through its own TLS listeners: it takes the very certificate that they show,
//! whoever has signed it and whether or not it has expired, and shows one that they know.

use std::fmt;
use std::io;
use std::sync::Arc;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use volley_server::LiveTls;

/// A certificate of this process, which nobody else has: it is made at the start and never written
/// anywhere. Clones are the same.
#[derive(Clone)]
pub(crate) struct Own {
    inner: Arc<(CertificateDer<'static>, PrivatePkcs8KeyDer<'static>)>,
}

impl Own {
    /// Another one each time.
    ///
    /// # Errors
    ///
    /// When the system has no random numbers.
    pub(crate) fn new() -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new([super::NAME.to_owned()])?;
        // The log names the client by it.
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, super::NAME);
        let certificate = params.self_signed(&key)?;
        let inner = (certificate.der().clone(), key.serialize_der().into());
        Ok(Self { inner: Arc::new(inner) })
    }

    /// In DER.
    pub(crate) fn certificate(&self) -> &[u8] {
        &self.inner.0
    }
}

impl fmt::Debug for Own {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Own").finish_non_exhaustive()
    }
}

/// Shakes hands with a listener that is as `live` has it.
pub(super) async fn shake_hands(
    stream: TcpStream,
    live: &LiveTls,
    own: &Own,
) -> io::Result<TlsStream<TcpStream>> {
    let config = client(live, own).map_err(io::Error::other)?;
    // The name is of no account: the certificate itself is compared.
    let name = ServerName::try_from(super::NAME).map_err(io::Error::other)?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// Whether the listener has said that it can take nobody more: the alert stands for an ERROR.
pub(super) fn is_busy(error: &io::Error) -> bool {
    let error = error.get_ref().and_then(|error| error.downcast_ref::<Error>());
    matches!(error, Some(Error::AlertReceived(AlertDescription::InternalError)))
}

fn client(live: &LiveTls, own: &Own) -> Result<ClientConfig, Error> {
    let provider = default_provider();
    let verifier = Exactly {
        expected: live.config().certificate().to_vec().into(),
        algorithms: provider.signature_verification_algorithms,
    };
    let (certificate, key) = &*own.inner;
    ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_auth_cert(vec![certificate.clone()], key.clone_key().into())
}

/// Takes one certificate, and no other.
#[derive(Debug)]
struct Exactly {
    expected: CertificateDer<'static>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Exactly {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *end_entity == self.expected {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
