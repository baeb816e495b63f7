//! Whose clients are served, where they have to show a certificate.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};

use super::config::{TlsConfigError, TlsInput, read_certificates};

/// The certificates that clients may show.
#[derive(Clone, Copy, Debug)]
pub struct TlsClients<'a> {
    /// Those who sign them, in PEM.
    pub ca: &'a [u8],
    /// One more, in DER, that is taken as it is, whoever has signed it: this process's own, with
    /// which it looks whether the listener answers.
    pub own: Option<&'a [u8]>,
}

impl<'a> TlsClients<'a> {
    /// Those whose certificates are signed by one of `ca`.
    pub const fn signed_by(ca: &'a [u8]) -> Self {
        Self { ca, own: None }
    }

    pub(super) fn verifier(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, TlsConfigError> {
        let input = TlsInput::ClientCa;
        let mut roots = RootCertStore::empty();
        for (index, certificate) in read_certificates(self.ca, input)?.into_iter().enumerate() {
            roots.add(certificate).map_err(|error| TlsConfigError::BadCertificate {
                input,
                number: index + 1,
                why: error.to_string(),
            })?;
        }
        let signed =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
                .build()
                .map_err(|error| match error {
                    VerifierBuilderError::NoRootAnchors => TlsConfigError::NoCertificate(input),
                    other => TlsConfigError::Library(Error::General(other.to_string())),
                })?;
        Ok(match self.own {
            Some(own) => Arc::new(OrOwn { signed, own: own.to_vec().into() }),
            None => signed,
        })
    }
}

/// Takes one certificate as it is, and others if they are signed.
#[derive(Debug)]
struct OrOwn {
    signed: Arc<dyn ClientCertVerifier>,
    own: CertificateDer<'static>,
}

impl ClientCertVerifier for OrOwn {
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        // That the client has its key is verified below, as for all others.
        if *end_entity == self.own {
            return Ok(ClientCertVerified::assertion());
        }
        self.signed.verify_client_cert(end_entity, intermediates, now)
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.signed.root_hint_subjects()
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signed.supported_verify_schemes()
    }
}
