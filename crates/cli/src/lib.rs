//! What Volley's programs share: the table of exit codes, numbers with units, flags that more than
//! one of them has, help, completions and manual pages, how to point at what is wrong in a text and
//! what it was meant to be, and the limit on descriptors. Their output stays with each program.

mod descriptors;
#[cfg(feature = "program")]
mod environment;
mod excerpt;
mod exit;
#[cfg(feature = "program")]
mod generate;
#[cfg(feature = "program")]
mod help;
mod misread;
mod printable;
#[cfg(feature = "program")]
mod program;
#[cfg(feature = "flags")]
mod reply;
mod suggest;
mod units;

pub use descriptors::raise_descriptor_limit;
pub use excerpt::{Excerpt, visible};
pub use exit::Exit;
#[cfg(feature = "program")]
pub use generate::{Entry, Section};
#[cfg(feature = "program")]
pub use help::HELP;
pub use misread::Misread;
pub use printable::printable;
#[cfg(feature = "program")]
pub use program::Program;
#[cfg(feature = "flags")]
pub use reply::Reply;
pub use suggest::suggest;
pub use units::{
    format_bytes, format_duration, format_rate, parse_bytes, parse_count, parse_duration,
    parse_rate, parse_seconds, parse_timeout, read_rate,
};
