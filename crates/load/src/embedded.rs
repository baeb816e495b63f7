//! A server in this process, on threads of its own: the target when no other is named.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use volley_client::Framing;
use volley_proto::{Endpoint, MaxFrame};
use volley_server::{Config, Deadlines, ServeError, Server, bind};

/// The name of the server's threads, by which their processor time is found.
const THREAD_NAME: &str = "target";

/// Tasks that run between two looks at the sockets: as many as one look can bring.
const TASKS_PER_LOOK: u32 = 1024;

/// An embedded server that is running.
#[derive(Debug)]
pub struct Embedded {
    endpoint: Endpoint,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<(), ServeError>>,
}

impl Embedded {
    /// Starts a server on a free port of the loopback interface. It gives the replies that are
    /// asked for, echoes by default, and takes payloads of up to `max_frame` bytes; a raw one sends
    /// back what it gets.
    ///
    /// # Errors
    ///
    /// When the system gives no port, no thread or no runtime.
    pub fn start(threads: usize, max_frame: MaxFrame, framing: Framing) -> io::Result<Self> {
        let (tell, told) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let runtime = runtime(threads)?;
        let mut config = Config::default();
        config.max_frame = max_frame;
        config.drain = Duration::ZERO;
        // Its peers are ours, and may be as slow or as idle as they are told to be.
        config.deadlines = Deadlines::off();
        let thread = thread::Builder::new().name(THREAD_NAME.to_owned()).spawn(move || {
            runtime.block_on(async {
                let Some(listener) = listen(&tell) else { return Ok(()) };
                let served = match framing {
                    Framing::Frames => Server::new(listener, config)?.run(stopped).await,
                    Framing::Raw => Server::raw(listener, config)?.run(stopped).await,
                };
                served.map(|_| ())
            })
        })?;
        // A thread that ends without a word has panicked.
        let address = told.recv().map_err(io::Error::other)??;
        Ok(Self { endpoint: address.into(), stop, thread })
    }

    /// Where it listens.
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Processor time that its threads have taken so far, if the system tells.
    pub fn cpu(&self) -> Option<Duration> {
        let mut sum = Duration::ZERO;
        for task in fs::read_dir("/proc/self/task").ok()?.flatten() {
            let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
            if name.trim_end() == THREAD_NAME {
                // The first number is the time on a processor in nanoseconds (proc(5)).
                let times = fs::read_to_string(task.path().join("schedstat")).ok()?;
                sum += Duration::from_nanos(times.split_whitespace().next()?.parse().ok()?);
            }
        }
        Some(sum)
    }

    /// Ends it, and whatever is still connected.
    pub fn stop(self) {
        // It has nothing left to tell: what matters of it is in the ledger.
        let _ = self.stop.send(());
        let _ = self.thread.join();
    }
}

fn runtime(threads: usize) -> io::Result<Runtime> {
    let mut builder = match threads {
        0 | 1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    builder
        .worker_threads(threads.max(1))
        .thread_name(THREAD_NAME)
        .event_interval(TASKS_PER_LOOK)
        .enable_all()
        .build()
}

/// A listener on a free port, whose address is told.
fn listen(tell: &mpsc::Sender<io::Result<SocketAddr>>) -> Option<TcpListener> {
    let bound = bind((Ipv4Addr::LOCALHOST, 0).into());
    let address = bound.as_ref().map_err(|error| io::Error::new(error.kind(), error.to_string()));
    let _ = tell.send(address.and_then(TcpListener::local_addr));
    bound.ok()
}
