//! A server under comparison: its name, its command, and how to learn where it listens.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, ensure};

use crate::child::{Child, own_command};
use crate::words::{Other, Words};
use crate::{listening, program};

/// How long a server may take until it accepts connections: enough for a slow runtime to start.
const START_WITHIN: Duration = Duration::from_secs(10);

/// How often a server that doesn't announce itself is tried.
const TRY_EVERY: Duration = Duration::from_millis(20);

/// How long to wait for the end of a server whose load has failed, in case it is the cause.
const BLAME_WITHIN: Duration = Duration::from_millis(200);

/// Which servers to compare.
#[derive(Debug, clap::Args)]
#[group(id = "targets")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) daemon: DaemonArgs,

    /// Another server that echoes, for example go='./echo -port {port}'; can be repeated
    #[arg(long, value_name = "NAME=COMMAND")]
    other: Vec<Other>,
}

/// Which daemon, and how it is run.
#[derive(Debug, clap::Args)]
#[group(id = "daemons")]
pub(crate) struct DaemonArgs {
    /// The daemon to measure, or `none` [default: the volleyd beside this program]
    #[arg(long, value_name = "PATH")]
    daemon: Option<PathBuf>,

    /// More arguments for the daemon, in one text, for example '--reply ack'
    #[arg(long, value_name = "ARGUMENTS", allow_hyphen_values = true, default_value = "")]
    daemon_args: Words,

    /// Payload bytes of the daemon's replies when it doesn't echo, for example 32 for receipts
    #[arg(long, value_name = "BYTES")]
    reply_size: Option<usize>,
}

impl Args {
    /// The daemon, unless it is left out, and the others in the order in which they were given.
    ///
    /// # Errors
    ///
    /// When the daemon has not been built.
    pub(crate) fn targets(&self) -> Result<Vec<Target>> {
        let mut targets: Vec<Target> = self.daemon.target()?.into_iter().collect();
        targets.extend(self.other.iter().map(Target::from));
        Ok(targets)
    }
}

impl DaemonArgs {
    /// The daemon, unless it is left out.
    ///
    /// # Errors
    ///
    /// When it has not been built.
    pub(crate) fn target(&self) -> Result<Option<Target>> {
        let path = self.path()?;
        Ok(path.map(|path| self.target_at("tcp://127.0.0.1:0", "volleyd", path)))
    }

    /// The daemon behind TLS, if it is not left out, with a certificate of its own making in `files`.
    ///
    /// # Errors
    ///
    /// When the daemon has not been built, or makes none.
    pub(crate) fn tls_target(&self, files: &Path) -> Result<Option<Target>> {
        let Some(path) = self.path()? else { return Ok(None) };
        let made = process::Command::new(&path).arg("--dev-cert").arg(files).output();
        let made = made.with_context(|| format!("cannot run {}", path.display()))?;
        ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr).trim());
        let mut target = self.target_at("tls://127.0.0.1:0", "volleyd, TLS", path);
        if let Command::Announces(command) = &mut target.command {
            for (flag, file) in [("--cert", "cert.pem"), ("--key", "key.pem")] {
                command.extend([flag.into(), files.join(file).into_os_string()]);
            }
        }
        target.ca = Some(files.join("ca.pem"));
        Ok(Some(target))
    }

    fn path(&self) -> Result<Option<PathBuf>> {
        program::own("volleyd", "--daemon", self.daemon.as_deref())
    }

    fn target_at(&self, endpoint: &str, name: &str, path: PathBuf) -> Target {
        let mut command = vec![path.into_os_string()];
        command.extend(["--listen", endpoint].map(OsString::from));
        command.extend(self.daemon_args.filled(&[]));
        Target { reply_size: self.reply_size, ..Target::announcing(name, command) }
    }
}

/// One server to compare; it runs only between [`Target::start`] and the drop of what that gives.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// What the tables and the errors call it.
    pub(crate) name: String,
    /// Payload bytes of its replies; none when it echoes.
    pub(crate) reply_size: Option<usize>,
    /// Who has signed its certificate, if it speaks TLS.
    pub(crate) ca: Option<PathBuf>,
    command: Command,
}

#[derive(Clone, Debug)]
enum Command {
    /// It chooses its port and prints a line that says which.
    Announces(Vec<OsString>),
    /// `{port}` in it becomes a free port.
    TakesPort(Words),
}

impl Target {
    /// The limit: one thread that sends back what it receives.
    ///
    /// # Errors
    ///
    /// When the system doesn't tell where this program is.
    pub(crate) fn raw_echo() -> Result<Self> {
        Self::own("raw-echo", [])
    }

    /// The same, not counting what comes over the first so many connections.
    ///
    /// # Errors
    ///
    /// When the system doesn't tell where this program is.
    pub(crate) fn raw_echo_after(connections: usize) -> Result<Self> {
        Self::own("raw-echo", [&format!("--uncounted={connections}")])
    }

    /// What people write first: Tokio, `Framed`, one send per reply.
    ///
    /// # Errors
    ///
    /// When the system doesn't tell where this program is.
    pub(crate) fn framed_echo() -> Result<Self> {
        Self::own("framed-echo", [])
    }

    /// What people write first for datagrams: Tokio, `recv_from` and `send_to`.
    ///
    /// # Errors
    ///
    /// When the system doesn't tell where this program is.
    pub(crate) fn plain_udp() -> Result<Self> {
        Self::own("plain-udp", [])
    }

    /// A server that says where it listens.
    pub(crate) fn announcing(name: &str, command: Vec<OsString>) -> Self {
        let command = Command::Announces(command);
        Self { name: name.to_owned(), reply_size: None, ca: None, command }
    }

    fn own<const N: usize>(name: &str, arguments: [&str; N]) -> Result<Self> {
        let mut command = own_command([name])?;
        command.extend(arguments.map(OsString::from));
        Ok(Self::announcing(name, command))
    }

    /// Starts it on one CPU, or on any, and waits until it accepts connections.
    ///
    /// # Errors
    ///
    /// When it ends instead, or isn't ready within ten seconds.
    pub(crate) fn start(&self, cpu: Option<usize>) -> Result<Running> {
        match &self.command {
            Command::Announces(command) => {
                let mut child = Child::spawn(&self.name, command, cpu)?;
                let line = child.line(START_WITHIN)?;
                let address = listening::parse(&line).map_err(|error| {
                    child.failure("does not say where it listens").context(error)
                })?;
                Ok(Running { child, address })
            }
            Command::TakesPort(words) => {
                let address = free_address()?;
                let command = words.filled(&[("port", address.port().to_string())]);
                let mut child = Child::spawn(&self.name, &command, cpu)?;
                await_accept(&mut child, address)?;
                Ok(Running { child, address })
            }
        }
    }
}

impl Target {
    /// A server that is told its port, as `{port}` in `command`, and speaks TLS with a certificate that
    /// `ca` has signed.
    pub(crate) fn over_tls(name: &str, command: Words, ca: PathBuf) -> Self {
        let command = Command::TakesPort(command);
        Self { name: name.to_owned(), reply_size: None, ca: Some(ca), command }
    }
}

impl From<&Other> for Target {
    fn from(other: &Other) -> Self {
        Self {
            name: other.name.clone(),
            reply_size: None,
            ca: None,
            command: Command::TakesPort(other.command.clone()),
        }
    }
}

/// A server that accepts connections; dropping it stops it.
#[derive(Debug)]
pub(crate) struct Running {
    /// Its process.
    pub(crate) child: Child,
    /// Where it accepts.
    pub(crate) address: SocketAddrV4,
}

impl Running {
    /// Adds to what its load met that the server has ended, if it has: that is the cause then.
    pub(crate) fn blame(&mut self, error: Error) -> Error {
        match self.child.end(BLAME_WITHIN) {
            Some(end) => error.context(end),
            None => error,
        }
    }
}

/// An address on which nobody listens. Another process could take it before the server does; then
/// the server fails to bind and says so.
fn free_address() -> Result<SocketAddrV4> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?;
    Ok(SocketAddrV4::new(Ipv4Addr::LOCALHOST, listener.local_addr()?.port()))
}

fn await_accept(child: &mut Child, address: SocketAddrV4) -> Result<()> {
    let deadline = Instant::now() + START_WITHIN;
    loop {
        if let Some(end) = child.end(Duration::ZERO) {
            return Err(end);
        }
        if TcpStream::connect_timeout(&address.into(), START_WITHIN).is_ok() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(child.failure(&format!("accepts nothing on {address}")));
        }
        thread::sleep(TRY_EVERY);
    }
}
