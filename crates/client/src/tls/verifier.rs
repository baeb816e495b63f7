//! Whether the server is the one that was meant. The checks are webpki's; what is added is what a
//! person wants to know when they fail.

use std::cell::Cell;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// Checks the certificates of servers.
#[derive(Debug)]
pub(super) struct Verifier {
    trust: Trust,
    algorithms: WebPkiSupportedAlgorithms,
}

#[derive(Debug)]
enum Trust {
    Anything,
    /// What these CAs have signed, if there are any, and these very certificates.
    Some {
        roots: Option<Arc<WebPkiServerVerifier>>,
        pinned: Vec<CertificateDer<'static>>,
    },
}

/// A certificate that nobody who is trusted has signed: what rustls's `UnknownIssuer` does not say.
#[derive(Debug)]
pub(super) enum Untrusted {
    /// It has signed itself.
    SelfSigned { subject: String },
    /// A CA that is not trusted has signed it.
    Issuer { issuer: String },
}

thread_local! {
    /// What there is to say of the last certificate that was not taken on this thread, if it is not
    /// trusted. An error with room for it would tell the server something else than that its CA is
    /// unknown; and a handshake ends in the same poll in which its certificate is not taken.
    static UNTRUSTED: Cell<Option<Untrusted>> = const { Cell::new(None) };
}

impl Untrusted {
    /// What there is to say of a certificate, right after a handshake has ended with this error.
    pub(super) fn behind(error: &Error) -> Option<Self> {
        match error {
            Error::InvalidCertificate(CertificateError::UnknownIssuer) => UNTRUSTED.take(),
            _ => None,
        }
    }
}

impl Verifier {
    /// Trusts everybody.
    pub(super) fn of_anything(provider: &CryptoProvider) -> Self {
        let algorithms = provider.signature_verification_algorithms;
        Self { trust: Trust::Anything, algorithms }
    }

    /// Trusts what `roots` have signed, and `pinned`: a certificate that was made to stand for a
    /// server by itself often says that it is a CA's, which webpki takes from no server.
    pub(super) fn of(
        provider: &Arc<CryptoProvider>,
        roots: Vec<CertificateDer<'static>>,
        pinned: Vec<CertificateDer<'static>>,
    ) -> Self {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(roots);
        let provider = Arc::clone(provider);
        let algorithms = provider.signature_verification_algorithms;
        // Without any root there is none, and then nothing is trusted.
        let roots = WebPkiServerVerifier::builder_with_provider(store.into(), provider);
        Self { trust: Trust::Some { roots: roots.build().ok(), pinned }, algorithms }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Trust::Some { roots, pinned } = &self.trust else {
            return Ok(ServerCertVerified::assertion());
        };
        let verified = match roots {
            _ if pinned.contains(end_entity) => verify_pinned(end_entity, name, now),
            Some(roots) => {
                roots.verify_server_cert(end_entity, intermediates, name, ocsp_response, now)
            }
            None => Err(CertificateError::UnknownIssuer.into()),
        };
        verified.map_err(|error| match error {
            Error::InvalidCertificate(error) => explained(error, end_entity).into(),
            error => error,
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Of a certificate that is trusted by itself its name and its time are left to be checked.
fn verify_pinned(
    certificate: &CertificateDer<'_>,
    name: &ServerName<'_>,
    now: UnixTime,
) -> Result<ServerCertVerified, Error> {
    let parsed = Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)?;
    let validity = parsed.tbs_certificate().validity();
    let (not_before, not_after) = (
        UnixTime::since_unix_epoch(validity.not_before.to_unix_duration()),
        UnixTime::since_unix_epoch(validity.not_after.to_unix_duration()),
    );
    if now < not_before {
        return Err(CertificateError::NotValidYetContext { time: now, not_before }.into());
    }
    if now > not_after {
        return Err(CertificateError::ExpiredContext { time: now, not_after }.into());
    }
    verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
    Ok(ServerCertVerified::assertion())
}

/// The same error with what the certificate says of itself, in it or beside it.
fn explained(error: CertificateError, certificate: &CertificateDer<'_>) -> CertificateError {
    UNTRUSTED.set(None);
    let Ok(certificate) = Certificate::from_der(certificate) else { return error };
    let tbs = certificate.tbs_certificate();
    let (issuer, subject) = (tbs.issuer(), tbs.subject());
    match error {
        CertificateError::NotValidForNameContext { expected, .. } => {
            let presented = names(&certificate);
            CertificateError::NotValidForNameContext { expected, presented }
        }
        // Of one that says that it is a CA's webpki says so and nothing else.
        CertificateError::UnknownIssuer | CertificateError::Other(_) if issuer == subject => {
            UNTRUSTED.set(Some(Untrusted::SelfSigned { subject: subject.to_string() }));
            CertificateError::UnknownIssuer
        }
        CertificateError::UnknownIssuer => {
            UNTRUSTED.set(Some(Untrusted::Issuer { issuer: issuer.to_string() }));
            CertificateError::UnknownIssuer
        }
        error => error,
    }
}

/// The names and addresses that a certificate is for.
fn names(certificate: &Certificate) -> Vec<String> {
    let found = certificate.tbs_certificate().get_extension::<SubjectAltName>();
    let Ok(Some((_, SubjectAltName(names)))) = found else { return Vec::new() };
    names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DnsName(name) => Some(name.to_string()),
            GeneralName::IpAddress(bytes) => address(bytes.as_bytes()),
            _ => None,
        })
        .collect()
}

fn address(bytes: &[u8]) -> Option<String> {
    let address = match bytes.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        _ => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
    };
    Some(address.to_string())
}
