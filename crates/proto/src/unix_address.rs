//! Where a Unix socket is, as people write it and as the system knows it. Nothing is opened here.

use std::fmt::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::EndpointError;

/// The address of a Unix socket: a path, absolute or from the working directory on, or, behind an
/// `@`, a name of Linux's abstract namespace, which has no file (unix(7)).
///
/// [`fmt::Display`] gives what stands behind `unix:` in an [`Endpoint`](crate::Endpoint). It parses
/// back to the same address, unless the system gave one that is no text.
///
/// # Examples
///
/// ```
/// use std::path::Path;
///
/// use volley_proto::UnixAddress;
///
/// let address: UnixAddress = "/run/volley.sock".parse()?;
/// assert_eq!(address.path(), Some(Path::new("/run/volley.sock")));
/// let address: UnixAddress = "@volley".parse()?;
/// assert_eq!(address.abstract_name(), Some(b"volley".as_slice()));
/// # Ok::<(), volley_proto::EndpointError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UnixAddress {
    place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Place {
    /// Without an `@` in front, or two slashes: they would mean something else.
    Path(PathBuf),
    Abstract(Vec<u8>),
}

impl UnixAddress {
    /// The longest path or abstract name in bytes: `sun_path` has 108 on Linux, of which a path
    /// leaves the last one 0, and an abstract name the first (unix(7)).
    pub const LONGEST: usize = 107;

    /// A socket with a file.
    ///
    /// # Errors
    ///
    /// [`EndpointError`] when no socket can have this path.
    pub fn from_path(path: impl Into<PathBuf>) -> Result<Self, EndpointError> {
        let path = path.into();
        let bytes = path.as_os_str().as_encoded_bytes();
        if path.file_name().is_none() || bytes.ends_with(b"/") {
            let text = path.display().to_string();
            return Err(EndpointError::UnixPath { text });
        }
        let path = plain(path);
        check("path", path.as_os_str().as_encoded_bytes())?;
        Ok(Self { place: Place::Path(path) })
    }

    /// A socket without a file, by its name without the `@`.
    ///
    /// # Errors
    ///
    /// [`EndpointError`] when no socket can have this name.
    pub fn from_abstract_name(name: impl Into<Vec<u8>>) -> Result<Self, EndpointError> {
        let name = name.into();
        if name.is_empty() {
            return Err(EndpointError::UnixPath { text: "@".to_owned() });
        }
        check("name", &name)?;
        Ok(Self { place: Place::Abstract(name) })
    }

    /// What the system says of a socket; `None` of one without an address, as most have that
    /// connect.
    #[cfg(unix)]
    pub fn of(address: &std::os::unix::net::SocketAddr) -> Option<Self> {
        #[cfg(target_os = "linux")]
        {
            use std::os::linux::net::SocketAddrExt;
            if let Some(name) = address.as_abstract_name() {
                return Some(Self { place: Place::Abstract(name.to_owned()) });
            }
        }
        let path = address.as_pathname()?;
        Some(Self { place: Place::Path(plain(path.to_owned())) })
    }

    /// The path, of a socket with a file.
    pub fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::Path(path) => Some(path),
            Place::Abstract(_) => None,
        }
    }

    /// The name without the `@`, of a socket without a file.
    pub fn abstract_name(&self) -> Option<&[u8]> {
        match &self.place {
            Place::Path(_) => None,
            Place::Abstract(name) => Some(name),
        }
    }

    /// What goes into `sun_path`, for functions that take that for a path: an abstract name has a
    /// 0 in front.
    #[cfg(unix)]
    pub fn sun_path(&self) -> PathBuf {
        use std::ffi::OsString;
        use std::os::unix::ffi::OsStringExt;
        match &self.place {
            Place::Path(path) => path.clone(),
            Place::Abstract(name) => {
                OsString::from_vec([b"\0".as_slice(), name.as_slice()].concat()).into()
            }
        }
    }
}

/// The same path, so that it is none of an abstract name or behind a host.
fn plain(path: PathBuf) -> PathBuf {
    let bytes = path.as_os_str().as_encoded_bytes();
    if bytes.starts_with(b"@") {
        Path::new(".").join(path)
    } else if bytes.starts_with(b"//") {
        path.components().collect()
    } else {
        path
    }
}

fn check(noun: &'static str, bytes: &[u8]) -> Result<(), EndpointError> {
    if String::from_utf8_lossy(bytes).chars().any(char::is_control) {
        return Err(EndpointError::UnixControl { noun });
    }
    let len = bytes.len();
    if len > UnixAddress::LONGEST {
        return Err(EndpointError::UnixTooLong { noun, len });
    }
    Ok(())
}

impl FromStr for UnixAddress {
    type Err = EndpointError;

    /// Reads what stands behind `unix:`.
    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let text = match text.strip_prefix("//") {
            // As URLs are written: behind the host, which is empty.
            Some(path) if path.starts_with('/') => path,
            Some(path) => return Err(EndpointError::UnixHost { path: path.to_owned() }),
            None => text,
        };
        match text.strip_prefix('@') {
            Some(name) => Self::from_abstract_name(name),
            None => Self::from_path(text),
        }
    }
}

impl fmt::Display for UnixAddress {
    /// In one line, whatever the system says.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match &self.place {
            Place::Path(path) => path.to_string_lossy(),
            Place::Abstract(name) => {
                f.write_char('@')?;
                String::from_utf8_lossy(name)
            }
        };
        text.chars().try_for_each(|c| {
            f.write_char(if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        })
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::ffi::OsStr;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::SocketAddr;

    use super::*;

    #[test]
    fn what_the_system_says_is_what_was_written() {
        for path in ["/run/volley.sock", "volley.sock", "./@volley", "//run/volley.sock"] {
            let address = SocketAddr::from_pathname(path).unwrap();
            let found = UnixAddress::of(&address).unwrap();
            assert_eq!(found, UnixAddress::from_path(path).unwrap());
        }
        let address = SocketAddr::from_abstract_name("volley").unwrap();
        assert_eq!(UnixAddress::of(&address).unwrap(), "@volley".parse().unwrap());
        let (unnamed, _) = std::os::unix::net::UnixStream::pair().unwrap();
        assert_eq!(UnixAddress::of(&unnamed.local_addr().unwrap()), None);
    }

    #[test]
    fn what_is_no_text_is_shown_in_one_line() {
        let path = OsStr::from_bytes(b"/tmp/\xff\n");
        let found = UnixAddress::of(&SocketAddr::from_pathname(path).unwrap()).unwrap();
        assert_eq!(found.to_string(), "/tmp/\u{fffd}\u{fffd}");
        assert_eq!(found.sun_path(), path);
    }

    #[test]
    fn a_name_has_a_0_in_front_for_the_system() {
        let address: UnixAddress = "@volley".parse().unwrap();
        assert_eq!(address.sun_path(), OsStr::from_bytes(b"\0volley"));
    }
}
