//! What a program does with an error of this library: its exit code, and what to try next.

use std::borrow::Cow;
use std::io;

use volley_cli::Exit;
use volley_proto::{Endpoint, EndpointError, Foreign, FrameError, Reason, Receipt};

use crate::{Error, Mismatch, ProtocolError, TlsFault, TlsSetupError};

/// Reads an endpoint that a user has written, and at which there can be a server.
///
/// # Errors
///
/// A message for the user.
pub fn parse_endpoint(text: &str) -> Result<Endpoint, String> {
    let endpoint = text.parse().map_err(|error: EndpointError| error.to_string())?;
    match port(&endpoint) {
        Some(0) => {
            Err("nobody listens on port 0: write the one that the server says it listens on"
                .to_owned())
        }
        _ => Ok(endpoint),
    }
}

/// The port to connect to, where there is one.
const fn port(endpoint: &Endpoint) -> Option<u16> {
    match endpoint {
        Endpoint::Tcp(address) | Endpoint::Tls(address) | Endpoint::Udp(address) => {
            Some(address.port())
        }
        _ => None,
    }
}

/// The exit code of a program that ends with this error.
pub fn exit(error: &Error) -> Exit {
    if let Some(fault) = tls_fault(error) {
        return tls_exit(fault);
    }
    match error {
        Error::TlsSetup(error) => tls_setup_exit(error),
        Error::Resolve { .. } => Exit::NoHost,
        Error::Connect { .. } | Error::Bind { .. } | Error::Family { .. } => Exit::Unavailable,
        Error::Unsupported { .. } => Exit::Usage,
        Error::ConnectTimedOut { .. } | Error::TimedOut { .. } | Error::GoingAway { .. } => {
            Exit::TryAgain
        }
        Error::Refused { reason, .. } => refused_exit(*reason),
        Error::NoWelcome { .. } | Error::Protocol(_) => Exit::Protocol,
        Error::TooLarge { .. } | Error::PathTooNarrow { .. } => Exit::BadData,
        // A mismatch, or a loss.
        _ => Exit::Failure,
    }
}

/// The exit code of a program that cannot set up its TLS.
pub const fn tls_setup_exit(error: &TlsSetupError) -> Exit {
    match error {
        TlsSetupError::Read { .. } => Exit::NoInput,
        TlsSetupError::ServerName { .. } => Exit::Usage,
        TlsSetupError::Other(_) => Exit::Defect,
        _ => Exit::BadData,
    }
}

/// A server that speaks something else breaks the protocol; with one that speaks TLS there is no
/// connection.
const fn tls_exit(fault: &TlsFault) -> Exit {
    match fault {
        TlsFault::Plaintext { .. } | TlsFault::Other(_) => Exit::Protocol,
        _ => Exit::Unavailable,
    }
}

/// What went wrong with TLS, when the connection was opened or later.
fn tls_fault(error: &Error) -> Option<&TlsFault> {
    match error {
        Error::Tls { fault, .. } => Some(fault),
        Error::Io { source, .. } | Error::Send { source } => TlsFault::of(source),
        _ => None,
    }
}

/// The connection was refused for a fault of the frames, of the protocol, or of the moment.
const fn refused_exit(reason: Reason) -> Exit {
    match reason {
        Reason::TooLarge => Exit::BadData,
        Reason::Protocol => Exit::Protocol,
        Reason::Internal | Reason::Denied | Reason::Other(_) => Exit::Failure,
        _ => Exit::TryAgain,
    }
}

/// The error's message, with what to try next behind it if there is something.
pub fn with_hint(error: &Error) -> String {
    let hint = match error {
        Error::Protocol(ProtocolError::Frame(error)) => Cow::Owned(hint_at_frame(error)),
        error => Cow::Borrowed(hint(error)),
    };
    if hint.is_empty() { error.to_string() } else { format!("{error} ({hint})") }
}

/// What to think of a server that sends what is no frame. A text says what it may be.
fn hint_at_frame(error: &FrameError) -> String {
    let question = "is it a framed server?";
    match error {
        FrameError::TooLarge { len, .. } => {
            let head = len.to_be_bytes();
            let is_text = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
            if head.iter().all(is_text) {
                return format!("as text its length is `{}`: {question}", head.escape_ascii());
            }
            question.to_owned()
        }
        FrameError::ControlLength { .. }
        | FrameError::Control(_)
        | FrameError::Truncated { .. } => question.to_owned(),
        _ => String::new(),
    }
}

/// What to try after a reply that may be one of the other kind; empty if nothing speaks for that.
pub fn mismatch_hint(mismatch: &Mismatch) -> &'static str {
    match mismatch {
        Mismatch::Echo { received, .. } if Receipt::parse(received).is_ok() => {
            "it is a receipt: try --reply ack"
        }
        Mismatch::Receipt { .. } => "if it sends echoes: --reply echo",
        _ => "",
    }
}

fn hint(error: &Error) -> &'static str {
    if let Some(fault) = tls_fault(error) {
        return tls_hint(fault);
    }
    match error {
        Error::Resolve { .. } => "is the name right, and does a name server answer?",
        Error::Connect { endpoint: Endpoint::Unix(_), source, .. } => match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                "is volleyd running there?"
            }
            io::ErrorKind::PermissionDenied => "the socket's file is not for this user to write to",
            _ => "",
        },
        Error::Connect { source, .. } => match source.kind() {
            io::ErrorKind::ConnectionRefused => "is volleyd running there?",
            io::ErrorKind::AddrNotAvailable => "no local port is free: use more local addresses",
            _ => "",
        },
        Error::NoWelcome { .. } => "try --no-hello",
        Error::ConnectTimedOut { awaited: "WELCOME", .. } => {
            "it may not know HELLO: try --no-hello, or a longer --timeout"
        }
        Error::ConnectTimedOut { awaited: "TLS handshake", .. } => {
            "does it speak TLS there? If not use tcp://, or else try a longer --timeout"
        }
        Error::ConnectTimedOut { .. } | Error::TimedOut { .. } => "try a longer --timeout",
        Error::Mismatch(mismatch) => mismatch_hint(mismatch),
        Error::Refused { reason: Reason::TooLarge, .. } => {
            "send less at once, or give the server a larger --max-frame"
        }
        Error::Refused { reason: Reason::Protocol, text, .. } => opening_hint(text),
        Error::Protocol(ProtocolError::Foreign { protocol: Foreign::Tls }) => "use tls://",
        Error::Protocol(ProtocolError::Foreign { .. }) => "is that the right port?",
        _ => "",
    }
}

/// What to try when volleyd says how a connection to its listener has to begin.
fn opening_hint(text: &str) -> &'static str {
    let hints = [
        ("this listener speaks TLS", "use tls://"),
        ("a PROXY header has to come first", "go through its balancer, or give --proxy-header v2"),
        ("this looks like PROXY protocol", "leave --proxy-header out"),
    ];
    let hint = hints.iter().find(|(said, _)| text.starts_with(said));
    hint.map_or("", |(_, hint)| hint)
}

fn tls_hint(fault: &TlsFault) -> &'static str {
    match fault {
        TlsFault::Expired { .. } => "to take it all the same give --insecure",
        TlsFault::NotYetValid { .. } => "is the clock of this machine right?",
        TlsFault::SelfSigned { .. } | TlsFault::UnknownIssuer { .. } => {
            "give --ca FILE, or --insecure"
        }
        TlsFault::WrongName { .. } => "give --server-name",
        TlsFault::CertificateRequired => "give --cert and --key",
        TlsFault::Refused { of_certificate: true, .. } => "it does not take --cert",
        // What OpenSSL says in TLS 1.2 to a client without a certificate.
        TlsFault::Refused { alert, .. } if alert == "handshake failure" => {
            "it may want a client certificate: give --cert and --key"
        }
        TlsFault::Plaintext { .. } => "use tcp://",
        TlsFault::Closed => "does it speak TLS there? If not use tcp://",
        _ => "",
    }
}
