//! Accepts those who ask, a bounded number at a time, and answers each one request in bounded time.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::listen::Socket;
use super::routes::Routes;

/// How many are answered at once; further ones wait to be accepted.
pub(super) const MOST_CONNECTIONS: u32 = 64;

/// How long the head of a request may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a request may take from its connection's first byte to the last one of its answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// What is read ahead of a request: its head must fit.
const BUFFER: usize = 16 * 1024;

/// After an accept that failed, most likely for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts on all of `sockets` until `left` is cancelled, and answers those that it has accepted.
pub(super) async fn serve(sockets: Vec<Socket>, routes: Arc<Routes>, left: CancellationToken) {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS as usize));
    let mut loops = JoinSet::new();
    for socket in sockets {
        loops.spawn(accept(socket, Arc::clone(&places), Arc::clone(&routes)));
    }
    left.cancelled().await;
    // With their sockets.
    loops.shutdown().await;
    // Until all places are free again.
    let _ = places.acquire_many(MOST_CONNECTIONS).await;
}

async fn accept(socket: Socket, places: Arc<Semaphore>, routes: Arc<Routes>) {
    // It is never closed.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match socket.accept().await {
            Ok(stream) => {
                let routes = Arc::clone(&routes);
                // A task each: a panic ends one answer and nothing else.
                tokio::spawn(async move {
                    answer(stream, &routes).await;
                    drop(place);
                });
            }
            Err(error) => {
                debug!(%error, "cannot accept on the admin listener for now");
                sleep(PAUSE).await;
            }
        }
    }
}

/// One request per connection, so that the connection's deadline is the request's, and nobody keeps
/// a place for a request to come.
async fn answer(stream: Stream, routes: &Routes) {
    let service = service_fn(async |request| Ok::<_, Infallible>(routes.answer(request).await));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .keep_alive(false)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(REQUEST_TIMEOUT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "an admin connection failed"),
        Err(_) => debug!(limit = ?REQUEST_TIMEOUT, "an admin connection took too long"),
    }
}

type Stream = Either<tokio::net::TcpStream, tokio::net::UnixStream>;

impl Socket {
    async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(socket) => Ok(Either::Left(socket.accept().await?.0)),
            Self::Unix(socket) => Ok(Either::Right(socket.accept().await?.0)),
        }
    }
}
