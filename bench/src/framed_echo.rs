//! The echo that people write first with Tokio: a task per connection, `Framed` around it, one
//! `send` for each reply.
//!
//! It is the lower mark of the comparison. `send` flushes, so every reply is a system call, however
//! many frames one read has brought.

use std::io;

use anyhow::{Context, Result};
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use crate::listening;

/// Serves on one thread until the process is ended.
///
/// # Errors
///
/// When the listener fails; what a connection does ends only that connection.
pub(crate) fn run(args: &listening::Args) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(serve(args))
}

async fn serve(args: &listening::Args) -> Result<()> {
    let address = args.address();
    let socket = TcpSocket::new_v4()?;
    socket.bind(address.into()).with_context(|| format!("cannot bind {address}"))?;
    let listener = socket.listen(listening::BACKLOG).context("cannot listen")?;
    listening::announce(&listener.local_addr()?.into())?;
    loop {
        let (stream, _) = listener.accept().await.context("cannot accept")?;
        // Its end, good or bad, shows at the other side.
        tokio::spawn(echo(stream));
    }
}

async fn echo(stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut frames = Framed::new(stream, LengthDelimitedCodec::new());
    while let Some(frame) = frames.next().await {
        frames.send(frame?.freeze()).await?;
    }
    Ok(())
}
