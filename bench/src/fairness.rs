//! The `fairness` mode: how long many connections with one frame each wait, alone and beside one
//! that floods the same thread.

use std::ffi::OsString;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use tempfile::TempDir;

use crate::child::{Child, own_command};
use crate::comparison::parse_seconds;
use crate::pin::Cpus;
use crate::target::{Running, Target};
use crate::{program, report, stats};

/// How long the load tester may take besides measuring.
const SPARE: Duration = Duration::from_secs(60);

/// How long the flood may take to begin.
const BEGIN_WITHIN: Duration = Duration::from_secs(10);

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many connections with one frame each
    #[arg(long, default_value_t = 100)]
    connections: usize,

    /// Payload bytes of the frames with which the server is flooded
    #[arg(long, default_value_t = 64)]
    flood_size: usize,

    /// How often to measure
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,

    /// How long each measurement takes
    #[arg(long, default_value = "2", value_parser = parse_seconds)]
    seconds: Duration,
}

/// Measures and prints the table.
///
/// # Errors
///
/// The first failure of the server or of a load ends it.
pub(crate) fn run(args: &Args) -> Result<()> {
    let cpus = Cpus::choose()?;
    let volleyd = program::own("volleyd", "PATH", None)?.context("no volleyd")?;
    let arguments = ["--listen", "tcp://127.0.0.1:0", "--threads", "1", "--log", "off"];
    let mut command = vec![volleyd.into_os_string()];
    command.extend(arguments.map(OsString::from));
    let target = Target::announcing("volleyd", command);
    let mut rows = Vec::new();
    for round in 1..=args.rounds {
        report::tell(&format!("measuring, round {round} of {}", args.rounds));
        let server = target.start(cpus.server)?;
        let alone = p99(args, &server, &cpus)?;
        let beside = {
            let mut flood = own_command(["flood"])?;
            let words = [server.address.to_string(), args.flood_size.to_string()];
            flood.extend(words.map(OsString::from));
            let mut flood = Child::spawn("the flood", &flood, cpus.load)?;
            flood.line(BEGIN_WITHIN)?;
            p99(args, &server, &cpus)?
        };
        rows.push([alone, beside, beside / alone]);
    }
    let column =
        |i: usize| stats::median(&rows.iter().map(|row: &[f64; 3]| row[i]).collect::<Vec<_>>());
    let [alone, beside, ratio] = [0, 1, 2].map(|i| column(i).unwrap_or(f64::NAN));
    let head = ["", "p99 alone, µs", "p99 beside a flood, µs", "ratio"].map(str::to_owned);
    let row = |name: &str, [alone, beside, ratio]: [f64; 3]| {
        vec![name.to_owned(), report::group(alone), report::group(beside), format!("{ratio:.2}")]
    };
    let lines =
        rows.iter().enumerate().map(|(i, &figures)| row(&format!("round {}", i + 1), figures));
    let table =
        report::named_table(head.to_vec(), lines.chain([row("median", [alone, beside, ratio])]));
    report::print(&format_args!("{table}\n"))
}

/// The 99th percentile of the response time of one frame at a time on each connection, in
/// microseconds.
fn p99(args: &Args, server: &Running, cpus: &Cpus) -> Result<f64> {
    let load = program::own("volley-load", "PATH", None)?.context("no volley-load")?;
    let folder = TempDir::new().context("no place for the report")?;
    let path = folder.path().join("report.json");
    let mut command = vec![load.into_os_string()];
    let words = [
        format!("--to={}", server.address),
        format!("--connections={}", args.connections),
        format!("--duration={}ms", args.seconds.as_millis()),
        format!("--json={}", path.display()),
    ];
    command.extend(["run", "-q", "--threads=1"].map(OsString::from));
    command.extend(words.map(OsString::from));
    Child::spawn("volley-load", &command, cpus.load)?.succeed(args.seconds + SPARE)?;
    let report: Value = serde_json::from_str(&fs::read_to_string(&path)?)?;
    let nanos = report.pointer("/run/response/p99_ns").and_then(Value::as_f64);
    Ok(nanos.context("a report without latencies")? / 1e3)
}
