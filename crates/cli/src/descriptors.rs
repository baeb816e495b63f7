//! The limit on open descriptors, which bounds how many connections a process can have.

use std::io;

use rustix::process::{Resource, getrlimit, setrlimit};

/// Lifts the soft limit on descriptors (`RLIMIT_NOFILE`) to the hard one, for this process and
/// those that it starts, and returns it; `u64::MAX` is without limit. The soft one is low for the
/// sake of programs that use select(2), which ours don't.
///
/// # Errors
///
/// What setrlimit(2) says.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit)?;
    Ok(limit.current.unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let mut limit = getrlimit(Resource::Nofile);
        let hard = limit.maximum;
        limit.current = Some(64);
        setrlimit(Resource::Nofile, limit).unwrap();
        assert_eq!(raise_descriptor_limit().unwrap(), hard.unwrap_or(u64::MAX));
        assert_eq!(getrlimit(Resource::Nofile).current, hard);
    }
}
