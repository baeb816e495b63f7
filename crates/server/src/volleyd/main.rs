//! The daemon: flags, logging, signals, stdout and exit codes around [`volley_server`].

mod admin;
mod args;
mod handover;
mod inherit;
mod lifecycle;
mod limits;
mod listen;
mod logging;
mod memory;
mod notify;
mod probe;
mod readiness;
mod signals;
mod watchdog;

use std::io::{self, Write};

use admin::{AdminListener, Observed};
use args::Args;
use clap::Parser;
use handover::{Predecessor, Program};
use inherit::{InheritError, Inherited};
use lifecycle::Lifecycle;
use listen::{Listener, Wanted, listen};
use logging::fatal;
use readiness::{Readiness, Stage};
use signals::Signals;
use tokio::runtime::{self, Runtime};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use volley_cli::{Exit, raise_descriptor_limit};
use volley_server::{Books, Config, ConnectionLimit, Handle, ServeError, Server};

fn main() -> Exit {
    // First of all, as long as there is one thread.
    let inherited = Inherited::from_environment();
    let args = Args::parse();
    logging::init(&args.log, args.log_format);
    memory::give_back_in_background();
    let outcome = raise_descriptor_limit()
        .and_then(|_| runtime(args.threads.into()))
        .map_err(cannot("set up the process"))
        .and_then(|runtime| runtime.block_on(run(args, inherited)));
    admin::remove_socket();
    logging::finish();
    outcome.err().unwrap_or(Exit::Success)
}

async fn run(args: Args, inherited: Result<Inherited, InheritError>) -> Result<(), Exit> {
    let config = config(&args);
    let program = Program::this();
    let signals = Signals::install().map_err(cannot("handle signals"))?;
    let mut inherited = inherited.map_err(|error| {
        fatal(&error);
        error.exit()
    })?;
    let predecessor = inherited.take_predecessor().map(Predecessor::new).transpose();
    let predecessor = predecessor.map_err(cannot("speak to the old process"))?;
    let admin = AdminListener::open(args.admin.as_ref(), inherited.take_admin()).await;
    let admin = admin.map_err(|error| {
        fatal(&error);
        error.exit()
    })?;
    let wanted =
        args.listen.iter().map(|endpoint| Wanted { endpoint: endpoint.clone(), name: None });
    let wanted: Vec<_> = wanted.collect();
    let listeners = listen(&wanted, inherited).await.map_err(|error| {
        fatal(&error);
        error.exit()
    })?;
    let heirlooms = listeners.iter().map(Listener::heirloom);
    let heirlooms = heirlooms.chain(admin.as_ref().map(AdminListener::heirloom));
    let heirlooms = heirlooms.collect::<io::Result<_>>().map_err(cannot("keep the listeners"))?;

    let readiness = Readiness::new();
    // Who connects from now on is served.
    readiness.enter(Stage::Ready);
    announce(&listeners, admin.as_ref()).map_err(|error| {
        fatal(&format_args!("cannot write to stdout: {error}"));
        Exit::Io
    })?;
    limits::tell(&config, args.threads);
    let shutdown = CancellationToken::new();
    let mut servers = JoinSet::new();
    let mut handles = Vec::new();
    for Listener { socket, address, is_kept, .. } in listeners {
        limits::warn_if_open(address, &config);
        let server = Server::new(socket, config.clone()).map_err(|error| {
            report_fatal(&error);
            Exit::Unavailable
        })?;
        let handle = server.handle();
        if is_kept {
            handle.leave_backlog();
        }
        handles.push(handle);
        let shutdown = shutdown.clone();
        servers.spawn(server.run(async move { shutdown.cancelled().await }));
    }
    let leave_admin = CancellationToken::new();
    if let Some(admin) = admin {
        let Config { connections, buffers, .. } = config;
        let (handles, readiness) = (handles.clone(), readiness.clone());
        let observed = Observed { handles, connections, buffers, readiness };
        admin::start(admin, observed, leave_admin.clone())
            .map_err(cannot("start the admin listener"))?;
    }
    tokio::spawn(keep_manager_informed(predecessor, readiness.clone(), handles.clone()));
    let lifecycle = Lifecycle {
        readiness: readiness.clone(),
        handles,
        shutdown: shutdown.clone(),
        drain_delay: args.drain_delay,
        program,
        leave_admin,
        heirlooms,
    };
    tokio::spawn(lifecycle.run(signals));
    join(servers, &readiness, &shutdown).await
}

/// Relieves the old process, if there is one, then tells the service manager how the daemon is.
async fn keep_manager_informed(
    predecessor: Option<Predecessor>,
    readiness: Readiness,
    handles: Vec<Handle>,
) {
    if let Some(predecessor) = predecessor {
        predecessor.relieve().await;
    }
    if readiness.stage() == Stage::Ready {
        notify::ready(&handles);
    }
    let listeners: Vec<_> = handles.iter().map(Handle::local_addr).collect();
    let feed = async {
        // Cancel safe: a round trip that is given up harms nobody.
        tokio::select! {
            () = readiness.draining() => {}
            never = watchdog::feed(&listeners) => match never {},
        }
    };
    tokio::join!(feed, notify::keep_status(&readiness, &handles));
}

/// Waits for the end of all servers. When one fails the others are ended.
async fn join(
    mut servers: JoinSet<Result<Books, ServeError>>,
    readiness: &Readiness,
    shutdown: &CancellationToken,
) -> Result<(), Exit> {
    let mut total = Books::default();
    let mut outcome = Ok(());
    while let Some(served) = servers.join_next().await {
        match served {
            Ok(Ok(books)) => {
                total += &books;
                continue;
            }
            Ok(Err(error)) => {
                report_fatal(&error);
                outcome = Err(Exit::Unavailable);
            }
            Err(error) => {
                error!(%error, "a listener's task failed");
                outcome = Err(Exit::Defect);
            }
        }
        readiness.enter(Stage::Draining);
        shutdown.cancel();
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

/// What becomes of an error that the system's state is to blame for.
fn cannot<E: std::fmt::Display>(what: &str) -> impl FnOnce(E) -> Exit {
    move |error| {
        fatal(&format_args!("cannot {what}: {error}"));
        Exit::Unavailable
    }
}

fn config(args: &Args) -> Config {
    let mut config = Config::default();
    config.reply = args.reply.into();
    config.max_frame = args.max_frame;
    config.drain = args.drain;
    let mut possible = config.connections.max();
    if args.admin.is_some() {
        possible = possible.saturating_sub(admin::DESCRIPTORS).max(possible / 2);
        config.connections.set_max(possible);
    }
    if let Some(max) = args.max_connections {
        if max > possible {
            warn!(max_connections = max, possible, "more connections than descriptors allow");
        }
        config.connections = ConnectionLimit::new(max);
    }
    config
}

/// One line per listener on stdout, which scripts wait for, and behind them those of the admin
/// listener. That nobody reads them is no error.
fn announce(listeners: &[Listener], admin: Option<&AdminListener>) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let mut write = || {
        for Listener { address, .. } in listeners {
            info!(endpoint = %format_args!("tcp://{address}"), "listening");
            writeln!(stdout, "listening tcp://{address}")?;
        }
        if let Some(admin) = admin {
            admin.log();
            for endpoint in admin.endpoints() {
                writeln!(stdout, "admin {endpoint}")?;
            }
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
