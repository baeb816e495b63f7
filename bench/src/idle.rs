//! The `idle` mode: the memory that a server keeps for a connection on which nothing happens.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::child::{Child, own_command};
use crate::report;
use crate::rss::resident_bytes;
use crate::target::{self, Target};
use crate::{descriptors, raw_idle};

/// How long all connections together may take to be opened and used once.
const HOLD_WITHIN: Duration = Duration::from_secs(120);

/// How long a server has to give back what it needed for the last frames.
const SETTLE: Duration = Duration::from_secs(1);

/// What to compare, and with how many connections.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    targets: target::Args,

    /// How many connections to hold, as far as the limit on open files allows
    #[arg(long, default_value_t = 9000, value_parser = parse_connections)]
    connections: usize,

    /// Measure the daemon behind TLS as well
    #[arg(long)]
    tls: bool,
}

/// Measures and prints the table.
///
/// # Errors
///
/// The first failure of a server, or of a connection to it, ends the comparison.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut targets = vec![Target::framed_echo()?];
    targets.extend(args.targets.targets()?);
    let files = tempfile::tempdir().context("no place for a certificate")?;
    if args.tls {
        targets.extend(args.targets.daemon.tls_target(&files.path().join("tls"))?);
    }
    let possible = descriptors::connections()?;
    ensure!(possible > 0, "the limit on open files allows no connection: raise it (ulimit -Hn)");
    let connections = args.connections.min(possible);
    if connections < args.connections {
        report::tell(&format!(
            "warning: the limit on open files allows only {connections} of {} connections",
            args.connections
        ));
    }
    let mut rows = Vec::new();
    for target in &targets {
        report::tell(&format!("measuring {}", target.name));
        let (before, after) = measure(target, connections)
            .with_context(|| format!("{} with {connections} connections", target.name))?;
        let each = (after - before) / connections as f64;
        let numbers = [connections as f64, before, after, each].map(report::group);
        rows.push([vec![target.name.clone()], numbers.to_vec()].concat());
    }
    let head = ["server", "connections", "bytes before", "bytes after", "bytes per connection"];
    let table = report::named_table(head.map(str::to_owned).to_vec(), rows.into_iter());
    report::print(&format_args!("{table}\n"))
}

/// Resident bytes of a fresh process of `target`, before it had a connection and with all of them.
fn measure(target: &Target, connections: usize) -> Result<(f64, f64)> {
    // Unpinned: a server that sizes itself by the CPUs does so here as it does in service.
    let mut server = target.start(None)?;
    let before = resident_bytes(server.child.id())?;
    let mut command = own_command(["raw-idle"])?;
    command.extend(raw_idle::Args::new(server.address, connections, target).words());
    let mut peers = Child::spawn("the load", &command, None)?;
    peers.line(HOLD_WITHIN).map_err(|error| server.blame(error))?;
    thread::sleep(SETTLE);
    let after = resident_bytes(server.child.id()).map_err(|error| server.blame(error))?;
    Ok((before as f64, after as f64))
}

fn parse_connections(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(connections @ 1..=1_000_000) => Ok(connections),
        _ => Err(format!("`{text}` is no number from 1 to 1000000")),
    }
}
