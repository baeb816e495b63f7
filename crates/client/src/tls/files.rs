//! Certificates and keys from files, and what can be wrong with them.

use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustls::InconsistentKeys;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Why there is no [`Tls`](crate::Tls).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsSetupError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file holds none of what is looked for, or something broken.
    #[error("{} holds no {wanted} in PEM: {why}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// `certificate` or `private key`.
        wanted: &'static str,
        /// What is wrong.
        why: &'static str,
    },
    /// The key is encrypted.
    #[error("the private key in {} is encrypted", path.display())]
    Encrypted {
        /// The file.
        path: PathBuf,
    },
    /// The key is not the certificate's.
    #[error("the certificate in {} is not for the key in {}", cert.display(), key.display())]
    Mismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The certificate or its key cannot be used.
    #[error("the certificate in {} and the key in {} cannot be used: {source}", cert.display(), key.display())]
    Identity {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What the TLS library said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// What the server is to be called is neither a DNS name nor an IP address.
    #[error("`{name}` is neither a DNS name nor an IP address")]
    ServerName {
        /// What was given.
        name: String,
    },
    /// The TLS library does not do what is asked of it.
    #[error("cannot set up TLS: {0}")]
    Other(Box<dyn Error + Send + Sync>),
}

impl TlsSetupError {
    pub(super) fn other(error: rustls::Error) -> Self {
        Self::Other(error.into())
    }

    /// Why a certificate and its key cannot stand for the client.
    pub(super) fn identity(error: rustls::Error, cert: &Path, key: &Path) -> Self {
        let (cert, key) = (cert.to_owned(), key.to_owned());
        match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                Self::Mismatch { cert, key }
            }
            error => Self::Identity { cert, key, source: error.into() },
        }
    }
}

/// Why a file is of no use that has the right beginning. What the parser says is not for people.
const DAMAGED: &str = "it is damaged";

/// All certificates of a file; at least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsSetupError> {
    let text = read(path)?;
    let wrong = |why| TlsSetupError::Pem { path: path.into(), wanted: "certificate", why };
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let certificates = certificates.map_err(|_| wrong(DAMAGED))?;
    if certificates.is_empty() {
        return Err(wrong("no BEGIN CERTIFICATE in it"));
    }
    Ok(certificates)
}

/// The first private key of a file.
pub(super) fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsSetupError> {
    use rustls::pki_types::pem::Error;
    let text = read(path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        let why = match error {
            Error::NoItemsFound if is_encrypted(&text) => {
                return TlsSetupError::Encrypted { path: path.into() };
            }
            Error::NoItemsFound => "no BEGIN PRIVATE KEY in it",
            _ => DAMAGED,
        };
        TlsSetupError::Pem { path: path.into(), wanted: "private key", why }
    })
}

fn is_encrypted(text: &[u8]) -> bool {
    const MARK: &[u8] = b"BEGIN ENCRYPTED PRIVATE KEY";
    text.windows(MARK.len()).any(|window| window == MARK)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsSetupError> {
    fs::read(path).map_err(|source| TlsSetupError::Read { path: path.into(), source })
}
