//! The `load` mode: how near each load generator comes to the raw one, in frames per second.
//!
//! What counts is what the server has received, whatever a generator says of itself.

use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, ensure};

use crate::child::Child;
use crate::comparison::{self, Contender, Trial};
use crate::counted::{Counted, RECEIVED};
use crate::generator::{self, Generator, Job, Raw};
use crate::received;
use crate::target::Target;

/// How long a generator may take besides measuring: to connect, and to await the last replies.
const SPARE: Duration = Duration::from_secs(60);

/// How often the server is asked whether the load has begun.
const ASK_EVERY: Duration = Duration::from_millis(10);

/// How long the server may take to tell what it has received.
const TELL_WITHIN: Duration = Duration::from_secs(5);

/// What to compare, and with which loads.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    generators: generator::Args,

    #[command(flatten)]
    comparison: comparison::Args,
}

/// Measures and prints the tables.
///
/// # Errors
///
/// The first failure of a generator or of the server ends the comparison.
pub(crate) fn run(args: &Args) -> Result<()> {
    let raw: Box<dyn Generator> = Box::new(Raw::new()?);
    comparison::run(&args.comparison, &raw, &args.generators.generators()?)
}

impl Contender for Box<dyn Generator> {
    fn name(&self) -> &str {
        self.as_ref().name()
    }

    fn measure(&self, trial: &Trial<'_>) -> Result<Option<f64>> {
        let Some(frame_len) = self.frame_len(trial.load) else { return Ok(None) };
        let received = received_from(self.as_ref(), trial)
            .with_context(|| format!("{} with {}", self.as_ref().name(), trial.load))?;
        Ok(Some(received.count as f64 / frame_len as f64 / received.time.as_secs_f64()))
    }
}

/// What a fresh server receives from a fresh process of `generator`.
fn received_from(generator: &dyn Generator, trial: &Trial<'_>) -> Result<Counted> {
    let &Trial { load, time, cpus } = trial;
    let mut server = Target::raw_echo_after(generator.connections_before())?.start(cpus.server)?;
    let command = generator.command(&Job { address: server.address, load, time });
    let mut process = Child::spawn(generator.name(), &command, cpus.load)?;
    let done = if generator.ends() {
        process.succeed(time + SPARE)
    } else {
        run_for(time, &mut process, &mut server.child)
    };
    done.map_err(|error| server.blame(error))?;
    drop(process);
    let received = total(&mut server.child)?;
    let told = RECEIVED.of(received);
    ensure!(!received.time.is_zero(), "the server {told}: too little to tell a rate");
    Ok(received)
}

/// Lets a generator run for `time` from the moment at which its load arrives.
fn run_for(time: Duration, process: &mut Child, server: &mut Child) -> Result<()> {
    let deadline = Instant::now() + SPARE;
    while server.line_so_far().is_none() {
        ensure!(Instant::now() < deadline, "the server has received nothing within {SPARE:?}");
        process.stay(ASK_EVERY)?;
    }
    process.stay(time)
}

/// Ends the server and has it tell what it has received.
fn total(server: &mut Child) -> Result<Counted> {
    server.terminate();
    loop {
        let line = server.line(TELL_WITHIN)?;
        if line != received::BEGUN {
            return RECEIVED.read(&line).map_err(Error::msg);
        }
    }
}
