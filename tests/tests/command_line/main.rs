//! The manners that the programs share: their help, their mistakes, and what packagers get of them.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, also in what it calls")]

mod completions;
mod generate;
mod help;
mod install;
mod manners;
mod manual;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Stdio;

use tokio::process::Command;
use volley_tests::{Ended, run};

/// Every command line there is: the programs, and the programs with their commands.
async fn command_lines() -> Vec<Vec<String>> {
    let mut lines = Vec::new();
    for name in PROGRAMS {
        let line = vec![name.to_owned()];
        let commands = commands(&line).await;
        let of_command = |command| vec![name.to_owned(), command];
        lines.extend([line].into_iter().chain(commands.into_iter().map(of_command)));
    }
    assert!(lines.len() >= 7, "{lines:?}");
    lines
}

const PROGRAMS: [&str; 3] = ["volley", "volley-load", "volleyd"];

/// A program with nothing of this environment that would colour its output or set its width.
fn program(name: &str) -> Command {
    let mut command = volley_tests::program(name);
    for variable in ["CLICOLOR", "CLICOLOR_FORCE", "COLUMNS", "NO_COLOR"] {
        command.env_remove(variable);
    }
    command
}

/// Runs a program with these arguments and no input.
async fn ended(line: &[impl AsRef<str>], more: &[&str]) -> Ended {
    let mut command = program(line[0].as_ref());
    command.args(line[1..].iter().map(AsRef::as_ref)).args(more);
    run(&mut command, b"").await
}

/// What a program prints, and nothing else.
#[track_caller]
fn stdout(ended: Ended) -> String {
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    String::from_utf8(ended.stdout).unwrap()
}

/// The help of a command line, for a terminal of this width.
async fn help(line: &[String], flag: &str, columns: &str) -> String {
    let mut command = program(&line[0]);
    command.args(&line[1..]).arg(flag).env("COLUMNS", columns);
    stdout(run(&mut command, b"").await)
}

/// What `--generate` prints.
async fn generated(program: &str, kind: &str) -> String {
    stdout(ended(&[program], &["--generate", kind]).await)
}

/// The commands of a program, by its help; not `help`, which needs no page.
async fn commands(line: &[String]) -> Vec<String> {
    let help = help(line, "--help", "100").await;
    let Some((_, commands)) = help.split_once("\nCommands:\n") else { return Vec::new() };
    let names = commands.lines().map_while(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// The long flags of a command line, by its help.
async fn flags(line: &[String]) -> BTreeSet<String> {
    let help = help(line, "--help", "100").await;
    // A flag stands before this column, what is said of it behind.
    let flags = help.lines().filter(|line| line.len() - line.trim_start().len() < 8);
    let flags = flags.filter(|line| line.trim_start().starts_with('-')).filter_map(|line| {
        let flag = &line[line.find("--")?..];
        let end = flag.find(|c: char| c != '-' && !c.is_ascii_alphanumeric());
        Some(flag[..end.unwrap_or(flag.len())].to_owned())
    });
    let flags: BTreeSet<_> = flags.collect();
    assert!(flags.contains("--help"), "{help}");
    flags
}

/// Another program.
fn other(name: &str) -> Command {
    let mut command = Command::new(name);
    command.kill_on_drop(true).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The root of the repository.
fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}
