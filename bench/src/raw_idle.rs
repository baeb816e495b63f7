//! Opens connections, exchanges one frame on each, and holds them all idle.
//!
//! A connection that has carried a frame shows what a server keeps for it afterwards, which is not
//! what it needs for one that has only been accepted.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
use rustls::{ClientConfig, StreamOwned};
use socket2::{Domain, Socket, Type};
use volley_proto::{HEAD_LEN, encode_data};

use crate::target::Target;
use crate::tls_client;

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
    /// Speak TLS with a server whose certificate is signed by this one, in PEM
    #[arg(long)]
    ca: Option<PathBuf>,
}

impl Args {
    /// `connections` to the server at `address`, which is `target`.
    pub(crate) fn new(address: SocketAddrV4, connections: usize, target: &Target) -> Self {
        let reply_size = target.reply_size.unwrap_or(SIZE);
        Self { address, connections, reply_size, ca: target.ca.clone() }
    }

    /// The same on a command line.
    pub(crate) fn words(&self) -> Vec<OsString> {
        let mut words = vec![
            self.address.to_string().into(),
            self.connections.to_string().into(),
            format!("--reply-size={}", self.reply_size).into(),
        ];
        if let Some(ca) = &self.ca {
            words.extend(["--ca".into(), ca.into()]);
        }
        words
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
    let tls = args.ca.as_deref().map(tls_client::config).transpose()?;
    let held = (0..args.connections)
        .map(|index| {
            let stream = open(args.address, source(index)?)?;
            exchange(stream, tls.as_ref(), &frame, &mut reply)
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

fn open(address: SocketAddrV4, source: Ipv4Addr) -> Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    // The port is then chosen by connect, which knows the whole four-tuple, so that ports which
    // wait for the end of earlier connections to other servers can be used again.
    setsockopt(&socket, IpBindAddressNoPort, &true)?;
    socket.bind(&SocketAddrV4::new(source, 0).into()).context("cannot bind")?;
    socket.connect(&address.into()).context("cannot connect")?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(REPLY_WITHIN))?;
    Ok(stream)
}

/// One frame there and one back. The client forgets a session then: nothing more comes over it.
fn exchange(
    mut stream: TcpStream,
    tls: Option<&Arc<ClientConfig>>,
    frame: &[u8],
    reply: &mut [u8],
) -> Result<TcpStream> {
    let Some(config) = tls else {
        frame_and_reply(&mut stream, frame, reply)?;
        return Ok(stream);
    };
    let mut stream = StreamOwned::new(tls_client::session(config)?, stream);
    frame_and_reply(&mut stream, frame, reply)?;
    Ok(stream.into_parts().1)
}

fn frame_and_reply(stream: &mut (impl Read + Write), frame: &[u8], reply: &mut [u8]) -> Result<()> {
    stream.write_all(frame).context("cannot send")?;
    stream.flush().context("cannot send")?;
    stream.read_exact(reply).context("no whole reply (is --reply-size right?)")
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
        for (reply_size, ca) in [(None, None), (Some(32), Some("/tmp/ca.pem".into()))] {
            let mut target = Target::announcing("it", Vec::new());
            (target.reply_size, target.ca) = (reply_size, ca);
            let args = Args::new(address, 9000, &target);
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
