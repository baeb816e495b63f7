//! One connection that sends frames and reads what comes back, both as fast as it can be done, at
//! the lowest priority: it floods the server, and takes no processor from those who measure.

use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::{io, thread};

use anyhow::{Context, Result};
use rustix::process::nice;
use volley_proto::encode_data;

/// Bytes of a write: more than a server reads at once.
const WRITE_LEN: usize = 512 << 10;

/// Whom to flood, and with what.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the server listens
    address: SocketAddrV4,
    /// Payload bytes of each frame
    size: usize,
}

/// Floods until the connection or this process ends.
///
/// # Errors
///
/// When it cannot begin.
pub(crate) fn run(args: &Args) -> Result<()> {
    nice(19).context("cannot lower the priority")?;
    let mut stream = TcpStream::connect(args.address).context("cannot connect")?;
    let mut replies = stream.try_clone().context("cannot read beside writing")?;
    let mut frame = Vec::new();
    encode_data(&vec![0; args.size], &mut frame);
    let frames = frame.repeat((WRITE_LEN / frame.len()).max(1));
    thread::spawn(move || {
        let mut buffer = vec![0; WRITE_LEN];
        while matches!(replies.read(&mut buffer), Ok(1..)) {}
    });
    writeln!(io::stdout(), "flooding").context("cannot say so")?;
    while stream.write_all(&frames).is_ok() {}
    Ok(())
}
