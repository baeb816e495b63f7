//! From a TCP connection to one of TLS, or to the reason why there is none.

use std::io;

use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use volley_proto::{Control, FrameError, MaxFrame, Parsed, parse};

use super::fault::TlsFault;
use super::overheard::Overheard;
use super::session::TlsSession;
use super::verifier::Untrusted;
use super::{Tls, TlsSetupError};

/// Speaks TLS with the server of an endpoint with this host.
///
/// # Errors
///
/// [`TlsFault`].
pub(crate) async fn shake_hands(
    tls: &Tls,
    host: &str,
    tcp: TcpStream,
) -> Result<TlsSession, TlsFault> {
    let name = tls.name_for(host).map_err(|error: TlsSetupError| TlsFault::Other(error.into()))?;
    let start = Instant::now();
    let connector = TlsConnector::from(tls.config.clone());
    match connector.connect(name, Overheard::new(tcp)).into_fallible().await {
        Ok(mut stream) => {
            stream.get_mut().0.forget();
            Ok(TlsSession::new(stream, start.elapsed()))
        }
        Err((error, overheard)) => Err(fault(error, overheard.first())),
    }
}

/// What an error means after the server has sent these bytes first.
fn fault(error: io::Error, first: &[u8]) -> TlsFault {
    if let Some(sent) = plaintext(first) {
        return TlsFault::Plaintext { sent };
    }
    match error.downcast::<rustls::Error>() {
        Ok(error) => Untrusted::behind(&error).map_or_else(|| error.into(), Into::into),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => TlsFault::Closed,
        Err(source) => TlsFault::Lost { source },
    }
}

/// What a server has sent that does not speak TLS; `None` if it does, or has sent nothing.
fn plaintext(first: &[u8]) -> Option<String> {
    match first {
        [] => None,
        // A handshake, 22, in which the client's own first message comes back, 1 (RFC 8446, 4).
        [22, 3, _, _, _, 1, ..] => Some("back what it got".to_owned()),
        // Change of cipher, alert, handshake or data (RFC 8446, 5.1).
        [20..=23, 3, ..] | [20..=23] => None,
        _ => Some(match parse(first, MaxFrame::CEILING) {
            Ok(Parsed::Control { control: Control::Error { text, .. }, .. }) => {
                format!("an ERROR of volleyd's: {text}")
            }
            Ok(Parsed::Control { .. }) => "a control frame of volleyd's".to_owned(),
            Err(FrameError::Foreign { protocol }) => protocol.to_string(),
            _ => "something that is no TLS".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use volley_proto::{Reason, Text};

    use super::*;

    #[test]
    fn what_is_no_tls_is_told_by_its_first_bytes() {
        let text = Text::new("this looks like TLS, not a framed client");
        let error = Control::Error { reason: Reason::Protocol, last_seq: 0, text };
        let mut bytes = Vec::new();
        error.encode(&mut bytes);
        let of_volleyd = "an ERROR of volleyd's: this looks like TLS, not a framed client";
        assert_eq!(plaintext(&bytes).unwrap(), of_volleyd);
        assert_eq!(plaintext(b"HTTP/1.1 400 Bad Request\r\n").unwrap(), "HTTP");
        assert_eq!(plaintext(b"SSH-2.0-OpenSSH_9.9\r\n").unwrap(), "SSH");
        assert_eq!(plaintext(b"\x16\x03\x01\x00\xf8\x01\x00").unwrap(), "back what it got");
        assert_eq!(plaintext(b"220 ready\r\n").unwrap(), "something that is no TLS");
    }

    #[test]
    fn what_a_server_of_tls_sends_is_none_of_it() {
        assert_eq!(plaintext(b""), None);
        assert_eq!(plaintext(b"\x15\x03\x03\x00\x02\x02\x28"), None);
        assert_eq!(plaintext(b"\x16\x03\x03\x00\x7a\x02\x00"), None);
    }
}
