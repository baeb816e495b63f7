//! From flags to a plan, and what the machine must allow for it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use volley_client::Framing;
use volley_load::limits::Limits;
use volley_load::limits::needs::Needs;
use volley_load::output::files::Paths;
use volley_load::plan::schedule::Schedule;
use volley_load::plan::{Life, Pace, Plan, Stop};
use volley_load::report::environment::cores;
use volley_proto::{MaxFrame, ReplyKind};

use crate::args::{Reconnect, RunArgs};
use crate::failure::Failure;
use crate::tell;

/// How long a run takes unless told.
const DURATION: Duration = Duration::from_secs(5);

/// The plan that the flags describe. Without targets it has none: the embedded server's address is
/// not known yet.
pub(crate) fn plan(args: &RunArgs) -> Result<Plan, Failure> {
    let connections = args.connections.get();
    args.framing.check(args.reply.map(ReplyKind::from), &args.to)?;
    let approach = args.connect.approach(&args.to, tell)?;
    let plan = Plan {
        targets: args.to.clone(),
        connections,
        idle: args.idle,
        connect_rate: args.connect_rate,
        sources: args.source.clone().map(Into::into).unwrap_or_default(),
        pipeline: args.pipeline.get(),
        sizes: args.size.clone(),
        payload: args.payload.as_deref().map(payload).transpose()?,
        framing: args.framing,
        hello: !args.no_hello && args.framing == Framing::Frames,
        reply: args.reply.map(ReplyKind::from),
        pace: pace(args)?,
        stop: stop(args),
        warmup: args.warmup,
        timeout: args.timeout,
        tls: approach.tls,
        proxy_header: approach.proxy_header,
        life: Life {
            frames: args.frames_per_connection.map(Into::into),
            reconnect: args.reconnect == Reconnect::Always,
        },
        seed: args.seed,
        threads: args.threads.map_or_else(default_threads, u32::from).min(connections),
    };
    if plan.framing == Framing::Raw && plan.shortest() == 0 {
        return Err(Failure::RawEmpty);
    }
    Ok(plan)
}

fn pace(args: &RunArgs) -> Result<Pace, Failure> {
    let burst = args.burst.get();
    let schedule = match (&args.rate, &args.plan) {
        (Some(rate), _) => Schedule::steady(*rate, burst)?,
        (None, Some(phases)) => Schedule::phases(phases.as_slice(), burst)?,
        (None, None) => return Ok(Pace::Closed),
    };
    Ok(Pace::Open { schedule, arrivals: args.arrivals.into() })
}

fn stop(args: &RunArgs) -> Stop {
    let duration = match args.duration {
        Some(Duration::ZERO) => None,
        Some(duration) => Some(duration),
        None => (args.frames.is_none() && args.plan.is_none()).then_some(DURATION),
    };
    Stop { duration, frames: args.frames.map(Into::into) }
}

fn payload(path: &Path) -> Result<Vec<u8>, Failure> {
    let payload =
        fs::read(path).map_err(|source| Failure::Payload { path: path.to_owned(), source })?;
    let (len, max) = (payload.len(), MaxFrame::CEILING.get());
    if len > max as usize {
        return Err(Failure::PayloadTooLong { path: path.to_owned(), len, max });
    }
    Ok(payload)
}

/// Half of the cores: the server, or whatever brings the frames there, needs some too.
pub(crate) fn default_threads() -> u32 {
    u32::try_from(cores() / 2).unwrap_or(1).max(1)
}

/// Threads of an embedded server: the cores that the sending threads leave.
pub(crate) fn server_threads(plan: &Plan) -> usize {
    cores().saturating_sub(plan.threads as usize).max(1)
}

/// Where the outputs go.
pub(crate) fn paths(args: &RunArgs) -> Paths {
    Paths {
        json: args.json.clone(),
        hgrm: args.hgrm.clone(),
        hlog: args.hlog.clone(),
        junit: args.junit.clone(),
    }
}

/// Raises what can be raised, and says what is missing.
pub(crate) fn check_limits(plan: &Plan, embedded: bool, outputs: u64) -> Result<(), Failure> {
    volley_cli::raise_descriptor_limit().map_err(|source| Failure::Setup { source })?;
    let needs = Needs { embedded, outputs, ..Needs::of(plan) };
    Limits::read().check(&needs).map_err(|shortages| Failure::Limits { shortages })
}
