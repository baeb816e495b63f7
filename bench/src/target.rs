//! A server under comparison: its name, its command, and how to learn where it listens.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::path::PathBuf;
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, ensure};

use crate::child::{Child, own_command};
use crate::listening;

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
    /// The daemon to measure, or `none` [default: the volleyd beside this program]
    #[arg(long, value_name = "PATH")]
    daemon: Option<PathBuf>,

    /// More arguments for the daemon, in one text, for example '--reply ack'
    #[arg(long, value_name = "ARGUMENTS", allow_hyphen_values = true, default_value = "")]
    daemon_args: Words,

    /// Payload bytes of the daemon's replies when it doesn't echo, for example 32 for receipts
    #[arg(long, value_name = "BYTES")]
    reply_size: Option<usize>,

    /// Another server that echoes, for example go='./echo -port {port}'; can be repeated
    #[arg(long, value_name = "NAME=COMMAND")]
    other: Vec<Other>,
}

impl Args {
    /// The daemon, unless it is left out, and the others in the order in which they were given.
    ///
    /// # Errors
    ///
    /// When the daemon has not been built.
    pub(crate) fn targets(&self) -> Result<Vec<Target>> {
        let mut targets = Vec::new();
        if self.daemon.as_ref().is_none_or(|path| path.as_os_str() != "none") {
            targets.push(self.daemon()?);
        }
        targets.extend(self.other.iter().map(Target::from));
        Ok(targets)
    }

    fn daemon(&self) -> Result<Target> {
        let path = match &self.daemon {
            Some(path) => path.clone(),
            None => std::env::current_exe()?.with_file_name("volleyd"),
        };
        ensure!(
            path.is_file(),
            "no daemon at {}: build it with `cargo build --release`, name another with \
             `--daemon PATH`, or leave it out with `--daemon none`",
            path.display()
        );
        let mut command = vec![path.into_os_string()];
        command.extend(["--listen", "tcp://127.0.0.1:0"].map(OsString::from));
        command.extend(self.daemon_args.0.iter().map(OsString::from));
        Ok(Target {
            name: "volleyd".to_owned(),
            reply_size: self.reply_size,
            command: Command::Announces(command),
        })
    }
}

/// One server to compare; it runs only between [`Target::start`] and the drop of what that gives.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// What the tables and the errors call it.
    pub(crate) name: String,
    /// Payload bytes of its replies; none when it echoes.
    pub(crate) reply_size: Option<usize>,
    command: Command,
}

#[derive(Clone, Debug)]
enum Command {
    /// It chooses its port and prints a line that says which.
    Announces(Vec<OsString>),
    /// `{port}` in it becomes a free port.
    TakesPort(Vec<String>),
}

impl Target {
    /// The limit: one thread that sends back what it receives.
    ///
    /// # Errors
    ///
    /// When the system doesn't tell where this program is.
    pub(crate) fn raw_echo() -> Result<Self> {
        Self::own("raw-echo")
    }

    /// What people write first: Tokio, `Framed`, one send per reply.
    ///
    /// # Errors
    ///
    /// When the system doesn't tell where this program is.
    pub(crate) fn framed_echo() -> Result<Self> {
        Self::own("framed-echo")
    }

    fn own(name: &str) -> Result<Self> {
        let command = Command::Announces(own_command([name])?);
        Ok(Self { name: name.to_owned(), reply_size: None, command })
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
                let port = address.port().to_string();
                let command: Vec<OsString> =
                    words.iter().map(|word| word.replace("{port}", &port).into()).collect();
                let mut child = Child::spawn(&self.name, &command, cpu)?;
                await_accept(&mut child, address)?;
                Ok(Running { child, address })
            }
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

/// Arguments in one text, quoted as for a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Words(Vec<String>);

impl FromStr for Words {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        shlex::split(text).map(Self).ok_or_else(|| format!("`{text}`: a quote is not closed"))
    }
}

/// A server that somebody else wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Other {
    name: String,
    words: Vec<String>,
}

impl From<&Other> for Target {
    fn from(other: &Other) -> Self {
        Self {
            name: other.name.clone(),
            reply_size: None,
            command: Command::TakesPort(other.words.clone()),
        }
    }
}

impl FromStr for Other {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, command) = text
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| format!("`{text}` is no NAME=COMMAND"))?;
        let Words(words) = command.parse()?;
        if !words.iter().any(|word| word.contains("{port}")) {
            return Err(format!("`{command}` has no {{port}}: where is it to listen?"));
        }
        Ok(Self { name: name.to_owned(), words })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_name_and_a_quoted_command() {
        let other: Other = "go=./echo -name='a b' -listen 127.0.0.1:{port}".parse().unwrap();
        assert_eq!(other.name, "go");
        assert_eq!(other.words, ["./echo", "-name=a b", "-listen", "127.0.0.1:{port}"]);
    }

    #[test]
    fn refuses_a_server_that_cannot_be_started_or_found() {
        for text in ["", "go", "=./echo {port}", "go=", "go=./echo", "go=./echo '{port}"] {
            assert!(text.parse::<Other>().is_err(), "{text}");
        }
    }
}
