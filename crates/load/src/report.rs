//! The report of a run: plain data, which each output turns into text in its own way.
//!
//! Names and units here are those of the JSON report, whose schema is
//! `docs/report.schema.json`. Instants and latencies are whole nanoseconds. What is not known is
//! `None`, never 0 and never NaN.

pub mod checks;
pub mod compile;
pub mod environment;
pub mod figures;
pub mod metric;
pub mod recording;
pub mod threshold;
pub mod verdict;

use serde::Serialize;

use crate::measure::recorder::Latencies;

/// The version of the format. It grows when a field changes its meaning or goes away; new fields
/// alone don't change it.
pub const VERSION: u32 = 1;

/// Everything that is known of a run when it is over.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Report {
    /// Version of this format.
    pub version: u32,
    /// Whether the plan was carried out to its end. Not whether all went well.
    pub complete: bool,
    /// The exit code of the program that goes with this report; none while it runs.
    pub exit_code: Option<u8>,
    /// Why the run could not begin, or not be carried out to its end.
    pub error: Option<String>,
    /// When the program was started, by RFC 3339.
    pub started_at: String,
    /// What the run was to do.
    pub plan: PlanFigures,
    /// Where it was done.
    pub environment: Environment,
    /// What became of the connections.
    pub connections: Connections,
    /// The figures of the run. The warm-up is left out.
    pub run: Figures,
    /// The figures of the warm-up, if there was one. No other figure has them in it.
    pub warmup: Option<Figures>,
    /// The run second by second. The warm-up is left out.
    pub seconds: Vec<Second>,
    /// Seconds that were measured and are not listed, because there are too many.
    pub seconds_omitted: u64,
    /// What kept the rate from being higher.
    pub limit: Option<Limit>,
    /// What whoever reads the figures should know.
    pub warnings: Vec<Warning>,
    /// What was to be checked, and how it came out.
    pub thresholds: Vec<Check>,
    /// What went wrong with connections.
    pub problems: Vec<Problem>,
    /// The first replies that were wrong.
    pub bad_replies: Vec<BadReplyFigures>,
}

/// What the run was to do.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PlanFigures {
    /// Where the connections went.
    pub targets: Vec<String>,
    /// Whether the target was a server in this process.
    pub embedded: bool,
    /// Connections that send frames.
    pub connections: u32,
    /// Further connections that are only held open.
    pub idle: u32,
    /// New connections per second, if limited.
    pub connect_rate: Option<f64>,
    /// Local addresses to connect from; empty if left to the system.
    pub sources: Vec<String>,
    /// Frames in flight per connection, at most.
    pub pipeline: u32,
    /// Payload bytes of a frame, as `--size` takes them.
    pub size: String,
    /// Whether all frames have the same payload, from a file.
    pub fixed_payload: bool,
    /// How frames stand in the bytes: `frames` or `raw`.
    pub framing: &'static str,
    /// Whether HELLO is said.
    pub hello: bool,
    /// The reply that was asked for: `echo`, `ack`, or none for the listener's own.
    pub reply: Option<String>,
    /// The pace: `closed`, or `open` with a schedule.
    pub pace: &'static str,
    /// Frames per second, or phases as `--plan` takes them, of an open pace.
    pub schedule: Option<String>,
    /// How arrivals are spread in an open pace: `constant` or `poisson`.
    pub arrivals: Option<&'static str>,
    /// Frames that are planned for the same instant.
    pub burst: Option<u64>,
    /// How long frames are sent, if limited.
    pub duration_ns: Option<u64>,
    /// How many frames are sent, if limited.
    pub frames: Option<u64>,
    /// How long the warm-up takes.
    pub warmup_ns: u64,
    /// How long a reply is awaited.
    pub timeout_ns: u64,
    /// Frames after which a connection is closed and opened anew, if limited.
    pub frames_per_connection: Option<u64>,
    /// Whether connections that end too early are opened anew.
    pub reconnect: bool,
    /// What payloads, sizes and random arrivals are made from.
    pub seed: u64,
    /// Threads that send.
    pub threads: u32,
}

/// Where a run was done.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Environment {
    /// Version of volley-load.
    pub volley_load: &'static str,
    /// Name of the machine.
    pub host: String,
    /// Operating system, its release and its version.
    pub kernel: String,
    /// Architecture of the processor.
    pub architecture: String,
    /// The processor's own name, if it tells.
    pub processor: Option<String>,
    /// Processors that this process may use.
    pub cores: usize,
    /// File descriptors that this process may have.
    pub descriptors: u64,
}

/// What became of the connections.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Connections {
    /// How many were asked for, the idle ones too.
    pub asked: u32,
    /// How many were there when the first frame was sent.
    pub connected: u32,
    /// How often one was opened again, whatever ended the one before.
    pub reconnects: u64,
    /// How often a TLS handshake went on with the session of an earlier connection.
    pub resumed: u64,
    /// How often a server asked for no more frames.
    pub goaways: u64,
}

/// The figures of the run, or of its warm-up.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Figures {
    /// From the first frame to the last reply.
    pub elapsed_ns: u64,
    /// For how long of it frames were sent.
    pub sending_ns: u64,
    /// What became of every frame.
    pub ledger: LedgerFigures,
    /// Right replies per second of `elapsed_ns`.
    pub replies_per_second: Option<f64>,
    /// Frames sent per second of `sending_ns`.
    pub sent_per_second: Option<f64>,
    /// Frames planned per second of `sending_ns`; none in a closed loop.
    pub planned_per_second: Option<f64>,
    /// Frames that were planned and never sent, because the run was over before there was room.
    pub unsent: u64,
    /// Frames that were due and had to wait for a place in the pipeline of their connection.
    pub waited: u64,
    /// Replies that no frame was waiting for.
    pub strays: u64,
    /// Payload bytes sent.
    pub bytes_sent: u64,
    /// Payload bytes received.
    pub bytes_received: u64,
    /// Processor time of the sending threads.
    pub generator_cpu_ns: u64,
    /// From the planned instant to the reply: what a user of the server would have waited. A
    /// closed loop plans nothing, there it is the same as `service`. A frame without a reply
    /// counts as at least as long as it was waited for, one that was never sent too.
    pub response: Timing,
    /// From the write to the reply.
    pub service: Timing,
    /// From the planned instant to the write: the generator's own lateness, and the wait for a
    /// place in the pipeline. None in a closed loop.
    pub send_delay: Option<Timing>,
    /// From connecting to being able to send: with HELLO until WELCOME. A TLS handshake is left out.
    pub connect: Timing,
    /// TLS handshakes, if there were any.
    pub handshake: Option<Timing>,
}

/// The ledger: `sent` is the sum of all other columns.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LedgerFigures {
    /// Frames that were sent.
    pub sent: u64,
    /// The reply came in time, in its place, and was right.
    pub ok: u64,
    /// The reply was wrong.
    pub corrupt: u64,
    /// The reply came more than once.
    pub duplicate: u64,
    /// The reply came behind that of a later frame.
    pub reordered: u64,
    /// The reply came on another connection.
    pub misrouted: u64,
    /// The reply came after the time-out.
    pub late: u64,
    /// No reply came, by reason; reasons that didn't occur are left out.
    pub lost: Vec<LostFigures>,
    /// `sent` less the sum of all columns: 0, or the report is wrong.
    pub imbalance: i64,
}

/// Frames without a reply, for one reason.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LostFigures {
    /// The reason: `skipped`, `timed out`, `closed`, `truncated`, `reset`, `refused`, `protocol`
    /// or `aborted`.
    pub reason: String,
    /// Frames.
    pub frames: u64,
}

impl LedgerFigures {
    /// Frames without a reply, for whatever reason.
    pub fn lost(&self) -> u64 {
        self.lost.iter().map(|lost| lost.frames).sum()
    }

    /// Frames that are in any other column than ok.
    pub fn failed(&self) -> u64 {
        self.corrupt + self.duplicate + self.reordered + self.misrouted + self.late + self.lost()
    }
}

/// A histogram of latencies and what it comes to.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Timing {
    /// How they were distributed.
    #[serde(flatten)]
    pub quantiles: Quantiles,
    /// Latencies that were longer than the longest that a histogram tells from others, ten
    /// minutes; they count as that long.
    pub overflow: u64,
    /// The whole histogram in HdrHistogram's V2 encoding, compressed and in base64.
    #[serde(serialize_with = "crate::output::json::encoded")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub histogram: Latencies,
}

/// What a histogram of latencies comes to; `None` without any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Quantiles {
    /// How many latencies.
    pub count: u64,
    /// The shortest.
    pub min_ns: Option<u64>,
    /// The arithmetic mean.
    pub mean_ns: Option<u64>,
    /// The 50th percentile: half of them were as short or shorter.
    pub p50_ns: Option<u64>,
    /// The 90th percentile.
    pub p90_ns: Option<u64>,
    /// The 99th percentile.
    pub p99_ns: Option<u64>,
    /// The 99.9th percentile.
    pub p999_ns: Option<u64>,
    /// The 99.99th percentile.
    pub p9999_ns: Option<u64>,
    /// The longest.
    pub max_ns: Option<u64>,
}

/// One second of a run.
#[derive(Clone, Copy, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Second {
    /// Its number, from 0.
    pub second: u64,
    /// Frames sent in it.
    pub sent: u64,
    /// Frames in it whose reply was right.
    pub ok: u64,
    /// Frames in it of which it turned out that something was wrong.
    pub failed: u64,
    /// Frames in flight at its end.
    pub in_flight: u64,
    /// Payload bytes sent.
    pub bytes_sent: u64,
    /// Payload bytes received.
    pub bytes_received: u64,
    /// As in the run's figures.
    pub response: Quantiles,
    /// As in the run's figures.
    pub service: Quantiles,
    /// As in the run's figures.
    pub send_delay: Option<Quantiles>,
}

/// What kept the rate from being higher.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Limit {
    /// Who.
    pub who: Limiter,
    /// From what that follows.
    pub why: String,
    /// Part of the time for which the sending threads were busy, from 0 to 1.
    pub generator_busy: Option<f64>,
    /// The same of an embedded server's threads.
    pub server_busy: Option<f64>,
}

/// Who kept the rate from being higher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Limiter {
    /// The plan: the asked rate was reached.
    Plan,
    /// The server, or the way to it.
    Server,
    /// Nobody: both sides had time left, and waited for each other's next frame.
    RoundTrip,
    /// The generator: this program, or the machine on which it runs.
    Generator,
}

/// What whoever reads the figures should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Warning {
    /// What is the matter, and why.
    pub cause: String,
    /// What to try next.
    pub remedy: String,
}

/// A threshold and how it came out.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Check {
    /// The condition of failing, as `--fail-if` takes it.
    pub fail_if: String,
    /// Whether it holds without having been asked for.
    pub is_default: bool,
    /// The value, in the unit of the condition; none if nothing was measured.
    pub value: Option<f64>,
    /// The same for a person.
    pub shown: String,
    /// Whether the condition of failing is met, or can't be told.
    pub is_broken: bool,
}

/// What went wrong with connections.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Problem {
    /// What.
    pub what: String,
    /// How often.
    pub count: u64,
}

/// A reply that was wrong.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BadReplyFigures {
    /// The connection's number, from 0.
    pub connection: u32,
    /// The frame's number on its connection, from 0.
    pub frame: u64,
    /// The first bytes that were expected, in hex.
    pub expected: String,
    /// How many were expected.
    pub expected_len: usize,
    /// The first bytes that came, in hex.
    pub received: String,
    /// How many came.
    pub received_len: usize,
}
