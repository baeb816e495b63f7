//! A place that an output is written to: a regular file, or whatever else has a path.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// An opened output. Nothing that is there already is touched before something is written, and a
/// file that was not there goes away again if nothing ever is.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
    file: File,
    kind: Kind,
    /// Device and number of what was opened.
    identity: (u64, u64),
}

#[derive(Debug)]
enum Kind {
    /// A regular file that has this path, without symbolic links.
    Regular {
        real: PathBuf,
        /// It was created, and nothing was done with it yet.
        is_unused: bool,
        /// What [`Place::replace`] has put into it.
        written: Vec<u8>,
    },
    /// A device, which any number of outputs can share.
    Device,
    /// A pipe, a socket, or stdout or stderr, whatever they are.
    Stream,
}

impl Place {
    /// Opens what `path` leads to, or creates a file there. Waits for a reader if it is a named
    /// pipe, as a shell does.
    ///
    /// # Errors
    ///
    /// When it can't be written to.
    pub fn open(path: &Path) -> io::Result<Self> {
        let (file, kind) = match standard_stream(path)? {
            Some(file) => (file, Kind::Stream),
            None => open(path)?,
        };
        let metadata = file.metadata()?;
        let identity = (metadata.dev(), metadata.ino());
        Ok(Self { path: path.to_owned(), file, kind, identity })
    }

    /// The path as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether two outputs would end up in the same file or pipe.
    pub fn is_same(&self, other: &Self) -> bool {
        self.identity == other.identity && !matches!(self.kind, Kind::Device)
    }

    /// Whether a whole text can take the place of another, as [`Self::replace`] does it.
    pub const fn is_replaceable(&self) -> bool {
        matches!(self.kind, Kind::Regular { .. })
    }

    /// Empties a regular file, to be written from its beginning.
    ///
    /// # Errors
    ///
    /// Those of the file.
    pub fn clear(&mut self) -> io::Result<()> {
        if let Kind::Regular { is_unused, .. } = &mut self.kind {
            self.file.set_len(0)?;
            *is_unused = false;
        }
        Ok(())
    }

    /// Makes `text` all that is in a regular file, at once: whoever reads it, at whatever instant
    /// and however this ends, finds the old text or the new one. What is no regular file is
    /// written to.
    ///
    /// Where a new file can't take the place of the old one (a directory that takes none, a file
    /// with other names or another owner, or one that is mounted by itself) the new text is
    /// written over the old one. Only if the process is killed just then is neither there.
    ///
    /// # Errors
    ///
    /// Those of the file, and those of another beside it. What was last put there in this way is
    /// there then.
    pub fn replace(&mut self, text: &[u8]) -> io::Result<()> {
        let Kind::Regular { real, is_unused, written } = &mut self.kind else {
            return self.file.write_all(text);
        };
        if !swap(real, text)? {
            overwrite(real, written, text)?;
        }
        text.clone_into(written);
        *is_unused = false;
        Ok(())
    }

    /// Sees to it that what was written to a regular file has arrived. A network file system tells
    /// only then that a disk is full.
    ///
    /// # Errors
    ///
    /// Those of the file.
    pub fn settle(&mut self) -> io::Result<()> {
        if self.is_replaceable() { self.file.sync_all() } else { Ok(()) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Kind::Regular { real, is_unused: true, .. } = &self.kind {
            // Nobody misses it, and there is a worse error to tell of.
            let _ = fs::remove_file(real);
        }
    }
}

/// As it comes, without a buffer.
impl Write for Place {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// This process's stdout or stderr, if `path` leads to one of them, as `/dev/stdout` does.
///
/// Opening it again would fail if it is a socket, and start from its beginning if it is a file.
fn standard_stream(path: &Path) -> io::Result<Option<File>> {
    let Ok(wanted) = fs::metadata(path) else { return Ok(None) };
    let (stdout, stderr) = (io::stdout(), io::stderr());
    for stream in [stdout.as_fd(), stderr.as_fd()] {
        let stream = File::from(stream.try_clone_to_owned()?);
        let found = stream.metadata()?;
        let is_same = (found.dev(), found.ino()) == (wanted.dev(), wanted.ino());
        if is_same && !found.file_type().is_char_device() {
            return Ok(Some(stream));
        }
    }
    Ok(None)
}

fn open(path: &Path) -> io::Result<(File, Kind)> {
    let (file, is_unused) = match File::create_new(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // A symbolic link that leads nowhere creates what it leads to.
            let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
            (file, false)
        }
        created => (created?, true),
    };
    let file_type = file.metadata()?.file_type();
    let kind = if file_type.is_file() {
        Kind::Regular { real: fs::canonicalize(path)?, is_unused, written: Vec::new() }
    } else if file_type.is_char_device() {
        Kind::Device
    } else {
        Kind::Stream
    };
    Ok((file, kind))
}

/// Puts a new file with `text` in the place of the one at `real`. False if that can't be, so that
/// the old one has to be written over.
///
/// # Errors
///
/// When there is no room for both.
fn swap(real: &Path, text: &[u8]) -> io::Result<bool> {
    let Ok(Some(mut file)) = beside(real) else { return Ok(false) };
    // The file itself has the plain error, without the name of this one.
    file.as_file_mut().write_all(text)?;
    file.as_file().sync_all()?;
    // A file that is mounted by itself, as into a container, keeps its place.
    Ok(file.persist(real).is_ok())
}

/// An empty file in the same directory, with the owner and the permissions of the one at `real`;
/// none if that isn't to be had, or if the one at `real` has other names, which would go on
/// leading to the old text.
fn beside(real: &Path) -> io::Result<Option<NamedTempFile>> {
    let old = fs::metadata(real)?;
    let directory = real.parent().unwrap_or(Path::new("/"));
    let new = tempfile::Builder::new().prefix(".volley-load-").tempfile_in(directory)?;
    let metadata = new.as_file().metadata()?;
    let has_same_owner = (old.uid(), old.gid()) == (metadata.uid(), metadata.gid());
    if old.nlink() > 1 || !has_same_owner {
        return Ok(None);
    }
    new.as_file().set_permissions(Permissions::from_mode(old.mode() & 0o7777))?;
    Ok(Some(new))
}

/// Writes `text` over what is in the file at `real`, or `old` if there is no room for it.
fn overwrite(real: &Path, old: &[u8], text: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(real)?;
    let mut put = |text: &[u8]| {
        file.rewind()?;
        file.write_all(text)?;
        // Not before: what is there takes up the room that the old text may need again.
        file.set_len(text.len() as u64)?;
        file.sync_all()
    };
    put(text).inspect_err(|_| {
        // The first error is the one to tell of.
        let _ = put(old);
    })
}
