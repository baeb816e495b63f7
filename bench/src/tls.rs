//! The `tls` mode: how many frames per second the daemon answers over TLS, beside HAProxy that ends TLS
//! before the same daemon.

use std::fs;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result};

use crate::comparison::{self, Contender, Trial};
use crate::program;
use crate::server::drive;
use crate::target::{DaemonArgs, Target};
use crate::words::Words;

/// What to compare, and under which loads.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    daemon: DaemonArgs,

    #[command(flatten)]
    comparison: comparison::Args,
}

/// Measures and prints the tables.
///
/// # Errors
///
/// When HAProxy is not installed. The first failure of a server or of the load ends the comparison.
pub(crate) fn run(args: &Args) -> Result<()> {
    let files = tempfile::tempdir().context("no place for a certificate")?;
    let certificates = files.path().join("tls");
    let behind = args.daemon.target()?.context("the daemon is what is measured here")?;
    let alone = args.daemon.tls_target(&certificates)?.context("the daemon is left out")?;
    let proxy = HaProxy::new(files.path(), &certificates, behind)?;
    comparison::run(&args.comparison, &Server::Behind(proxy), &[Server::Alone(alone)])
}

/// A server under comparison.
enum Server {
    /// The daemon itself speaks TLS.
    Alone(Target),
    /// It does not, and there is one before it who does.
    Behind(HaProxy),
}

impl Contender for Server {
    fn name(&self) -> &str {
        match self {
            Self::Alone(target) => Contender::name(target),
            Self::Behind(proxy) => &proxy.proxy.name,
        }
    }

    fn measure(&self, trial: &Trial<'_>) -> Result<Option<f64>> {
        match self {
            Self::Alone(target) => target.measure(trial),
            Self::Behind(proxy) => proxy.measure(trial).map(Some),
        }
    }
}

/// HAProxy before a daemon, both on the one CPU of the server.
struct HaProxy {
    daemon: Target,
    proxy: Target,
    /// Its configuration.
    path: PathBuf,
    /// Certificate and key in one file, as it wants them.
    pair: PathBuf,
}

impl HaProxy {
    fn new(files: &Path, certificates: &Path, daemon: Target) -> Result<Self> {
        let program = program::installed("haproxy").context("no haproxy: install it")?;
        let (path, pair) = (files.join("haproxy.cfg"), files.join("pair.pem"));
        let read = |name| fs::read_to_string(certificates.join(name));
        fs::write(&pair, read("cert.pem")? + &read("key.pem")?)?;
        let words = [program.as_path(), Path::new("-db"), Path::new("-f"), path.as_path()];
        let words = words.map(|word| word.to_str().context("a path that is no text"));
        let words: Vec<_> = words.into_iter().collect::<Result<_>>()?;
        // Its configuration takes the port from the environment.
        let command = format!("env {PORT}={{port}} {}", shlex::try_join(words)?);
        let command: Words = command.parse().map_err(Error::msg)?;
        let mut proxy = Target::over_tls("haproxy, TLS", command, certificates.join("ca.pem"));
        proxy.reply_size = daemon.reply_size;
        Ok(Self { daemon, proxy, path, pair })
    }

    fn measure(&self, trial: &Trial<'_>) -> Result<f64> {
        let mut daemon = self.daemon.start(trial.cpus.server)?;
        fs::write(&self.path, configuration(daemon.address, &self.pair))?;
        let mut proxy = self.proxy.start(trial.cpus.server)?;
        drive(&self.proxy, &proxy, trial)
            .map_err(|error| daemon.blame(proxy.blame(error)))
            .with_context(|| format!("{} under {}", self.proxy.name, trial.load))
    }
}

/// The variable with the port of HAProxy.
const PORT: &str = "VOLLEY_BENCH_PORT";

/// One thread, as there is one CPU; no log, no checks, nothing else to do.
fn configuration(daemon: SocketAddrV4, pair: &Path) -> String {
    format!(
        "global
    nbthread 1
    maxconn 8000
defaults
    mode tcp
    timeout connect 10s
    timeout client 1h
    timeout server 1h
listen tls
    bind \"127.0.0.1:${{{PORT}}}\" ssl crt \"{}\"
    server volleyd {daemon}
",
        pair.display()
    )
}
