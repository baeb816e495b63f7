//! Where the admin listener stands, as people write it.

use std::fmt;
use std::str::FromStr;

use volley_proto::{Endpoint, EndpointError};

/// `127.0.0.1:7008` or `unix:/run/volleyd/admin.sock`: an endpoint whose streams HTTP can be spoken
/// over. [`fmt::Display`] gives what parses back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AdminEndpoint(Endpoint);

/// A text that is no [`AdminEndpoint`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AdminEndpointError {
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    #[error("the admin listener can't be at {scheme}: write for example 127.0.0.1:7008")]
    Transport { scheme: &'static str },
}

impl AdminEndpoint {
    /// As any other; only of TCP or a Unix socket.
    pub(crate) const fn endpoint(&self) -> &Endpoint {
        &self.0
    }
}

impl FromStr for AdminEndpoint {
    type Err = AdminEndpointError;

    fn from_str(text: &str) -> Result<Self, AdminEndpointError> {
        let endpoint: Endpoint = text.parse()?;
        match endpoint {
            Endpoint::Tcp(_) | Endpoint::Unix(_) => Ok(Self(endpoint)),
            _ => Err(AdminEndpointError::Transport { scheme: endpoint.scheme() }),
        }
    }
}

impl fmt::Display for AdminEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_parses_back() {
        for text in ["tcp://127.0.0.1:7008", "tcp://[::1]:0", "unix:/run/volleyd/admin.sock"] {
            assert_eq!(text.parse::<AdminEndpoint>().unwrap().to_string(), text);
        }
        assert_eq!(
            "localhost:1".parse::<AdminEndpoint>().unwrap().to_string(),
            "tcp://localhost:1"
        );
    }

    #[test]
    fn says_why_a_text_is_no_endpoint() {
        let transport = |scheme: &str| {
            format!("the admin listener can't be at {scheme}: write for example 127.0.0.1:7008")
        };
        let cases = [
            ("127.0.0.1".to_owned(), "`127.0.0.1` has no port: write 127.0.0.1:7007".to_owned()),
            ("tls://localhost:7008".to_owned(), transport("tls://")),
            ("udp://localhost:7008".to_owned(), transport("udp://")),
            (
                format!("unix:/{}", "a".repeat(107)),
                "a Unix socket's path has at most 107 bytes, and this one has 108".to_owned(),
            ),
        ];
        for (text, why) in cases {
            assert_eq!(text.parse::<AdminEndpoint>().unwrap_err().to_string(), why, "{text}");
        }
    }
}
