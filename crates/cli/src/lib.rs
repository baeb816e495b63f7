//! What Volley's programs share on the command line: the table of exit codes, and numbers with
//! units. Flags and output stay with each program.

mod exit;
mod units;

pub use exit::Exit;
pub use units::{parse_bytes, parse_duration};
