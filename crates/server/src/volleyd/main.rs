//! The daemon: configuration, logging, signals, stdout and exit codes around [`volley_server`].

mod admin;
mod certificates;
mod config;
mod dev_cert;
#[cfg(test)]
mod docs;
mod handover;
mod in_force;
mod inherit;
mod lifecycle;
mod limits;
mod listen;
mod logging;
mod memory;
mod notify;
mod probe;
mod readiness;
mod reload;
mod served;
mod signals;
mod socket_files;
mod watchdog;

use std::env;
use std::io::{self, Write};
use std::sync::Arc;

use admin::{AdminListener, Observed};
use certificates::Certificates;
use config::{ConfigError, Flags, Framing, Settings, Sources, Task, Threads};
use handover::{Predecessor, Program};
use in_force::InForce;
use inherit::{InheritError, Inherited};
use lifecycle::Lifecycle;
use listen::{Listener, Socket, Wanted, listen};
use logging::fatal;
use probe::{Own, Target};
use readiness::{Readiness, Stage};
use reload::{Reload, Reloads};
use served::Served;
use signals::Signals;
use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::{self, Runtime};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use volley_cli::{Exit, raise_descriptor_limit};
use volley_server::{
    Books, Config, DatagramBooks, DatagramConfig, DatagramError, DatagramHandle, DatagramServer,
    Handle, LiveTls, Proxied, ServeError, Server, Tls, Trusted,
};

fn main() -> Exit {
    // First of all, as long as there is one thread.
    let inherited = Inherited::from_environment();
    let flags = match Flags::of_process() {
        Ok(flags) => flags,
        Err(exit) => return exit,
    };
    if let Task::DevCert(directory) = &flags.task {
        return dev_cert::make(directory);
    }
    let configuration = match Configuration::read(flags) {
        Ok(configuration) => configuration,
        Err(error) => {
            let _ = io::stderr().write_all(error.report().as_bytes());
            return error.exit();
        }
    };
    let Configuration { sources, settings, .. } = &configuration;
    match sources.task() {
        Task::Check => configuration.answer(&format!("{}: ok\n", sources.title())),
        Task::PrintConfig => configuration.answer(&settings.to_toml()),
        _ => start(configuration, inherited),
    }
}

/// All that the daemon was told, read and found good.
struct Configuration {
    sources: Sources,
    settings: Settings,
    certificates: Certificates,
    /// What gets through the listeners' handshakes, if there are any.
    own: Option<Own>,
}

impl Configuration {
    fn read(flags: Flags) -> Result<Self, ConfigError> {
        let sources = Sources::new(flags, env::vars_os())?;
        let settings = sources.settings()?;
        let speaks_tls = settings.listeners.iter().any(|listener| listener.speaks_tls());
        let own = speaks_tls.then(Own::new).transpose()?;
        let certificates = Certificates::read(&settings, own.as_ref())?;
        Ok(Self { sources, settings, certificates, own })
    }

    fn warnings(&self) -> impl Iterator<Item = &String> {
        self.settings.warnings.iter().chain(&self.certificates.warnings)
    }

    /// Prints what was asked for in place of serving.
    fn answer(&self, text: &str) -> Exit {
        for warning in self.warnings() {
            let _ = writeln!(io::stderr(), "volleyd: {warning}");
        }
        let printed = to_stdout(|stdout| stdout.write_all(text.as_bytes()));
        printed.map_err(no_stdout).err().unwrap_or(Exit::Success)
    }
}

fn start(configuration: Configuration, inherited: Result<Inherited, InheritError>) -> Exit {
    let process = &configuration.settings.process;
    logging::init(&process.log.value.0, process.log_format.value);
    for warning in configuration.warnings() {
        warn!("{warning}");
    }
    memory::give_back_in_background();
    let Threads(threads) = process.threads.value.unwrap_or_else(Threads::by_cpus);
    let outcome = raise_descriptor_limit()
        .and_then(|_| runtime(threads))
        .map_err(cannot("set up the process"))
        .and_then(|runtime| {
            let outcome = runtime.block_on(run(configuration, threads, inherited));
            // All is done but, perhaps, a read of a file or a name's lookup that hangs.
            runtime.shutdown_background();
            outcome
        });
    socket_files::remove();
    logging::finish();
    outcome.err().unwrap_or(Exit::Success)
}

async fn run(
    configuration: Configuration,
    threads: usize,
    inherited: Result<Inherited, InheritError>,
) -> Result<(), Exit> {
    let Configuration { sources, settings, certificates, own } = configuration;
    let program = Program::this();
    let signals = Signals::install().map_err(cannot("handle signals"))?;
    let hangups = signals::hangups().map_err(cannot("handle signals"))?;
    let mut inherited = inherited.map_err(|error| {
        fatal(&error);
        error.exit()
    })?;
    let predecessor = inherited.take_predecessor().map(Predecessor::new).transpose();
    let predecessor = predecessor.map_err(cannot("speak to the old process"))?;
    let admin =
        AdminListener::open(settings.process.admin.value.as_ref(), inherited.take_admin()).await;
    let admin = admin.map_err(|error| {
        fatal(&error);
        error.exit()
    })?;
    let listeners = listen(&wanted(&settings), inherited).await.map_err(|error| {
        fatal(&error);
        error.exit()
    })?;
    let heirlooms = listeners.iter().map(Listener::heirloom);
    let heirlooms = heirlooms.chain(admin.as_ref().map(AdminListener::heirloom));
    let heirlooms = heirlooms.collect::<io::Result<_>>().map_err(cannot("keep the listeners"))?;

    for Listener { wanted, endpoint, .. } in &listeners {
        // A name, or a socket that was passed, tells only now.
        if let Some(why) = settings.listeners[*wanted].refusal_of(endpoint) {
            fatal(&why);
            return Err(Exit::Config);
        }
    }

    let readiness = Readiness::new();
    // Who connects from now on is served.
    readiness.enter(Stage::Ready);
    announce(&listeners, admin.as_ref()).map_err(no_stdout)?;
    let mut in_force = InForce::new(&settings, &certificates);
    in_force.tell(&settings, &listeners, threads);
    certificates.tell(&settings);
    let shutdown = CancellationToken::new();
    let mut servers = JoinSet::new();
    let mut served = Served::default();
    for Listener { wanted, socket, endpoint, is_kept, .. } in listeners {
        let config = in_force.config(&settings, wanted);
        let framing = settings.listeners[wanted].settings.framing.value;
        let (live, trusted) = (in_force.tls(wanted), in_force.trusted(wanted));
        let tls = live.clone().zip(own.clone());
        let started = match socket {
            Socket::Tcp(socket) => {
                let before = (live, trusted.clone());
                serve_tcp(socket, before, config, framing, &shutdown, &mut servers)
            }
            Socket::Unix(socket) => serve(socket, config, framing, &shutdown, &mut servers),
            Socket::Udp(socket) => {
                let config = InForce::datagram_config(&settings, wanted);
                limits::warn_if_open_to_datagrams(&endpoint);
                let started = serve_datagrams(socket, config, &shutdown, &mut servers);
                let handle = started.map_err(|error| unavailable(&error))?;
                if is_kept {
                    handle.leave_queue();
                }
                in_force.add_datagrams(wanted, handle.clone());
                served.datagrams.push(handle);
                continue;
            }
        };
        let handle = started.map_err(|error| unavailable(&error))?;
        limits::warn_if_open(&endpoint, &handle.config(), in_force.connections());
        if is_kept {
            handle.leave_backlog();
        }
        in_force.add(wanted, handle.clone());
        served.targets.push(Target { endpoint, tls, trusted, server: Some(handle.clone()) });
        served.streams.push(handle);
    }
    let (leave_admin, reloads) = (CancellationToken::new(), Reloads::default());
    if let Some(admin) = admin {
        let (connections, buffers) = (in_force.connections().clone(), in_force.buffers().clone());
        let (served, readiness) = (served.clone(), readiness.clone());
        let reloads = reloads.clone();
        let observed = Observed { served, connections, buffers, readiness, reloads };
        admin::start(admin, observed, leave_admin.clone())
            .map_err(cannot("start the admin listener"))?;
    }
    tokio::spawn(keep_manager_informed(predecessor, readiness.clone(), served.clone()));
    let lifecycle = Lifecycle {
        readiness: readiness.clone(),
        served: served.clone(),
        shutdown: shutdown.clone(),
        drain_delay: in_force.drain_delay(),
        program,
        leave_admin,
        heirlooms,
    };
    tokio::spawn(lifecycle.run(signals));
    let (sources, settings) = (Arc::new(sources), Arc::new(settings));
    let reload = {
        let readiness = readiness.clone();
        Reload { sources, settings, in_force, readiness, served, reloads, own }
    };
    tokio::spawn(reload.run(hangups));
    join(servers, &readiness, &shutdown).await
}

/// The servers, as long as they run.
type Servers = JoinSet<Result<Done, ServeError>>;

/// What a server has done.
#[derive(Debug)]
enum Done {
    Streams(Books),
    Datagrams(DatagramBooks),
}

/// Serves a TCP listener with what stands before its frames: TLS, or balancers, or both.
fn serve_tcp(
    listener: TcpListener,
    before: (Option<LiveTls>, Option<Trusted>),
    config: Config,
    framing: Framing,
    shutdown: &CancellationToken,
    servers: &mut Servers,
) -> Result<Handle, ServeError> {
    match before {
        (None, None) => serve(listener, config, framing, shutdown, servers),
        (Some(live), None) => serve(Tls::new(listener, live), config, framing, shutdown, servers),
        (None, Some(trusted)) => {
            serve(Proxied::new(listener, trusted), config, framing, shutdown, servers)
        }
        (Some(live), Some(trusted)) => {
            let listener = Proxied::new(Tls::new(listener, live), trusted);
            serve(listener, config, framing, shutdown, servers)
        }
    }
}

/// Serves a listener of whatever kind until `shutdown`, as one of `servers`.
fn serve(
    listener: impl volley_server::Listener,
    config: Config,
    framing: Framing,
    shutdown: &CancellationToken,
    servers: &mut Servers,
) -> Result<Handle, ServeError> {
    let shutdown = shutdown.clone().cancelled_owned();
    let handle = match framing {
        Framing::Frames => {
            let server = Server::new(listener, config)?;
            let handle = server.handle();
            servers.spawn(async { server.run(shutdown).await.map(Done::Streams) });
            handle
        }
        Framing::Raw => {
            let server = Server::raw(listener, config)?;
            let handle = server.handle();
            servers.spawn(async { server.run(shutdown).await.map(Done::Streams) });
            handle
        }
    };
    Ok(handle)
}

/// Answers the datagrams of a socket until `shutdown`, as one of `servers`.
fn serve_datagrams(
    socket: UdpSocket,
    config: DatagramConfig,
    shutdown: &CancellationToken,
    servers: &mut Servers,
) -> Result<DatagramHandle, DatagramError> {
    let shutdown = shutdown.clone().cancelled_owned();
    let server = DatagramServer::new(socket, config)?;
    let handle = server.handle();
    servers.spawn(async { Ok(Done::Datagrams(server.run(shutdown).await)) });
    Ok(handle)
}

/// Relieves the old process, if there is one, then tells the service manager how the daemon is.
async fn keep_manager_informed(
    predecessor: Option<Predecessor>,
    readiness: Readiness,
    served: Served,
) {
    if let Some(predecessor) = predecessor {
        predecessor.relieve().await;
        socket_files::take_over();
    }
    if readiness.stage() == Stage::Ready {
        notify::ready(&served);
    }
    let listeners = served.probed();
    let feed = async {
        // Cancel safe: a round trip that is given up harms nobody.
        tokio::select! {
            () = readiness.draining() => {}
            never = watchdog::feed(&listeners) => match never {},
        }
    };
    tokio::join!(feed, notify::keep_status(&readiness, &served));
}

/// Waits for the end of all servers. When one fails the others are ended.
async fn join(
    mut servers: Servers,
    readiness: &Readiness,
    shutdown: &CancellationToken,
) -> Result<(), Exit> {
    let (mut total, mut datagrams) = (Books::default(), None::<DatagramBooks>);
    let mut outcome = Ok(());
    while let Some(served) = servers.join_next().await {
        match served {
            Ok(Ok(Done::Streams(books))) => {
                total += &books;
                continue;
            }
            Ok(Ok(Done::Datagrams(books))) => {
                *datagrams.get_or_insert_default() += &books;
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
        unopened = (total.open_failures() > 0).then(|| total.open_failures_in_words()),
        datagrams_received = datagrams.as_ref().map(|books| books.received),
        datagrams_answered = datagrams.as_ref().map(|books| books.answered),
        datagrams_overflowed = datagrams.as_ref().map(|books| books.overflowed),
        datagrams_dropped = datagrams.as_ref().map(DatagramBooks::dropped_in_words),
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

/// The listeners that were asked for; none where nobody has said anything.
fn wanted(settings: &Settings) -> Vec<Wanted> {
    let asked_for = settings.listeners.iter().filter(|listener| !listener.is_default());
    asked_for
        .map(|listener| Wanted {
            endpoint: listener.endpoint.value.clone(),
            name: listener.name.as_ref().map(|name| name.value.0.clone()),
            access: listener.access(),
        })
        .collect()
}

/// One line per listener on stdout, which scripts wait for, and behind them those of the admin
/// listener.
fn announce(listeners: &[Listener], admin: Option<&AdminListener>) -> io::Result<()> {
    to_stdout(|stdout| {
        for Listener { endpoint, .. } in listeners {
            info!(%endpoint, "listening");
            writeln!(stdout, "listening {endpoint}")?;
        }
        if let Some(admin) = admin {
            admin.log();
            for endpoint in admin.endpoints() {
                writeln!(stdout, "admin {endpoint}")?;
            }
        }
        Ok(())
    })
}

/// That nobody reads it is no error.
fn to_stdout(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    write(&mut stdout).and_then(|()| stdout.flush()).or_else(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(error),
    })
}

fn no_stdout(error: io::Error) -> Exit {
    fatal(&format_args!("cannot write to stdout: {error}"));
    Exit::Io
}

fn report_fatal(error: &dyn std::error::Error) {
    match error.source() {
        Some(cause) => fatal(&format_args!("{error}: {cause}")),
        None => fatal(&error),
    }
}

fn unavailable(error: &dyn std::error::Error) -> Exit {
    report_fatal(error);
    Exit::Unavailable
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
