//! From PEM to what a listener shows and asks for. Which files it comes from is left to others.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{Ticketer, default_provider};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{Error, InconsistentKeys, ServerConfig};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::time::Time;

use super::{ALPN, TlsClients};

/// A certificate, its key, and whose clients are served.
#[derive(Clone)]
pub struct TlsConfig {
    server: Arc<ServerConfig>,
    certificates: Vec<CertificateDer<'static>>,
    not_before: SystemTime,
    not_after: SystemTime,
}

impl TlsConfig {
    /// From texts in PEM: the certificate with those that sign it behind it, and its key. With
    /// `clients` each client must show a certificate; without, none is asked for.
    ///
    /// TLS 1.3 and 1.2 are spoken, with the ciphers that rustls takes for safe. Sessions are
    /// resumed by tickets that only this very configuration can read.
    ///
    /// # Errors
    ///
    /// [`TlsConfigError`] says which of the three is bad, and why. A certificate that has expired
    /// is not: see [`not_after`](Self::not_after).
    pub fn from_pem(
        certificates: &[u8],
        key: &[u8],
        clients: Option<TlsClients<'_>>,
    ) -> Result<Self, TlsConfigError> {
        let provider = Arc::new(default_provider());
        let certificates = read_certificates(certificates, TlsInput::Certificate)?;
        let key = read_key(key)?;
        let (not_before, not_after) = validity(&certificates[0])?;
        let certified = certify(&certificates, key, &provider)?;
        let verifier = clients.map(|clients| clients.verifier(&provider)).transpose()?;
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsConfigError::Library)?;
        let builder = match verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let resolver = SingleCertAndKey::from(certified);
        let mut server = builder.with_cert_resolver(Arc::new(resolver));
        server.alpn_protocols = vec![ALPN.to_vec()];
        server.ticketer = Ticketer::new().map_err(TlsConfigError::Library)?;
        Ok(Self { server: Arc::new(server), certificates, not_before, not_after })
    }

    /// From when on the certificate is valid.
    pub const fn not_before(&self) -> SystemTime {
        self.not_before
    }

    /// Until when it is. Later ones are served all the same: whether a client takes it is for the
    /// client to say, and one that does not look is none the worse for it.
    pub const fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// The certificate itself, in DER.
    pub fn certificate(&self) -> &[u8] {
        // There is one, or it could not have been made.
        self.certificates.first().map_or(&[], |certificate| certificate)
    }

    pub(super) fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }
}

impl fmt::Debug for TlsConfig {
    /// Without keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConfig")
            .field("certificates", &self.certificates.len())
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// One of the texts that a [`TlsConfig`] is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsInput {
    /// The certificate and those that sign it.
    Certificate,
    /// The certificate's key.
    Key,
    /// Who signs the certificates of clients.
    ClientCa,
}

/// Why a text can't be used for TLS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsConfigError {
    /// It is no PEM.
    #[error("it is no PEM: {source}")]
    Pem {
        /// Which text.
        input: TlsInput,
        /// What is wrong with it.
        #[source]
        source: pem::Error,
    },
    /// There is no `BEGIN CERTIFICATE` in it.
    #[error("there is no certificate in it")]
    NoCertificate(TlsInput),
    /// What stands there is none.
    #[error("certificate {number} in it is bad: {why}")]
    BadCertificate {
        /// Which text.
        input: TlsInput,
        /// Which of its certificates, from 1.
        number: usize,
        /// What is wrong with it.
        why: String,
    },
    /// There is no `BEGIN PRIVATE KEY`, nor that of another kind of key, in it.
    #[error("there is no private key in it")]
    NoKey,
    /// It can be read with a passphrase only.
    #[error("the key in it is encrypted: write it without a passphrase")]
    EncryptedKey,
    /// A kind of key that is not known, or none at all.
    #[error("the key in it can't be used: {0}")]
    BadKey(#[source] Error),
    /// It is the key of another certificate.
    #[error("the key in it is not that of the certificate")]
    KeyMismatch,
    /// Something that is no text's fault.
    #[error("TLS can't be set up: {0}")]
    Library(#[source] Error),
}

impl TlsConfigError {
    /// Which text is at fault, if one is.
    pub const fn input(&self) -> Option<TlsInput> {
        match self {
            Self::Pem { input, .. }
            | Self::NoCertificate(input)
            | Self::BadCertificate { input, .. } => Some(*input),
            Self::NoKey | Self::EncryptedKey | Self::BadKey(_) | Self::KeyMismatch => {
                Some(TlsInput::Key)
            }
            Self::Library(_) => None,
        }
    }
}

/// One at least.
pub(super) fn read_certificates(
    pem: &[u8],
    input: TlsInput,
) -> Result<Vec<CertificateDer<'static>>, TlsConfigError> {
    let certificates = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| TlsConfigError::Pem { input, source })?;
    if certificates.is_empty() {
        return Err(TlsConfigError::NoCertificate(input));
    }
    Ok(certificates)
}

fn read_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsConfigError> {
    const ENCRYPTED: &[u8] = b"BEGIN ENCRYPTED PRIVATE KEY";
    match PrivateKeyDer::from_pem_slice(pem) {
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound) if pem.windows(ENCRYPTED.len()).any(|at| at == ENCRYPTED) => {
            Err(TlsConfigError::EncryptedKey)
        }
        Err(pem::Error::NoItemsFound) => Err(TlsConfigError::NoKey),
        Err(source) => Err(TlsConfigError::Pem { input: TlsInput::Key, source }),
    }
}

fn validity(certificate: &[u8]) -> Result<(SystemTime, SystemTime), TlsConfigError> {
    let certificate = Certificate::from_der(certificate).map_err(|error| {
        let why = error.to_string();
        TlsConfigError::BadCertificate { input: TlsInput::Certificate, number: 1, why }
    })?;
    let validity = certificate.tbs_certificate().validity();
    let instant = |time: Time| UNIX_EPOCH + time.to_unix_duration();
    Ok((instant(validity.not_before), instant(validity.not_after)))
}

/// The certificate with its key, which must be its own.
fn certify(
    certificates: &[CertificateDer<'static>],
    key: PrivateKeyDer<'static>,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsConfigError> {
    let key = provider.key_provider.load_private_key(key).map_err(TlsConfigError::BadKey)?;
    let certified = CertifiedKey::new(certificates.to_vec(), key);
    match certified.keys_match() {
        // Of a key that does not tell, the handshakes will.
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(Error::InconsistentKeys(_)) => Err(TlsConfigError::KeyMismatch),
        Err(error) => Err(TlsConfigError::BadCertificate {
            input: TlsInput::Certificate,
            number: 1,
            why: error.to_string(),
        }),
    }
}
