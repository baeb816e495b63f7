//! One frame, from the start of the program to its end, beside what is the same for Redis.

use std::ffi::OsString;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::{volley, volleyd};
use crate::pin::Cpus;
use crate::target::Target;
use crate::words::Other;
use crate::{program, report, stats};

/// The server of the other client. It keeps nothing on disk.
const REDIS: &str = "redis=redis-server --port {port} --save '' --appendonly no";

/// How often to measure.
#[derive(Debug, clap::Args)]
#[group(id = "start-up")]
pub(crate) struct Args {
    /// How often each client is started
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    starts: u32,
}

/// A client that asks its server once and ends.
struct Client {
    name: &'static str,
    command: Vec<OsString>,
    /// What it prints then.
    prints: &'static str,
    /// Of each start, in milliseconds.
    times: Vec<f64>,
}

/// Starts the clients in turn, and prints the table.
///
/// # Errors
///
/// When one fails, or prints something else than it must.
pub(crate) fn run(args: &Args, cpus: &Cpus) -> Result<()> {
    let daemon = volleyd()?.start(cpus.server)?;
    let words = ["send", "--to", &daemon.address.to_string(), "hello"];
    let mut clients =
        vec![Client::new("volley send hello", volley()?.into_os_string(), words, "hello\n")];
    let mut redis = None;
    match (program::installed("redis-cli"), program::installed("redis-server")) {
        (Some(client), Some(_)) => {
            let server: Other = REDIS.parse().map_err(anyhow::Error::msg)?;
            let server = redis.insert(Target::from(&server).start(cpus.server)?);
            let words = ["-p", &server.address.port().to_string(), "ping"];
            clients.push(Client::new("redis-cli ping", client.into_os_string(), words, "PONG\n"));
        }
        _ => report::tell("redis-cli and redis-server are not installed: nothing to compare with"),
    }
    report::tell(&format!("starting each client {} times", args.starts));
    for _ in 0..args.starts {
        for client in &mut clients {
            client.start()?;
        }
    }
    drop(redis);
    let [volley, others @ ..] = &clients[..] else { return Ok(()) };
    let row = |client: &Client| {
        let pairs = volley.times.iter().zip(&client.times);
        let ratios: Vec<_> = pairs.map(|(volley, time)| volley / time).collect();
        let [time, ratio] =
            [&client.times, &ratios].map(|of| stats::median(of).unwrap_or(f64::NAN));
        vec![client.name.to_owned(), format!("{time:.2}"), format!("{ratio:.2}")]
    };
    let head = ["one frame, and out", "ms", "volley's ratio to it"].map(str::to_owned).to_vec();
    let rows = [volley].into_iter().chain(others).map(row);
    report::print(&format_args!("{}\n", report::named_table(head, rows)))
}

impl Client {
    fn new<const N: usize>(
        name: &'static str,
        program: OsString,
        words: [&str; N],
        prints: &'static str,
    ) -> Self {
        let mut command = vec![program];
        command.extend(words.map(OsString::from));
        Self { name, command, prints, times: Vec::new() }
    }

    /// Starts it, waits for its end, and notes how long that took.
    fn start(&mut self) -> Result<()> {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).env_remove("VOLLEY_TO").stdin(Stdio::null());
        let start = Instant::now();
        let output = command.output().with_context(|| format!("cannot start {}", self.name))?;
        let took = start.elapsed();
        ensure!(
            output.status.success() && output.stdout == self.prints.as_bytes(),
            "{} has ended ({}), and printed `{}`; it said: {}",
            self.name,
            output.status,
            String::from_utf8_lossy(&output.stdout).trim_end(),
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
        self.times.push(took.as_secs_f64() * 1e3);
        Ok(())
    }
}
