//! The daemon: flags, logging, signals, stdout and exit codes around [`volley_server::serve`].

mod args;
mod listen;
mod logging;
mod memory;
mod signals;

use std::io::{self, Write};

use args::Args;
use clap::Parser;
use logging::fatal;
use tokio::net::TcpListener;
use tokio::runtime::{self, Runtime};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use volley_cli::{Exit, raise_descriptor_limit};
use volley_server::{Books, Config, ConnectionLimit, ServeError, serve};

fn main() -> Exit {
    let args = Args::parse();
    logging::init(&args.log, args.log_format);
    memory::give_back_in_background();
    let outcome = raise_descriptor_limit()
        .and_then(|_| runtime(args.threads.into()))
        .map_err(|error| {
            fatal(&format_args!("cannot set up the process: {error}"));
            Exit::Unavailable
        })
        .and_then(|runtime| runtime.block_on(run(args)));
    logging::finish();
    outcome.err().unwrap_or(Exit::Success)
}

async fn run(args: Args) -> Result<(), Exit> {
    let config = config(&args);
    let shutdown = CancellationToken::new();
    signals::install(shutdown.clone()).map_err(|error| {
        fatal(&format_args!("cannot handle signals: {error}"));
        Exit::Unavailable
    })?;
    let listeners = listen::bind_all(&args.listen).await.map_err(|error| {
        fatal(&error);
        error.exit()
    })?;
    announce(&listeners).map_err(|error| {
        fatal(&format_args!("cannot write to stdout: {error}"));
        Exit::Io
    })?;
    let mut servers = JoinSet::new();
    for listener in listeners {
        let shutdown = shutdown.clone();
        servers.spawn(serve(listener, config.clone(), async move { shutdown.cancelled().await }));
    }
    let mut total = Books::default();
    let mut outcome = Ok(());
    while let Some(served) = servers.join_next().await {
        match served {
            Ok(Ok(books)) => total += &books,
            Ok(Err(error)) => {
                report_fatal(&error);
                outcome = Err(Exit::Unavailable);
                shutdown.cancel();
            }
            Err(error) => {
                error!(%error, "a listener's task failed");
                outcome = Err(Exit::Defect);
                shutdown.cancel();
            }
        }
    }
    if total.cut_off() > 0 {
        warn!(connections = total.cut_off(), "cut off at the drain deadline");
    }
    info!(
        accepted = total.accepted,
        refused = total.refused(),
        frames_received = total.frames_received,
        frames_answered = total.frames_answered,
        payload_bytes = total.payload_bytes,
        ends = total.ends_in_words(),
        "done"
    );
    outcome
}

fn config(args: &Args) -> Config {
    let mut config = Config::default();
    config.reply = args.reply.into();
    config.max_frame = args.max_frame;
    config.drain = args.drain;
    if let Some(max) = args.max_connections {
        let possible = config.connections.max();
        if max > possible {
            warn!(max_connections = max, possible, "more connections than descriptors allow");
        }
        config.connections = ConnectionLimit::new(max);
    }
    config
}

/// One line per listener on stdout, which scripts wait for. That nobody reads it is no error.
fn announce(listeners: &[TcpListener]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let mut write = || {
        for listener in listeners {
            let address = listener.local_addr()?;
            info!(endpoint = %format_args!("tcp://{address}"), "listening");
            writeln!(stdout, "listening tcp://{address}")?;
        }
        stdout.flush()
    };
    write().or_else(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(error),
    })
}

fn report_fatal(error: &ServeError) {
    match std::error::Error::source(error) {
        Some(cause) => fatal(&format_args!("{error}: {cause}")),
        None => fatal(error),
    }
}

/// How many tasks run between two looks at the sockets; Tokio's own 61 is for programs whose tasks
/// take longer than a microsecond or two. It is as many as one look can bring (Tokio's default of
/// 1024 events), so that a full round of connections costs one epoll_wait.
const TASKS_PER_LOOK: u32 = 1024;

/// One thread needs no scheduler that shares work: that one is faster.
fn runtime(threads: usize) -> io::Result<Runtime> {
    let mut builder = match threads {
        1 => runtime::Builder::new_current_thread(),
        _ => runtime::Builder::new_multi_thread(),
    };
    builder.worker_threads(threads).event_interval(TASKS_PER_LOOK).enable_all().build()
}
