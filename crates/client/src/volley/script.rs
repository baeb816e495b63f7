//! `volley script`: conversations that are written down.
//!
//! ```text
//!   paths -> find -> texts -> reader, parser, lexer -> scripts -> player -> outcomes -> report
//! ```
//!
//! All scripts are read before the first is played. A player holds one conversation: a connection
//! on which it says what the script says, and judges what comes.

mod args;
mod conversation;
mod error;
mod find;
mod finder;
mod judge;
mod lexer;
mod outcome;
mod parser;
mod player;
mod reader;
mod report;
mod sent;
mod statement;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::spawn_blocking;
use tokio::time::timeout;
use volley_cli::Exit;
use volley_client::flags::Approach;

pub(crate) use args::ScriptArgs;
use error::ScriptError;
use outcome::{Outcome, Verdict, exit};
use parser::Surroundings;
use player::Player;
use report::Reports;
use statement::Script;

use crate::failure::{Failure, tell};
use crate::signals::Signals;
use crate::stderr::AT_THE_END;
use crate::wire::Wire;

pub(crate) async fn run(args: ScriptArgs, mut signals: Signals) -> Result<(), Failure> {
    let paths = args.paths.clone();
    // stdin may be a terminal or a pipe, which one waits for.
    let read = spawn_blocking(move || read_all(&paths));
    let scripts = tokio::select! {
        read = read => read.map_err(|error| Failure::Setup { source: error.into() })??,
        signal = signals.next() => return Err(signal),
    };
    let endpoints = scripts.iter().flat_map(|script| script.endpoints(&args.to));
    let approach = args.connect.approach(endpoints, tell)?;
    if args.check {
        return Ok(());
    }
    let wanted = args.report.clone();
    // A named pipe waits for whoever reads it.
    let created = spawn_blocking(move || Reports::create(&wanted));
    let mut reports = tokio::select! {
        created = created => created.map_err(|error| Failure::Setup { source: error.into() })??,
        signal = signals.next() => return Err(signal),
    };
    reports.begin(scripts.len());
    let start = Instant::now();
    let mut outcomes = Vec::new();
    let ended =
        play_all(&args, &approach, &scripts, &mut reports, &mut outcomes, &mut signals).await;
    for (number, script) in (1..).zip(&scripts).skip(outcomes.len()) {
        let (name, verdict) = (script.name.clone(), Verdict::NotPlayed);
        let outcome = Outcome { name, verdict, elapsed: Duration::ZERO };
        reports.take(number, &outcome);
        outcomes.push(outcome);
    }
    reports.end(&outcomes, start.elapsed());
    match ended {
        Err(Failure::Signal(_)) => {
            // Whoever reads stdout may have stopped, and may have sent the signal for that.
            let _ = timeout(AT_THE_END, reports.flush()).await;
            return ended;
        }
        Err(_) => return ended,
        Ok(()) => {}
    }
    tokio::select! {
        flushed = reports.flush() => flushed?,
        signal = signals.next() => return Err(signal),
    }
    match exit(&outcomes) {
        Exit::Success => Ok(()),
        exit => Err(Failure::Told(exit)),
    }
}

/// Reads every script, also behind one that cannot be read: who corrects one wants to know of all.
fn read_all(paths: &[PathBuf]) -> Result<Vec<Script>, Failure> {
    let (mut scripts, mut first_exit) = (Vec::new(), None);
    let mut note = |error: ScriptError| {
        error.report();
        first_exit.get_or_insert(error.exit());
    };
    for path in paths {
        let found = match find::find(path) {
            Ok(found) => found,
            Err(error) => {
                note(error);
                continue;
            }
        };
        for found in found {
            let variable = &|name: &str| std::env::var_os(name);
            let surroundings = Surroundings { variable, directory: &found.directory };
            match reader::read(&found.name, &found.text, &surroundings) {
                Ok(script) => scripts.push(script),
                Err(error) => note(error),
            }
        }
    }
    match first_exit {
        None => Ok(scripts),
        Some(exit) => Err(Failure::Told(exit)),
    }
}

/// Plays the scripts in turn, and reports each as soon as it has been played.
async fn play_all(
    args: &ScriptArgs,
    approach: &Approach,
    scripts: &[Script],
    reports: &mut Reports,
    outcomes: &mut Vec<Outcome>,
    signals: &mut Signals,
) -> Result<(), Failure> {
    let wire = Wire::new(args.verbose).map(Arc::new);
    for (number, script) in (1..).zip(scripts) {
        if let Some(wire) = &wire {
            wire.note(&script.name);
        }
        let start = Instant::now();
        let mut player = Player::new(&args.to, approach, args.timeout, wire.clone());
        let (played, signal) = tokio::select! {
            played = player.play(script) => (played, None),
            signal = signals.next() => match player.interrupted(signal.exit()) {
                Some(interrupted) => (Err(interrupted), Some(signal)),
                None => return Err(signal),
            },
        };
        let elapsed = start.elapsed();
        let verdict = match played {
            Ok(()) => Verdict::Passed,
            Err(failed) => Verdict::Failed(failed),
        };
        let outcome = Outcome { name: script.name.clone(), verdict, elapsed };
        reports.take(number, &outcome);
        let has_failed = outcome.failed().is_some();
        outcomes.push(outcome);
        if let Some(signal) = signal {
            return Err(signal);
        }
        tokio::select! {
            flushed = reports.flush() => flushed?,
            signal = signals.next() => return Err(signal),
        }
        if has_failed && args.fail_fast {
            break;
        }
    }
    Ok(())
}
