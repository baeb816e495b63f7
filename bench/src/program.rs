//! Where programs are.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use rustix::fs::{Access, access};

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

/// The path of a program that is installed under `name`, as PATH tells.
pub(crate) fn installed(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file() && access(path, Access::EXEC_OK).is_ok())
}
