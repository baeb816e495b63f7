//! Opens connections, exchanges one frame on each, and holds them all idle.
//!
//! A connection that has carried a frame shows what a server keeps for it afterwards, which is not
//! what it needs for one that has only been accepted.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
use socket2::{Domain, Socket, Type};
use volley_proto::{HEAD_LEN, encode_data};

/// Payload bytes of the one frame.
const SIZE: usize = 64;

/// Connections from one source address: well below the 28,232 ports that Linux has for them by
/// default (net.ipv4.ip_local_port_range).
const PER_SOURCE: usize = 8000;

/// The first source address. The whole of 127.0.0.0/8 is this machine.
const FIRST_SOURCE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// How long one reply may take.
const REPLY_WITHIN: Duration = Duration::from_secs(5);

/// How many connections to which server.
#[derive(Debug, PartialEq, Eq, clap::Args)]
pub(crate) struct Args {
    /// Where the server listens
    address: SocketAddrV4,
    /// How many connections to hold
    connections: usize,
    /// Payload bytes of each reply
    #[arg(long, default_value_t = SIZE)]
    reply_size: usize,
}

impl Args {
    /// `connections` to the server at `address`, whose replies have `reply_size` payload bytes,
    /// or those of the frame.
    pub(crate) fn new(
        address: SocketAddrV4,
        connections: usize,
        reply_size: Option<usize>,
    ) -> Self {
        Self { address, connections, reply_size: reply_size.unwrap_or(SIZE) }
    }

    /// The same on a command line.
    pub(crate) fn words(&self) -> Vec<OsString> {
        [
            self.address.to_string(),
            self.connections.to_string(),
            format!("--reply-size={}", self.reply_size),
        ]
        .map(OsString::from)
        .to_vec()
    }
}

/// Prints `held COUNT` on stdout once all connections have had their reply, and holds them until
/// the process is ended.
///
/// # Errors
///
/// When a connection fails or gets no whole reply within five seconds.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut frame = Vec::with_capacity(HEAD_LEN + SIZE);
    encode_data(&[b'x'; SIZE], &mut frame);
    let mut reply = vec![0; HEAD_LEN + args.reply_size];
    let held = (0..args.connections)
        .map(|index| {
            open(args.address, source(index)?, &frame, &mut reply)
                .with_context(|| format!("connection {} of {}", index + 1, args.connections))
        })
        .collect::<Result<Vec<_>>>()?;
    writeln!(io::stdout(), "held {}", held.len()).context("cannot print")?;
    loop {
        thread::park();
    }
}

fn source(index: usize) -> Result<Ipv4Addr> {
    let step = u32::try_from(index / PER_SOURCE)?;
    Ok(Ipv4Addr::from_bits(FIRST_SOURCE.to_bits() + step))
}

fn open(
    address: SocketAddrV4,
    source: Ipv4Addr,
    frame: &[u8],
    reply: &mut [u8],
) -> Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    // The port is then chosen by connect, which knows the whole four-tuple, so that ports which
    // wait for the end of earlier connections to other servers can be used again.
    setsockopt(&socket, IpBindAddressNoPort, &true)?;
    socket.bind(&SocketAddrV4::new(source, 0).into()).context("cannot bind")?;
    socket.connect(&address.into()).context("cannot connect")?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(REPLY_WITHIN))?;
    stream.write_all(frame).context("cannot send")?;
    stream.read_exact(reply).context("no whole reply (is --reply-size right?)")?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn reads_back_its_own_command_line() {
        let address = "127.0.0.1:7".parse().unwrap();
        for reply_size in [None, Some(32)] {
            let args = Args::new(address, 9000, reply_size);
            let line = std::iter::once("raw-idle".into()).chain(args.words());
            assert_eq!(Line::try_parse_from(line).unwrap().args, args);
        }
    }

    #[test]
    fn takes_another_source_before_the_ports_run_out() {
        assert_eq!(source(0).unwrap(), Ipv4Addr::new(127, 0, 0, 2));
        assert_eq!(source(7999).unwrap(), Ipv4Addr::new(127, 0, 0, 2));
        assert_eq!(source(8000).unwrap(), Ipv4Addr::new(127, 0, 0, 3));
    }
}
