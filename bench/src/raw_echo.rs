//! The limit of a server: one thread, level-triggered epoll, one receive and one send per turn.
//!
//! It looks at no frame and has no timeouts, no limits and no queues, so a server that does
//! everything else as well can at best come level with it. It is for its own load only: a peer
//! that doesn't read stops it for everybody.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, epoll, poll};
use rustix::fd::OwnedFd;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::sockopt::set_tcp_nodelay;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, accept_with, bind, getsockname,
    listen, recv, send, socket_with,
};
use slab::Slab;

use crate::listening;

/// Bytes that one receive can take: more than a socket holds by default.
const RECEIVE_LEN: usize = 256 << 10;

/// Connections that one wait can report.
const EVENTS: usize = 1024;

/// The listener's key, which no connection can have.
const LISTENER: u64 = u64::MAX;

/// Serves until the process is ended.
///
/// # Errors
///
/// When the listener or epoll fails; what a connection does ends only that connection.
pub(crate) fn run(args: &listening::Args) -> Result<()> {
    let listener = open(args)?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    add(&epoll, &listener, LISTENER)?;
    listening::announce(SocketAddr::try_from(getsockname(&listener)?)?)?;

    let mut connections = Slab::new();
    let mut buffer = vec![0; RECEIVE_LEN];
    let mut events = Vec::with_capacity(EVENTS);
    loop {
        retry_on_intr(|| epoll::wait(&epoll, spare_capacity(&mut events), None))?;
        for event in events.drain(..) {
            let key = event.data.u64();
            if key == LISTENER {
                accept_all(&listener, &epoll, &mut connections)?;
                continue;
            }
            let key = usize::try_from(key)?;
            if !echo(&connections[key], &mut buffer) {
                connections.remove(key);
            }
        }
    }
}

fn open(args: &listening::Args) -> Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let listener = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    let address = args.address();
    bind(&listener, &address).with_context(|| format!("cannot bind {address}"))?;
    listen(&listener, i32::try_from(listening::BACKLOG)?).context("cannot listen")?;
    Ok(listener)
}

fn add(epoll: &OwnedFd, socket: &OwnedFd, key: u64) -> Result<(), Errno> {
    epoll::add(epoll, socket, epoll::EventData::new_u64(key), epoll::EventFlags::IN)
}

fn accept_all(listener: &OwnedFd, epoll: &OwnedFd, connections: &mut Slab<OwnedFd>) -> Result<()> {
    loop {
        match accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            Ok(connection) => {
                set_tcp_nodelay(&connection, true)?;
                let entry = connections.vacant_entry();
                add(epoll, &connection, entry.key() as u64)?;
                entry.insert(connection);
            }
            Err(Errno::AGAIN) => return Ok(()),
            Err(Errno::INTR | Errno::CONNABORTED) => {}
            Err(error) => return Err(error).context("cannot accept"),
        }
    }
}

/// Sends back what one receive brings, and says whether the connection stays open.
fn echo(connection: &OwnedFd, buffer: &mut [u8]) -> bool {
    match recv(connection, &mut *buffer, RecvFlags::empty()) {
        Ok((_, 0)) => false,
        Ok((_, received)) => send_all(connection, &buffer[..received]).is_ok(),
        Err(error) => matches!(error, Errno::AGAIN | Errno::INTR),
    }
}

fn send_all(connection: &OwnedFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match send(connection, bytes, SendFlags::NOSIGNAL) {
            Ok(sent) => bytes = &bytes[sent..],
            Err(Errno::AGAIN) => {
                let mut room = [PollFd::new(connection, PollFlags::OUT)];
                retry_on_intr(|| poll(&mut room, None))?;
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
