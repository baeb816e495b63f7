//! Where a value comes from.

use std::fmt;

use super::place::Place;

/// What has the say over a setting. [`fmt::Display`] as `--print-config` writes it.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// Nobody said anything.
    Default,
    /// The flag of this key.
    Flag(&'static str),
    /// The environment variable of this name.
    Variable(String),
    /// The file of `--config`.
    File(Place),
}

impl Origin {
    pub(crate) const fn place(&self) -> Option<&Place> {
        match self {
            Self::File(place) => Some(place),
            _ => None,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Flag(key) => write!(f, "flag --{key}"),
            Self::Variable(name) => f.write_str(name),
            Self::File(place) => f.write_str(&place.file_and_line()),
        }
    }
}
