//! The files of Unix sockets, to be removed when the process exits, whichever way.
//!
//! ```text
//!   bound by this process ----------------> its own ----> removed at exit
//!                                             ^   '-----> left to a successor
//!   taken over from another one -- relieved --'
//! ```
//!
//! One that a service manager has passed is the manager's, and not known here.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::warn;
use volley_proto::UnixAddress;
use volley_server::{SocketFile, UnixAccess};

static FILES: Mutex<SocketFiles> = Mutex::new(SocketFiles { own: Vec::new(), lent: Vec::new() });

#[derive(Debug)]
struct SocketFiles {
    own: Vec<SocketFile>,
    /// Of sockets that the old process has passed, and goes on with if this one fails; with those
    /// who shall be let in then, if that is for this process to say.
    lent: Vec<(SocketFile, Option<UnixAccess>)>,
}

/// Remembers the file of a socket that this process has bound.
pub(crate) fn keep(address: &UnixAddress) {
    files().own.extend(find(address));
}

/// Remembers that of a socket of the old process, which is this one's when that one is relieved.
pub(crate) fn borrow(address: &UnixAddress, access: Option<UnixAccess>) {
    files().lent.extend(find(address).map(|file| (file, access)));
}

/// The old process is relieved: what it has lent is this one's.
pub(crate) fn take_over() {
    let mut files = files();
    for (file, access) in mem::take(&mut files.lent) {
        if let Some(access) = access
            && let Err(error) = file.admit(&access)
        {
            let path = file.path().display();
            warn!(%path, %error, "a Unix socket that was taken over lets in whom it let in before");
        }
        files.own.push(file);
    }
}

/// Leaves all files to another process, which has the same sockets.
pub(crate) fn leave() {
    mem::take(&mut files().own).into_iter().for_each(SocketFile::leave);
}

/// Removes the files of this process. To be called before it exits.
pub(crate) fn remove() {
    let mut files = files();
    files.own.clear();
    mem::take(&mut files.lent).into_iter().for_each(|(file, _)| file.leave());
}

/// Gone, if somebody has removed it; then there is none to remove.
fn find(address: &UnixAddress) -> Option<SocketFile> {
    SocketFile::at(address.path()?).ok()
}

fn files() -> MutexGuard<'static, SocketFiles> {
    FILES.lock().unwrap_or_else(PoisonError::into_inner)
}
