//! A datagram server, seen from outside while it runs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::net::UdpSocket;
use volley_proto::Endpoint;

use super::books::DatagramBooks;
use super::config::DatagramConfig;
use super::socket;

/// Looks at a running [`DatagramServer`](crate::DatagramServer) and changes what it has in force.
/// Clones are for the same server; after its end it stays as it was then.
#[derive(Clone, Debug)]
pub struct DatagramHandle {
    shared: Arc<Shared>,
}

/// What a server and its handles share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Where it listens.
    pub(crate) endpoint: Endpoint,
    /// Locked once per batch, and when somebody looks.
    books: Mutex<DatagramBooks>,
    config: Mutex<Arc<DatagramConfig>>,
    /// Gone with the server.
    socket: Weak<UdpSocket>,
    leaves_queue: AtomicBool,
}

impl DatagramHandle {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Where it listens, port 0 resolved.
    pub fn endpoint(&self) -> &Endpoint {
        &self.shared.endpoint
    }

    /// The books at this instant.
    pub fn books(&self) -> DatagramBooks {
        self.shared.books()
    }

    /// What is in force.
    pub fn config(&self) -> DatagramConfig {
        (*self.shared.config()).clone()
    }

    /// Puts `config` in force. Whether the address may be public was decided at the start.
    pub fn reconfigure(&self, config: DatagramConfig) {
        *lock(&self.shared.config) = Arc::new(config);
    }

    /// Leaves what the socket has received at the shutdown to another process, which has the same
    /// socket; without this it is answered.
    pub fn leave_queue(&self) {
        self.shared.leaves_queue.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    pub(crate) fn new(endpoint: Endpoint, socket: Weak<UdpSocket>, config: DatagramConfig) -> Self {
        Self {
            endpoint,
            books: Mutex::default(),
            config: Mutex::new(Arc::new(config)),
            socket,
            leaves_queue: AtomicBool::new(false),
        }
    }

    pub(crate) fn config(&self) -> Arc<DatagramConfig> {
        Arc::clone(&lock(&self.config))
    }

    pub(crate) fn leaves_queue(&self) -> bool {
        self.leaves_queue.load(Ordering::Relaxed)
    }

    /// Changes the books.
    pub(crate) fn book(&self, entry: impl FnOnce(&mut DatagramBooks)) {
        entry(&mut lock(&self.books));
    }

    pub(crate) fn books(&self) -> DatagramBooks {
        let mut books = lock(&self.books);
        if let Some(overflowed) =
            self.socket.upgrade().and_then(|socket| socket::overflowed(&*socket))
        {
            // The kernel counts in 32 bits.
            #[expect(clippy::cast_possible_truncation, reason = "the lower half is compared")]
            let more = overflowed.wrapping_sub(books.overflowed as u32);
            books.overflowed += u64::from(more);
        }
        books.clone()
    }
}

/// What a poisoned lock guards is still whole: no code under these locks can panic half-way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
