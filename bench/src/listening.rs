//! The line with which a server says where it listens: `listening tcp://127.0.0.1:41231`.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use anyhow::{Context, Result, bail};
use volley_proto::{Address, Endpoint};

/// Connections that may wait to be accepted: the largest default grid opens 1,000 at once, and a
/// full queue would cost a retransmission of one second.
pub(crate) const BACKLOG: u32 = 4096;

const WORD: &str = "listening ";

/// Where one of the servers of this program listens.
#[derive(Debug, clap::Args)]
#[group(id = "listening")]
pub(crate) struct Args {
    /// The port on 127.0.0.1; 0 lets the system choose
    #[arg(long, default_value_t = 0)]
    port: u16,
}

impl Args {
    /// The address to bind.
    pub(crate) fn address(&self) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::LOCALHOST, self.port)
    }
}

/// Prints the line on stdout. To be called as soon as connections are accepted, or datagrams
/// received.
///
/// # Errors
///
/// When stdout cannot be written.
pub(crate) fn announce(endpoint: &Endpoint) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{WORD}{endpoint}")?;
    stdout.flush()
}

/// The address in a server's line.
///
/// # Errors
///
/// When it is another line, or names no IPv4 address: the load connects over IPv4.
pub(crate) fn parse(line: &str) -> Result<SocketAddrV4> {
    let endpoint = line
        .strip_prefix(WORD)
        .with_context(|| format!("instead of where it listens it printed `{line}`"))?;
    match endpoint.parse::<Endpoint>()? {
        Endpoint::Tcp(Address::Socket(SocketAddr::V4(address)))
        | Endpoint::Tls(Address::Socket(SocketAddr::V4(address)))
        | Endpoint::Udp(Address::Socket(SocketAddr::V4(address))) => Ok(address),
        other => bail!("{other} is no endpoint of TCP, TLS or UDP on an IPv4 address"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_where_a_server_listens() {
        for scheme in ["tcp", "tls", "udp"] {
            let address = parse(&format!("listening {scheme}://127.0.0.1:41231")).unwrap();
            assert_eq!(address, SocketAddrV4::new(Ipv4Addr::LOCALHOST, 41231));
        }
    }

    #[test]
    fn refuses_any_other_line() {
        for line in ["", "hello", "listening", "listening tcp://[::1]:7", "listening tcp://host:7"]
        {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
