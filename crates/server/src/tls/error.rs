//! Why a handshake failed, in words that say who has to do something about it.

use std::io;

use rustls::{AlertDescription, CertificateError, Error};

use crate::OpenFailure;
use crate::opening::{Instead, OpenError};

/// What went wrong in a handshake.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("this listener speaks TLS, and this {0}")]
    Plain(Instead),
    #[error("the client showed no certificate, and has to")]
    NoCertificate,
    #[error("the client's certificate {}", wrong_with(.0))]
    Certificate(CertificateError),
    #[error("the client ended the handshake: {}", meaning(*.0))]
    Alert(AlertDescription),
    #[error("client and server have nothing in common: {}", missing(.0))]
    Mismatch(#[source] Error),
    #[error("the client broke the rules of TLS: {0}")]
    Broken(#[source] Error),
}

impl TlsError {
    /// Sorts what a handshake failed with.
    pub(super) fn of(error: io::Error) -> OpenError {
        match error.downcast::<Error>() {
            Ok(error) => OpenError::Tls(Self::of_library(error)),
            // "message buffer full" is none of the library's type, and no socket fails like this.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                OpenError::Tls(Self::Broken(Error::General(error.to_string())))
            }
            Err(error) => OpenError::of_socket(error),
        }
    }

    fn of_library(error: Error) -> Self {
        match error {
            Error::NoCertificatesPresented => Self::NoCertificate,
            Error::InvalidCertificate(error) => Self::Certificate(error),
            Error::AlertReceived(alert) => Self::Alert(alert),
            Error::PeerIncompatible(_) | Error::NoApplicationProtocol => Self::Mismatch(error),
            _ => Self::Broken(error),
        }
    }

    /// How it is counted.
    pub(crate) const fn failure(&self) -> OpenFailure {
        use CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
        match self {
            Self::Plain(_) => OpenFailure::NotTls,
            Self::NoCertificate => OpenFailure::CertificateMissing,
            Self::Certificate(
                Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. },
            ) => OpenFailure::CertificateExpired,
            Self::Certificate(CertificateError::UnknownIssuer) => OpenFailure::CertificateUnknownCa,
            Self::Certificate(_) => OpenFailure::CertificateBad,
            Self::Alert(_) => OpenFailure::Alert,
            Self::Mismatch(_) => OpenFailure::TlsMismatch,
            Self::Broken(_) => OpenFailure::TlsBroken,
        }
    }
}

/// A predicate for the client's certificate.
fn wrong_with(error: &CertificateError) -> String {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is not valid yet".to_owned()
        }
        CertificateError::UnknownIssuer => "is of an authority that is not trusted here".to_owned(),
        CertificateError::BadSignature => "is not signed by the authority that it names".to_owned(),
        other => format!("is bad: {other}"),
    }
}

fn missing(error: &Error) -> String {
    match error {
        Error::NoApplicationProtocol => "it names protocols, and not volley/1 (ALPN)".to_owned(),
        other => other.to_string(),
    }
}

/// What a client means by an alert, with the name that the alert has everywhere (RFC 8446, 6.2).
fn meaning(alert: AlertDescription) -> String {
    let why = match alert {
        AlertDescription::UnknownCA => "it does not trust who signed our certificate (unknown_ca)",
        AlertDescription::CertificateExpired => {
            "our certificate has expired by its clock (certificate_expired)"
        }
        AlertDescription::BadCertificate => {
            "it takes our certificate for bad, perhaps because of its name (bad_certificate)"
        }
        AlertDescription::CertificateUnknown => {
            "it refuses our certificate, and does not say why (certificate_unknown)"
        }
        AlertDescription::UnsupportedCertificate => {
            "it can't use our certificate (unsupported_certificate)"
        }
        AlertDescription::ProtocolVersion => "it does not speak our version (protocol_version)",
        AlertDescription::HandshakeFailure => "it finds nothing in common (handshake_failure)",
        AlertDescription::InternalError => "it failed itself (internal_error)",
        other => return format!("{other:?}"),
    };
    why.to_owned()
}
