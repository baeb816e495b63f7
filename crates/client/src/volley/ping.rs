//! `volley ping`: what ping(8) does, with frames.
//!
//! ```text
//!   target: pings, replies ---> events ---> tally ---> summary
//!                                  '---> lines on stdout
//! ```
//!
//! Each target has a task, which pings it over one connection (`kept.rs`) or over one per ping
//! (`fresh.rs`) and tells what happens. All figures and all lines are made from what it tells.

mod args;
mod arrival;
mod board;
mod datagram_link;
mod event;
mod flight;
mod fresh;
mod json;
mod kept;
mod link;
mod payload;
mod reply_decoder;
mod tally;
mod target;
mod text;
mod times;
mod way;

use std::panic;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use volley_client::flags::Approach;

pub(crate) use self::args::PingArgs;
use self::board::{Board, OTHER_ERROR};
use self::event::{Report, reporters};
use self::payload::Payloads;
use self::target::Target;
use crate::failure::{Failure, tell};
use crate::signals::Signals;

pub(crate) async fn run(args: PingArgs, mut signals: Signals) -> Result<(), Failure> {
    let mut quit = signal(SignalKind::quit()).map_err(|source| Failure::Setup { source })?;
    args.check_framing()?;
    let approach = args.connect_flags.approach(args.targets.iter(), tell);
    let approach = approach.map_err(|error| {
        Failure::from(error).report();
        Failure::Told(OTHER_ERROR)
    })?;
    let args = Arc::new(args);
    let (mut tasks, mut reports) = start(&args, &approach);
    let mut board = Board::new(args);
    let end = board.listen(&mut reports, &mut signals, &mut quit).await;
    stop(&mut tasks).await;
    while let Ok(report) = reports.try_recv() {
        board.take(&report);
    }
    board.finish(end, &mut signals).await
}

/// Starts a task per target.
fn start(args: &Arc<PingArgs>, approach: &Approach) -> (JoinSet<()>, mpsc::Receiver<Report>) {
    let (reporters, reports) = reporters(args.targets.len());
    let payloads = Payloads::new(args.size);
    let mut tasks = JoinSet::new();
    for (endpoint, reporter) in args.targets.iter().cloned().zip(reporters) {
        let (args, payloads) = (Arc::clone(args), payloads.for_another());
        let target = Target { endpoint, args, approach: approach.clone(), payloads, reporter };
        if target.args.connect {
            tasks.spawn(fresh::run(target));
        } else {
            tasks.spawn(kept::run(target));
        }
    }
    (tasks, reports)
}

/// Ends the tasks that are still at work.
async fn stop(tasks: &mut JoinSet<()>) {
    tasks.abort_all();
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended
            && error.is_panic()
        {
            panic::resume_unwind(error.into_panic());
        }
    }
}
