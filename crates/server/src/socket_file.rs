//! The file of a Unix socket: who may connect, and its removal. A closed socket leaves its file.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use tracing::warn;

/// Who may connect to a Unix socket: whoever may write to its file.
///
/// An abstract name has no file, and everybody in the same network namespace may connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnixAccess {
    /// The file's permissions, whatever the umask is; execution means nothing here.
    pub mode: u32,
    /// Its owner, by number; `None` leaves it to the user of the process.
    pub owner: Option<u32>,
    /// Its group, by number; `None` leaves it to the system.
    pub group: Option<u32>,
}

impl Default for UnixAccess {
    /// 0660, user and group of the process.
    fn default() -> Self {
        Self { mode: 0o660, owner: None, group: None }
    }
}

/// A socket's file, by what tells it from one that another process has put in its place. Dropped,
/// it is removed, if it is still the same.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
    is_left: bool,
}

impl SocketFile {
    /// The file that is there now.
    ///
    /// # Errors
    ///
    /// When there is none, or one that is no socket.
    pub fn at(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let file = fs::symlink_metadata(&path)?;
        if !file.file_type().is_socket() {
            return Err(no_socket());
        }
        Ok(Self { path, device: file.dev(), inode: file.ino(), is_left: false })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is still there, and nobody has put another one in its place.
    pub fn is_there(&self) -> bool {
        fs::symlink_metadata(&self.path)
            .is_ok_and(|file| (file.dev(), file.ino()) == (self.device, self.inode))
    }

    /// Has those connect from now on who are meant to, and no others. The directory must be one
    /// that nobody else may write to.
    ///
    /// # Errors
    ///
    /// What the system says: only a privileged process may give a file away.
    pub fn admit(&self, access: &UnixAccess) -> io::Result<()> {
        let UnixAccess { mode, owner, group } = *access;
        if owner.is_some() || group.is_some() {
            lchown(&self.path, owner, group).map_err(|error| {
                let why = format!("its file can't have this owner or group: {error}");
                io::Error::new(error.kind(), why)
            })?;
        }
        fs::set_permissions(&self.path, Permissions::from_mode(mode))
    }

    /// Leaves it where it is.
    pub fn leave(mut self) {
        self.is_left = true;
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if !self.is_left
            && self.is_there()
            && let Err(error) = fs::remove_file(&self.path)
        {
            warn!(path = %self.path.display(), %error, "cannot remove a socket's file");
        }
    }
}

/// What a file is not.
pub(crate) fn no_socket() -> io::Error {
    io::Error::new(io::ErrorKind::AlreadyExists, "there is a file in its place that is no socket")
}
