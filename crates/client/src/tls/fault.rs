//! What can go wrong with TLS, told apart.

use std::error::Error;
use std::io;
use std::time::{Duration, SystemTime};

use humantime::format_rfc3339_seconds;
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError};

use super::verifier::Untrusted;

/// Why TLS does not come about with a server, or was ended by it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsFault {
    /// The server's certificate, or one of those behind it, is no longer valid.
    #[error("the server's certificate expired on {}", format_rfc3339_seconds(*not_after))]
    Expired {
        /// Its last second.
        not_after: SystemTime,
    },
    /// The server's certificate, or one of those behind it, is not valid yet.
    #[error("the server's certificate is not valid before {}", format_rfc3339_seconds(*not_before))]
    NotYetValid {
        /// Its first second.
        not_before: SystemTime,
    },
    /// The server's certificate is signed by nobody else, and not known.
    #[error("the server's certificate is self-signed: {subject}")]
    SelfSigned {
        /// Whom it says it is for.
        subject: String,
    },
    /// The server's certificate is signed by somebody who is not trusted.
    #[error("the server's certificate is from a CA that is not trusted: {issuer}")]
    UnknownIssuer {
        /// Who has signed it, as it says.
        issuer: String,
    },
    /// The server's certificate is for somebody else.
    #[error("the server's certificate is not for {wanted}, but for {}", listed(names))]
    WrongName {
        /// The name that it had to have.
        wanted: String,
        /// The names and addresses that it has.
        names: Vec<String>,
    },
    /// Something else is wrong with the server's certificate.
    #[error("the server's certificate is not good: {why}")]
    Certificate {
        /// What the TLS library said.
        why: String,
    },
    /// The server takes no client without a certificate.
    #[error("the server wants a client certificate")]
    CertificateRequired,
    /// The server ended it, and said why: an alert.
    #[error("the server refused: {alert}")]
    Refused {
        /// The alert's name in RFC 8446, 6.2, in words: `unknown ca`.
        alert: String,
        /// Whether it is about the client's certificate.
        of_certificate: bool,
    },
    /// The server does not speak TLS there.
    #[error("the server does not speak TLS there: it sent {sent}")]
    Plaintext {
        /// What it sent, as far as it can be told.
        sent: String,
    },
    /// The server closed in the middle of the handshake.
    #[error("the server closed the connection during the handshake")]
    Closed,
    /// The connection failed in the middle of the handshake.
    #[error("the connection failed during the handshake: {source}")]
    Lost {
        /// What the system said.
        source: io::Error,
    },
    /// Client and server do not understand each other.
    #[error("{0}")]
    Other(Box<dyn Error + Send + Sync>),
}

impl TlsFault {
    /// The fault behind an error of a [`Stream`](crate::Stream), if there is one.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// What an error of an established connection means. A connection that is lost stays what it is.
    pub(super) fn explain(error: io::Error) -> io::Error {
        match error.downcast::<rustls::Error>() {
            Ok(error) => io::Error::new(io::ErrorKind::InvalidData, Self::from(error)),
            Err(error) => error,
        }
    }
}

impl From<rustls::Error> for TlsFault {
    fn from(error: rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(error) => error.into(),
            rustls::Error::AlertReceived(alert) => alert.into(),
            error => Self::Other(error.into()),
        }
    }
}

impl From<CertificateError> for TlsFault {
    fn from(error: CertificateError) -> Self {
        match error {
            CertificateError::ExpiredContext { not_after, .. } => {
                Self::Expired { not_after: at(not_after) }
            }
            CertificateError::NotValidYetContext { not_before, .. } => {
                Self::NotYetValid { not_before: at(not_before) }
            }
            CertificateError::NotValidForNameContext { expected, presented } => {
                Self::WrongName { wanted: expected.to_str().into_owned(), names: presented }
            }
            error => Self::Certificate { why: error.to_string() },
        }
    }
}

impl From<Untrusted> for TlsFault {
    fn from(untrusted: Untrusted) -> Self {
        match untrusted {
            Untrusted::SelfSigned { subject } => Self::SelfSigned { subject },
            Untrusted::Issuer { issuer } => Self::UnknownIssuer { issuer },
        }
    }
}

impl From<AlertDescription> for TlsFault {
    fn from(alert: AlertDescription) -> Self {
        use AlertDescription as Alert;
        let of_certificate = match alert {
            Alert::CertificateRequired => return Self::CertificateRequired,
            Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied => true,
            _ => false,
        };
        Self::Refused { alert: in_words(alert), of_certificate }
    }
}

/// `UnknownCA` as `unknown ca`: the names of RFC 8446 with blanks.
fn in_words(alert: AlertDescription) -> String {
    let mut words = String::new();
    let mut was_lower = false;
    for letter in format!("{alert:?}").chars() {
        if was_lower && letter.is_ascii_uppercase() {
            words.push(' ');
        }
        was_lower = letter.is_ascii_lowercase();
        words.push(letter.to_ascii_lowercase());
    }
    words
}

fn at(time: UnixTime) -> SystemTime {
    // A year 9999 is the latest that is shown.
    const LATEST: u64 = 253_402_300_799;
    SystemTime::UNIX_EPOCH + Duration::from_secs(time.as_secs().min(LATEST))
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "no name at all".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_are_told_in_words() {
        assert_eq!(in_words(AlertDescription::UnknownCA), "unknown ca");
        assert_eq!(in_words(AlertDescription::HandshakeFailure), "handshake failure");
    }
}
