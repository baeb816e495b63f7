//! The configuration: from flags, environment and file to [`Settings`], and to new ones while the
//! daemon runs. What is made of them is left to others.
//!
//! ```text
//!   flags -------.
//!   environment -+-> layers of texts -> Settings: values, each with its origin
//!   file --------'        ^                |              |
//!                       table            reload     --print-config
//! ```
//!
//! The [table] has every setting once; all else follows it.

mod environment;
mod file;
mod flags;
mod layer;
mod listener;
mod literal;
mod opening;
mod origin;
mod place;
mod print;
mod problem;
mod reload;
mod row;
mod settings;
mod sources;
mod table;
#[cfg(test)]
mod tests;
mod value;
mod valued;
mod void;

pub(crate) use flags::{Flags, Task};
pub(crate) use listener::{Listener, is_open};
pub(crate) use origin::Origin;
pub(crate) use problem::{ConfigError, Problem};
pub(crate) use reload::{Change, ReloadError};
pub(crate) use settings::Settings;
pub(crate) use sources::{Sources, read_file};
pub(crate) use value::{Connections, FilePath, Framing, LogFormat, Networks, Threads};
pub(crate) use valued::Valued;
