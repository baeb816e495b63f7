//! Where the programs of this project are.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

/// The program `name`: beside this one, unless `option` of the command line has `given` another
/// path; none when that is `none`.
///
/// # Errors
///
/// When it is not there.
pub(crate) fn own(name: &str, option: &str, given: Option<&Path>) -> Result<Option<PathBuf>> {
    let path = match given {
        Some(path) if path.as_os_str() == "none" => return Ok(None),
        Some(path) => path.to_owned(),
        None => std::env::current_exe()?.with_file_name(name),
    };
    ensure!(
        path.is_file(),
        "no {name} at {}: build it with `cargo build --release`, name another with \
         `{option} PATH`, or leave it out with `{option} none`",
        path.display()
    );
    Ok(Some(path))
}
