//! `volley wait`: until every target has answered a frame rightly, or the time is over.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep, timeout_at};
use volley_cli::{Exit, HELP, format_duration, parse_timeout};
use volley_client::flags::{Approach, ConnectFlags};
use volley_client::{Arrival, Connection, Datagrams, Error, Mismatch, Options, Sent};
use volley_proto::{Endpoint, Receipt, ReplyKind};

use crate::backoff::Backoff;
use crate::failure::{Failure, tell};
use crate::signals::Signals;
use crate::targets::Targets;
use crate::terms::Terms;

/// The longest that one attempt may take. A server that is still starting may hold a connection
/// without serving it; a new one gets through once it serves.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(5);

/// Silence that makes one wonder what the program is at.
const PATIENCE: Duration = Duration::from_secs(1);

/// Short, so that a server with any limit takes it.
const PAYLOAD: &str = "wait";

/// As long as a receipt, since a shorter datagram gets none.
const DATAGRAM: &[u8; Receipt::LEN] = b"volley wait: is anybody there?..";

#[derive(Debug, clap::Args)]
#[command(help_template = HELP, before_help = "\
Examples:
  volley wait && volley send hello             when tcp://127.0.0.1:7007 answers
  volley wait --timeout 2m a:7007 b:7007       until both do
  volley wait --timeout 2s --no-hello proxy:9  a server without control frames", after_help = "\
Exit codes:
  0         every target has answered a frame rightly
  2         wrong usage
  65, 66    a certificate or key cannot be used; its file is missing
  75        --timeout was over before; stderr says what each target did last
  130, 143  ended by SIGINT, SIGTERM")]
pub(crate) struct WaitArgs {
    /// How long to wait in all
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_timeout)]
    timeout: Duration,

    /// The longest pause between attempts
    ///
    /// The first are shorter.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_timeout)]
    interval: Duration,

    #[command(flatten)]
    terms: Terms,

    #[command(flatten)]
    connect: ConnectFlags,

    /// Say on stderr when each target has answered
    #[arg(short, long)]
    verbose: bool,

    #[command(flatten)]
    targets: Targets,
}

pub(crate) async fn run(args: WaitArgs, mut signals: Signals) -> Result<(), Failure> {
    let approach = args.connect.approach(args.targets.iter(), tell)?;
    tokio::select! {
        outcome = wait_for_all(&args, &approach) => outcome,
        signal = signals.next() => Err(signal),
    }
}

async fn wait_for_all(args: &WaitArgs, approach: &Approach) -> Result<(), Failure> {
    let start = Instant::now();
    let mut waits: FuturesUnordered<_> =
        args.targets.iter().map(|target| Wait { target, args, approach, start }.run()).collect();
    let mut missing: Vec<_> = args.targets.iter().collect();
    let mut late = false;
    let patience = sleep(PATIENCE);
    tokio::pin!(patience);
    // At the end it says what came of it.
    let is_long = args.timeout > PATIENCE;
    loop {
        // Both branches are cancel safe.
        tokio::select! {
            wait = waits.next() => match wait {
                Some(Ok(target)) => missing.retain(|missing| *missing != target),
                Some(Err(failure)) => {
                    tell(&failure);
                    late = true;
                }
                None if late => return Err(Failure::Told(Exit::TryAgain)),
                None => return Ok(()),
            },
            () = &mut patience, if is_long && !patience.is_elapsed() => {
                tell(&waiting_for(&missing, args));
            }
        }
    }
}

fn waiting_for(missing: &[&Endpoint], args: &WaitArgs) -> String {
    let names: Vec<_> = missing.iter().map(ToString::to_string).collect();
    format!("waiting up to {} for {}", format_duration(args.timeout), names.join(", "))
}

/// The wait for one target.
#[derive(Clone, Copy, Debug)]
struct Wait<'a> {
    target: &'a Endpoint,
    args: &'a WaitArgs,
    approach: &'a Approach,
    start: Instant,
}

impl<'a> Wait<'a> {
    /// Attempts until the target has answered. Otherwise says what it did last.
    async fn run(self) -> Result<&'a Endpoint, String> {
        let Self { target, args, start, .. } = self;
        let mut backoff = Backoff::new(args.interval);
        let whole = args.timeout.min(LONGEST_ATTEMPT);
        let mut limit = whole;
        let mut last = String::new();
        for attempts in 1_u64.. {
            match self.attempt(limit).await {
                Ok(()) => {
                    if args.verbose {
                        let after = start.elapsed().as_secs_f64();
                        tell(&format!("{target} answered after {after:.3} s, attempt {attempts}"));
                    }
                    break;
                }
                // An attempt that was cut short says less than the one before it.
                Err(_) if limit < whole => {}
                Err(failure) => last = failure.message(),
            }
            let pause = backoff.pause().min(self.left());
            sleep(pause).await;
            limit = self.left().min(LONGEST_ATTEMPT);
            if limit.is_zero() {
                let within = format_duration(args.timeout);
                return Err(format!("no answer from {target} within {within}: {last}"));
            }
        }
        Ok(target)
    }

    /// Connects, sends a frame and checks its reply.
    async fn attempt(&self, limit: Duration) -> Result<(), Failure> {
        let end = Instant::now() + limit;
        let terms = self.args.terms;
        let mut options = terms.options("volley wait", limit);
        self.approach.apply(&mut options);
        if matches!(self.target, Endpoint::Udp(_)) {
            let mut wrong = None;
            let exchange = exchange_datagram(self.target, &options, &mut wrong);
            return match (timeout_at(end, exchange).await, wrong) {
                (Ok(exchanged), _) => Ok(exchanged?),
                (Err(_), Some(mismatch)) => Err(Error::Mismatch(mismatch).into()),
                (Err(_), None) => Err(Error::TimedOut { seq: 1, after: limit, part: None }.into()),
            };
        }
        let mut connection = Connection::connect(self.target, &options).await?;
        terms.check(connection.reply_kind())?;
        // The connection has taken a part of the time.
        match timeout_at(end, connection.request(PAYLOAD)).await {
            Ok(reply) => reply.map(drop).map_err(Failure::Client),
            Err(_) => Err(Error::TimedOut { seq: 1, after: limit, part: None }.into()),
        }
    }

    /// What is left of the time.
    fn left(&self) -> Duration {
        self.args.timeout.saturating_sub(self.start.elapsed())
    }
}

/// Sends a datagram and awaits the right reply to it. What else comes may be to an earlier attempt;
/// `wrong` is the last of that.
async fn exchange_datagram(
    target: &Endpoint,
    options: &Options,
    wrong: &mut Option<Mismatch>,
) -> Result<(), Error> {
    let mut socket = Datagrams::open(target, options).await?;
    let payload = Bytes::from_static(DATAGRAM);
    socket.send(&payload).await?;
    // The receipt for a datagram has no number.
    let seq = u64::from(options.reply == ReplyKind::Echo);
    loop {
        let received = Bytes::copy_from_slice(socket.receive().await?);
        let sent = Sent { seq, total: payload.len() as u64, payload: payload.clone() };
        match Arrival::new(sent, &received, options.reply, Duration::ZERO).check() {
            Ok(_) => return Ok(()),
            Err(mismatch) => *wrong = Some(mismatch),
        }
    }
}
