//! Measures how near servers and load generators of length-prefixed frames come to the limit of the
//! machine.
//!
//! Here is only the command line. A visible mode (`server`, `load`, `tls`, `client`, `udp`,
//! `idle`, `fairness`) starts this same program again for each side of a measurement, as one of the hidden
//! subcommands.

mod child;
mod client;
mod comparison;
mod counted;
mod descriptors;
mod fairness;
mod flood;
mod framed_echo;
mod generator;
mod grid;
mod idle;
mod listening;
mod load;
mod pin;
mod pinned;
mod plain_udp;
mod program;
mod raw_echo;
mod raw_idle;
mod raw_load;
mod raw_udp_load;
mod received;
mod report;
mod rss;
mod server;
mod stats;
mod stopped;
mod target;
mod tls;
mod tls_client;
mod udp;
mod words;

use clap::{Parser, Subcommand};
use volley_cli::Exit;

/// Measures servers and load generators side by side with the limit of this machine.
#[derive(Debug, Parser)]
#[command(name = "volley-bench", version)]
struct Args {
    #[command(subcommand)]
    mode: Mode,
}

#[derive(Debug, Subcommand)]
enum Mode {
    /// Frames per second of each server, as a ratio to the raw limit
    Server(server::Args),
    /// Frames per second of each load generator, as a ratio to the raw limit
    Load(load::Args),
    /// Frames per second of the daemon over TLS, as a ratio to HAProxy before it
    Tls(tls::Args),
    /// What `volley send` costs: its start, beside redis-cli, and a stream through the daemon
    Client(client::Args),
    /// Resident bytes of each server per idle connection
    Idle(idle::Args),
    /// Datagrams per second of the daemon, as a ratio to a plain loop
    Udp(udp::Args),
    /// How long 100 connections wait beside one that floods the daemon, and without it
    Fairness(fairness::Args),

    /// Runs a command on one CPU, and for no longer than its parent lives
    #[command(hide = true)]
    Pinned(pinned::Args),
    /// The limit of a server: echoes bytes, and counts them
    #[command(hide = true)]
    RawEcho(raw_echo::Args),
    /// The server that people write first: Tokio, Framed, one send per reply
    #[command(hide = true)]
    FramedEcho(listening::Args),
    /// The server of datagrams that people write first: Tokio, recv_from and send_to
    #[command(hide = true)]
    PlainUdp(listening::Args),
    /// Fills the queue of a server that it has stopped, and counts what comes back afterwards
    #[command(hide = true)]
    RawUdpLoad(raw_udp_load::Args),
    /// The limit of a load generator: sends batches, counts bytes
    #[command(hide = true)]
    RawLoad(raw_load::Args),
    /// Opens connections, uses each once and holds them
    #[command(hide = true)]
    RawIdle(raw_idle::Args),
    /// Floods a server over one connection
    #[command(hide = true)]
    Flood(flood::Args),
}

fn main() -> Exit {
    let done = match Args::parse().mode {
        Mode::Server(args) => server::run(&args),
        Mode::Load(args) => load::run(&args),
        Mode::Tls(args) => tls::run(&args),
        Mode::Client(args) => client::run(&args),
        Mode::Idle(args) => idle::run(&args),
        Mode::Udp(args) => udp::run(&args),
        Mode::Fairness(args) => fairness::run(&args),
        Mode::Pinned(args) => pinned::run(&args),
        Mode::RawEcho(args) => raw_echo::run(&args),
        Mode::FramedEcho(args) => framed_echo::run(&args),
        Mode::PlainUdp(args) => plain_udp::run(&args),
        Mode::RawUdpLoad(args) => raw_udp_load::run(&args),
        Mode::RawLoad(args) => raw_load::run(&args),
        Mode::RawIdle(args) => raw_idle::run(&args),
        Mode::Flood(args) => flood::run(&args),
    };
    match done {
        Ok(()) => Exit::Success,
        Err(error) => {
            report::tell(&format!("error: {error}"));
            for cause in error.chain().skip(1) {
                report::tell(&format!("because {cause}"));
            }
            Exit::Failure
        }
    }
}
