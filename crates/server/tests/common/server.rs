//! A server in this process, on a thread of its own.

use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Instant;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use volley_proto::{Address, Endpoint, ReplyKind};
use volley_server::{
    Books, Config, End, Framing, Handle, Listener, Negotiated, OpenFailure, Responder, ServeError,
    bind,
};

use super::LIMIT;

/// Runs until it is finished, or dropped: then it is finished too, and its books are checked.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) handle: Handle,
    shutdown: Option<oneshot::Sender<()>>,
    outcome: Option<Receiver<Result<Books, ServeError>>>,
}

impl Server {
    pub(crate) fn echo() -> Self {
        Self::start(Config::default())
    }

    pub(crate) fn ack() -> Self {
        let mut config = Config::default();
        config.reply = ReplyKind::Ack;
        Self::start(config)
    }

    pub(crate) fn start(config: Config) -> Self {
        let responder = Negotiated::new(config.reply);
        Self::start_with(config, responder)
    }

    pub(crate) fn start_with(config: Config, responder: impl Responder) -> Self {
        Self::start_on(config, responder, |_| {})
    }

    /// `prepare` is given the listener before it serves.
    pub(crate) fn start_on(
        config: Config,
        responder: impl Responder,
        prepare: impl FnOnce(&TcpListener) + Send + 'static,
    ) -> Self {
        Self::start_as(|listener| {
            prepare(&listener);
            volley_server::Server::with_responder(listener, config, responder)
        })
    }

    /// Without frames.
    pub(crate) fn raw(config: Config) -> Self {
        Self::start_as(|listener| volley_server::Server::raw(listener, config))
    }

    /// Serves what `wrap` makes of the listener.
    pub(crate) fn start_through<L: Listener>(
        config: Config,
        wrap: impl FnOnce(TcpListener) -> L + Send + 'static,
    ) -> Self {
        Self::start_as(|listener| volley_server::Server::new(wrap(listener), config))
    }

    fn start_as<L: Listener, R: Responder, F: Framing>(
        make: impl FnOnce(TcpListener) -> Result<volley_server::Server<L, R, F>, ServeError>
        + Send
        + 'static,
    ) -> Self {
        let (bound, handle) = mpsc::channel();
        let (done, outcome) = mpsc::channel();
        let (shutdown, asked) = oneshot::channel::<()>();
        thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let served = runtime.block_on(async {
                let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
                let server = make(listener)?;
                bound.send(server.handle()).unwrap();
                server.run(asked).await
            });
            // Nobody may be left to hear it.
            let _ = done.send(served);
        });
        let handle: Handle = handle.recv_timeout(LIMIT).unwrap();
        let (Endpoint::Tcp(Address::Socket(address)) | Endpoint::Tls(Address::Socket(address))) =
            *handle.endpoint()
        else {
            unreachable!()
        };
        Self { address, handle, shutdown: Some(shutdown), outcome: Some(outcome) }
    }

    /// Waits until `so` is true of it.
    #[track_caller]
    pub(crate) fn wait_until(&self, so: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + LIMIT;
        while !so(self) {
            assert!(Instant::now() < deadline, "{:?}", self.handle.connections());
            thread::yield_now();
        }
    }

    /// Asks for the shutdown, and does not wait for it.
    pub(crate) fn shut_down(&mut self) {
        if let Some(shutdown) = self.shutdown.take() {
            let _ = shutdown.send(());
        }
    }

    /// Asks for the shutdown, waits for it and checks the books.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Books {
        self.shut_down();
        let summary = self.outcome().unwrap();
        check_books(&summary);
        summary
    }

    /// Waits until the server ends.
    #[track_caller]
    pub(crate) fn outcome(&mut self) -> Result<Books, ServeError> {
        self.outcome.take().unwrap().recv_timeout(LIMIT).expect("the server ends in time")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shut_down();
        if let Some(outcome) = self.outcome.take().filter(|_| !thread::panicking()) {
            check_books(&outcome.recv_timeout(LIMIT).expect("the server ends in time").unwrap());
        }
    }
}

/// What holds for every server that has ended.
#[track_caller]
pub(crate) fn check_books(books: &Books) {
    assert!(books.balance() && books.active == 0 && books.frames_pending == 0, "{books:?}");
    let unopened = books.open_failures.get(&OpenFailure::CutOff).copied().unwrap_or(0);
    let ended = books.ends.get(&End::CutOff).copied().unwrap_or(0);
    assert_eq!(books.cut_off(), ended + unopened);
    assert_eq!(books.opening, 0);
    let counts = books.ends.values().chain(books.dropped.values()).chain(books.refused.values());
    let counts = counts.chain(books.open_failures.values());
    assert!(counts.copied().all(|n| n > 0), "{books:?}");
}
