//! The program, to be started again.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::iter;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::net;
use std::path::{self, Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use tokio::net::UnixStream;
use tokio::time::Instant;

use super::{HandoverError, Heirloom, Successor};
use crate::inherit::HANDOVER;

/// The first descriptor that is passed (sd_listen_fds(3)).
const FIRST_DESCRIPTOR: RawFd = 3;

/// What of the environment is about this process and not about another one.
const OF_THIS_PROCESS: [&str; 5] =
    ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_FDS_FIRST_FD", "WATCHDOG_PID"];

/// How this process was started.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(super) path: PathBuf,
    pub(super) arguments: Vec<OsString>,
}

impl Program {
    /// To be called at the start, before its file may be replaced.
    pub(crate) fn this() -> Self {
        let mut arguments = env::args_os();
        let name = PathBuf::from(arguments.next().unwrap_or_default());
        let folders = env::var_os("PATH").unwrap_or_default();
        // Without /proc nobody tells; then the name has to do.
        let path = match env::current_exe() {
            Ok(running) => find(&name, &folders, &running),
            Err(_) => name,
        };
        Self { path, arguments: arguments.collect() }
    }

    /// Starts it with these sockets, and with the arguments and the environment of this process.
    /// It has to be ready within `limit`.
    pub(crate) fn start(
        &self,
        heirlooms: &[Heirloom],
        limit: Duration,
    ) -> Result<Successor, HandoverError> {
        self.try_start(heirlooms, limit)
            .map_err(|source| HandoverError::Start { program: self.path.clone(), source })
    }

    fn try_start(&self, heirlooms: &[Heirloom], limit: Duration) -> io::Result<Successor> {
        let (ours, theirs) = net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let stream = UnixStream::from_std(ours)?;
        let names = heirlooms.iter().map(|heirloom| heirloom.name.replace(':', "_"));
        let names: Vec<_> = names.chain(iter::once(HANDOVER.to_owned())).collect();
        let sockets = heirlooms.iter().map(|heirloom| heirloom.socket.try_clone());
        let sockets = sockets.chain(iter::once(Ok(OwnedFd::from(theirs))));

        let mut command = Command::new(&self.path);
        command.args(&self.arguments);
        for name in OF_THIS_PROCESS {
            command.env_remove(name);
        }
        command.env("LISTEN_FDS", names.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
        command.fd_mappings(mappings(sockets)?).map_err(io::Error::other)?;
        let child = tokio::process::Command::from(command).spawn()?;
        Ok(Successor::new(child, stream, limit, Instant::now() + limit))
    }
}

fn mappings(sockets: impl Iterator<Item = io::Result<OwnedFd>>) -> io::Result<Vec<FdMapping>> {
    let mapping = |(child_fd, socket): (RawFd, io::Result<OwnedFd>)| {
        Ok(FdMapping { parent_fd: socket?, child_fd })
    };
    (FIRST_DESCRIPTOR..).zip(sockets).map(mapping).collect()
}

/// The path by which the program `running` was started as `name`. A symbolic link stays one, so
/// that the new process is what it points to by then.
pub(super) fn find(name: &Path, folders: &OsStr, running: &Path) -> PathBuf {
    let candidates: Vec<_> = if name.components().count() > 1 {
        path::absolute(name).into_iter().collect()
    } else {
        env::split_paths(folders).map(|folder| folder.join(name)).collect()
    };
    let is_running = |path: &PathBuf| fs::canonicalize(path).is_ok_and(|path| path == running);
    candidates.into_iter().find(is_running).unwrap_or_else(|| running.to_owned())
}
