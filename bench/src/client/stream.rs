//! A file as frames through the daemon and back, checked, beside what a load that checks nothing
//! gets through the same daemon.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::NamedTempFile;

use super::{volley, volleyd};
use crate::child::Child;
use crate::comparison::Trial;
use crate::grid::Load;
use crate::pin::Cpus;
use crate::rss::peak_bytes;
use crate::{report, server, stats};

/// How long a stream may take.
const WITHIN: Duration = Duration::from_secs(600);

/// How often the memory of the client is looked at: the system remembers the peak, until the end.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What to stream, and how often.
#[derive(Debug, clap::Args)]
#[group(id = "stream")]
pub(crate) struct Args {
    /// Bytes of the file
    #[arg(long, default_value = "1GiB", value_parser = volley_cli::parse_bytes)]
    file: u64,

    /// Payload bytes of a frame
    #[arg(long, default_value = "64KiB", value_parser = volley_cli::parse_bytes)]
    chunk: u64,

    /// How often each is measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
}

/// Streams the file and puts the load on the daemon in turn, and prints the table.
///
/// # Errors
///
/// The first failure of a program ends it.
pub(crate) fn run(args: &Args, cpus: &Cpus) -> Result<()> {
    ensure!(args.file > 0 && args.chunk > 0, "nothing to stream: --file and --chunk must not be 0");
    let size = usize::try_from(args.chunk)?;
    // As many frames at once as make up what the client has under way by default.
    let load = Load { connections: 1, pipeline: ((1 << 20) / size).max(1), size };
    let file = random_file(args.file)?;
    let daemon = volleyd()?;
    report::tell(&format!("streaming {} in frames of {size} bytes", args.file));
    let (mut limits, mut rates, mut ratios, mut peak) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for _ in 0..args.rounds {
        let running = daemon.start(cpus.server)?;
        let trial = Trial { load, time: Duration::from_secs(1), cpus };
        let limit = server::drive(&daemon, &running, &trial)?;
        let mut command = vec![volley()?.into_os_string()];
        let words = [
            "send".to_owned(),
            format!("--to={}", running.address),
            format!("--chunk={size}"),
            "--output=raw".to_owned(),
            format!("@{}", file.path().display()),
        ];
        command.extend(words.map(OsString::from));
        let start = Instant::now();
        let mut client = Child::spawn("volley", &command, cpus.load)?;
        while client.stays(LOOK_EVERY) {
            // It may have ended since.
            peak = peak.max(peak_bytes(client.id()).unwrap_or(0));
            ensure!(start.elapsed() < WITHIN, "volley has not ended within {WITHIN:?}");
        }
        client.succeed(WITHIN)?;
        let rate = args.file.div_ceil(args.chunk) as f64 / start.elapsed().as_secs_f64();
        limits.push(limit);
        rates.push(rate);
        ratios.push(rate / limit);
    }
    let [limit, rate, ratio] =
        [limits, rates, ratios].map(|figures| stats::median(&figures).unwrap_or(f64::NAN));
    let head = ["frames/s of", "raw-load", "volley send", "ratio", "peak memory of volley, bytes"];
    let row = vec![
        format!("{size} bytes"),
        report::group(limit),
        report::group(rate),
        format!("{ratio:.2}"),
        report::group(peak as f64),
    ];
    let table = report::named_table(head.map(str::to_owned).to_vec(), [row].into_iter());
    report::print(&format_args!("{table}\n"))
}

/// A file that no link could compress, with so many bytes.
fn random_file(len: u64) -> Result<NamedTempFile> {
    let mut file = NamedTempFile::new().context("no place for the file")?;
    let mut random = File::open("/dev/urandom")?.take(len);
    io::copy(&mut random, &mut file).context("no place for the file")?;
    Ok(file)
}
