//! Where the admin listener stands, as people write it.

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use volley_proto::{Endpoint, EndpointError};

/// The longest path of a Unix socket: `sun_path` has 108 bytes on Linux, the last of them 0
/// (unix(7)).
const LONGEST_PATH: usize = 107;

/// `127.0.0.1:7008` or `unix:/run/volleyd/admin.sock`. [`fmt::Display`] gives what parses back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AdminEndpoint {
    Tcp(Endpoint),
    /// An absolute path.
    Unix(PathBuf),
}

/// A text that is no [`AdminEndpoint`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AdminEndpointError {
    #[error(transparent)]
    Tcp(#[from] EndpointError),
    #[error("`{path}` is no absolute path: write for example unix:/run/volleyd/admin.sock")]
    Relative { path: String },
    #[error("a Unix socket's path has at most {LONGEST_PATH} bytes, and this one has {len}")]
    TooLong { len: usize },
    #[error("a path can't contain the character 0")]
    Nul,
}

impl FromStr for AdminEndpoint {
    type Err = AdminEndpointError;

    fn from_str(text: &str) -> Result<Self, AdminEndpointError> {
        let Some(path) = text.strip_prefix("unix:") else {
            return Ok(Self::Tcp(text.parse()?));
        };
        let path = Path::new(path);
        let bytes = path.as_os_str().as_bytes();
        if !path.is_absolute() || path.file_name().is_none() {
            return Err(AdminEndpointError::Relative { path: path.display().to_string() });
        }
        if bytes.contains(&0) {
            return Err(AdminEndpointError::Nul);
        }
        if bytes.len() > LONGEST_PATH {
            return Err(AdminEndpointError::TooLong { len: bytes.len() });
        }
        Ok(Self::Unix(path.to_owned()))
    }
}

impl fmt::Display for AdminEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(endpoint) => endpoint.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
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
        let relative = |path: &str| {
            format!("`{path}` is no absolute path: write for example unix:/run/volleyd/admin.sock")
        };
        let cases = [
            ("127.0.0.1".to_owned(), "`127.0.0.1` has no port: write 127.0.0.1:7007".to_owned()),
            ("unix:".to_owned(), relative("")),
            ("unix:admin.sock".to_owned(), relative("admin.sock")),
            ("unix:/".to_owned(), relative("/")),
            ("unix:/a\0".to_owned(), "a path can't contain the character 0".to_owned()),
            (
                format!("unix:/{}", "a".repeat(107)),
                "a Unix socket's path has at most 107 bytes, and this one has 108".to_owned(),
            ),
        ];
        for (text, why) in cases {
            assert_eq!(text.parse::<AdminEndpoint>().unwrap_err().to_string(), why, "{text}");
        }
        assert!(format!("unix:/{}", "a".repeat(106)).parse::<AdminEndpoint>().is_ok());
    }
}
