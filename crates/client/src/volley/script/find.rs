//! The scripts that the user means: files, those in directories, and stdin.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::error::ScriptError;

/// What the names of scripts in a directory end in.
const EXTENSION: &str = "volley";

/// The longest script, in bytes. What is longer was meant for something else, and may have no end.
const LONGEST: usize = 16 << 20;

/// A script as it was found.
#[derive(Debug)]
pub(super) struct Found {
    /// What the user calls it.
    pub(super) name: String,
    pub(super) text: Vec<u8>,
    /// What paths in it are relative to.
    pub(super) directory: PathBuf,
}

/// Reads the scripts at `path`: the file, all those of a directory and of the directories in it,
/// in the order of their names, or `-` for stdin. In directories hidden files are passed over, which
/// editors and systems leave beside the others.
///
/// # Errors
///
/// [`ScriptError::Unreadable`], [`ScriptError::TooLong`], [`ScriptError::NoScripts`] in a directory.
pub(super) fn find(path: &Path) -> Result<Vec<Found>, ScriptError> {
    if path == Path::new("-") {
        return Ok(vec![stdin()?]);
    }
    if !path.is_dir() {
        return Ok(vec![file(path)?]);
    }
    let mut paths = Vec::new();
    walk(path, &mut paths)?;
    if paths.is_empty() {
        return Err(ScriptError::NoScripts { path: path.to_owned() });
    }
    paths.sort();
    paths.iter().map(|path| file(path)).collect()
}

fn stdin() -> Result<Found, ScriptError> {
    let text = text(io::stdin(), Path::new("stdin"))?;
    Ok(Found { name: "stdin".to_owned(), text, directory: PathBuf::from(".") })
}

fn file(path: &Path) -> Result<Found, ScriptError> {
    let text = text(File::open(path).map_err(unreadable(path))?, path)?;
    let directory = path.parent().unwrap_or(Path::new("")).to_owned();
    Ok(Found { name: path.display().to_string(), text, directory })
}

fn text(from: impl Read, path: &Path) -> Result<Vec<u8>, ScriptError> {
    let mut text = Vec::new();
    from.take(LONGEST as u64 + 1).read_to_end(&mut text).map_err(unreadable(path))?;
    if text.len() > LONGEST {
        return Err(ScriptError::TooLong { path: path.to_owned(), longest: LONGEST });
    }
    Ok(text)
}

fn walk(directory: &Path, paths: &mut Vec<PathBuf>) -> Result<(), ScriptError> {
    for entry in fs::read_dir(directory).map_err(unreadable(directory))? {
        let entry = entry.map_err(unreadable(directory))?;
        if entry.file_name().as_bytes().starts_with(b".") {
            continue;
        }
        let (path, kind) = (entry.path(), entry.file_type().map_err(unreadable(&entry.path()))?);
        // A link may lead back to where it lies, so only one to a file is followed.
        if kind.is_dir() {
            walk(&path, paths)?;
        } else if path.extension().is_some_and(|extension| extension == EXTENSION) {
            paths.push(path);
        }
    }
    Ok(())
}

fn unreadable(path: &Path) -> impl Fn(io::Error) -> ScriptError {
    let path = path.to_owned();
    move |source| ScriptError::Unreadable { path: path.clone(), source }
}
