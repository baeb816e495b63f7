//! What the service manager is told, by the protocol of sd_notify(3). Without a NOTIFY_SOCKET in
//! the environment nothing is told to anyone.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};
#[cfg(target_os = "linux")]
use std::os::{linux::net::SocketAddrExt, unix::ffi::OsStrExt};
use std::time::Duration;

use sd_notify::NotifyState;
use thousands::Separable;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;
use volley_cli::format_duration;

use crate::readiness::{Readiness, Stage};
use crate::served::Served;

/// How often the number of connections is told.
const STATUS_EVERY: Duration = Duration::from_secs(10);

/// How long a manager that does not read may hold up the thread that tells it something.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// Whether a service manager listens.
pub(crate) fn is_heard() -> bool {
    env::var_os("NOTIFY_SOCKET").is_some_and(|path| !path.is_empty())
}

/// All listeners accept.
pub(crate) fn ready(served: &Served) {
    tell(&[NotifyState::Ready, NotifyState::Status(&status(Stage::Ready, served))]);
}

/// The configuration is being read again; [`ready`] follows. The manager tells by the time which
/// reload that one belongs to.
pub(crate) fn reloading() {
    let Ok(now) = NotifyState::monotonic_usec_now() else { return };
    tell(&[NotifyState::Reloading, now, NotifyState::Status("reloading the configuration")]);
}

/// The daemon is going.
pub(crate) fn stopping(served: &Served) {
    tell(&[NotifyState::Stopping, NotifyState::Status(&status(Stage::Draining, served))]);
}

/// The daemon will go, and still accepts for so long.
pub(crate) fn stopping_after(delay: Duration) {
    let delay = format_duration(delay);
    let status = format!("not ready, accepting for another {delay} before the drain");
    tell(&[NotifyState::Stopping, NotifyState::Status(&status)]);
}

/// Another process is the service from now on.
pub(crate) fn main_process(pid: u32) {
    tell(&[NotifyState::MainPid(pid)]);
}

/// Each listener has just answered.
pub(crate) fn watchdog() {
    tell(&[NotifyState::Watchdog]);
}

/// Tells every now and then what the daemon does, for as long as it is polled.
pub(crate) async fn keep_status(readiness: &Readiness, served: &Served) {
    if !is_heard() {
        return std::future::pending().await;
    }
    let mut ticks = interval(STATUS_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first is over at once, and what it would tell has been told.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        tell(&[NotifyState::Status(&status(readiness.stage(), served))]);
    }
}

/// What the daemon does, in a line: `serving 2 listeners, 1,234 connections`.
fn status(stage: Stage, served: &Served) -> String {
    let connections = counted(served.connections(), "connection");
    match stage {
        Stage::Starting => "starting".to_owned(),
        Stage::Ready => {
            let listeners = counted(served.len() as u64, "listener");
            format!("serving {listeners}, {connections}")
        }
        Stage::Draining => format!("draining, {connections} left"),
    }
}

fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count.separate_with_commas())
}

fn tell(states: &[NotifyState<'_>]) {
    if is_heard()
        && let Err(error) = send(states)
    {
        warn!(%error, "cannot tell the service manager: {}", states[0]);
    }
}

/// Not by [`sd_notify::notify`], which waits for ever for a manager that does not read.
fn send(states: &[NotifyState<'_>]) -> io::Result<()> {
    let lines: String = states.iter().map(|state| format!("{state}\n")).collect();
    let address = address(&env::var_os("NOTIFY_SOCKET").unwrap_or_default())?;
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(LONGEST_WAIT))?;
    socket.send_to_addr(lines.as_bytes(), &address).map(|_| ())
}

/// Where the manager listens: a path, or a name behind an `@`.
fn address(path: &OsStr) -> io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    if let [b'@', name @ ..] = path.as_bytes() {
        return SocketAddr::from_abstract_name(name);
    }
    SocketAddr::from_pathname(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(counted(0, "connection"), "0 connections");
        assert_eq!(counted(1, "listener"), "1 listener");
        assert_eq!(counted(1_234_567, "connection"), "1,234,567 connections");
    }
}
