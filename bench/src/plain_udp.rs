//! The datagram echo that people write first with Tokio: `recv_from`, `send_to`, and again.
//!
//! It is the lower mark of the comparison: each datagram costs two system calls. Its queue is as
//! long as the daemon's, so that not the loss of datagrams is measured.

use anyhow::{Context, Result};
use socket2::SockRef;
use tokio::net::UdpSocket;
use volley_proto::{Endpoint, LONGEST_DATAGRAM};

use crate::listening;

/// Bytes that the kernel is asked to hold, as for the daemon's.
pub(crate) const QUEUE_LEN: usize = 4 << 20;

/// Serves on one thread until the process is ended.
///
/// # Errors
///
/// When the socket fails.
pub(crate) fn run(args: &listening::Args) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(serve(args))
}

async fn serve(args: &listening::Args) -> Result<()> {
    let address = args.address();
    let socket = UdpSocket::bind(address).await;
    let socket = socket.with_context(|| format!("cannot bind {address}"))?;
    SockRef::from(&socket).set_recv_buffer_size(QUEUE_LEN)?;
    listening::announce(&Endpoint::Udp(socket.local_addr()?.into()))?;
    let mut buffer = vec![0; LONGEST_DATAGRAM];
    loop {
        let (len, source) = socket.recv_from(&mut buffer).await.context("cannot receive")?;
        socket.send_to(&buffer[..len], source).await.context("cannot send")?;
    }
}
