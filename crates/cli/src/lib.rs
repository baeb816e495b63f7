//! What Volley's programs share on the command line: the table of exit codes, numbers with
//! units, and flags that more than one of them has. Their output stays with each program.

mod exit;
mod reply;
mod units;

pub use exit::Exit;
pub use reply::Reply;
pub use units::{parse_bytes, parse_duration, parse_timeout};
