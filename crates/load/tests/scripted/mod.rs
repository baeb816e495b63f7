//! A server that answers rightly but for the faults that a test gives it, and keeps count.

mod connection;
mod fault;

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use volley_proto::{Endpoint, MaxFrame, ReplyKind};

use connection::{Astray, Connection};
pub(crate) use fault::{Change, End, Fault};

/// What a server does.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    /// What it does wrong.
    pub(crate) fault: Fault,
    /// The frames of each connection with which it does so, from 0.
    pub(crate) at: Vec<u64>,
    /// Frames that its clients keep in flight. It ends a connection when so many are unanswered:
    /// then it is known how many are lost.
    pub(crate) pipeline: u64,
    /// The reply that it gives unless HELLO asks for one.
    pub(crate) reply: ReplyKind,
    /// What its WELCOME says.
    pub(crate) max_frame: MaxFrame,
}

impl Default for Script {
    /// Nothing is wrong.
    fn default() -> Self {
        Self {
            fault: Fault::None,
            at: Vec::new(),
            pipeline: 1,
            reply: ReplyKind::Echo,
            max_frame: MaxFrame::DEFAULT,
        }
    }
}

/// What a server has counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Count {
    /// The connections that were accepted, in the order in which they came: who connected, and how
    /// many frames came.
    pub(crate) connections: Vec<(IpAddr, u64)>,
    /// Frames that got the right reply, on whatever connection and however often.
    pub(crate) answered: u64,
    /// How often it did something wrong.
    pub(crate) faults: u64,
}

impl Count {
    /// Frames that came, on all connections.
    pub(crate) fn received(&self) -> u64 {
        self.connections.iter().map(|(_, frames)| frames).sum()
    }
}

/// A server that is running.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Until it is finished.
    thread: Option<JoinHandle<()>>,
}

/// What its connections share.
#[derive(Debug)]
struct Shared {
    script: Script,
    count: Mutex<Count>,
    /// Replies that wait for one of another connection, to be exchanged with it.
    astray: Mutex<Vec<Astray>>,
    stopped: AtomicBool,
}

impl Server {
    /// Starts it on a free port.
    pub(crate) fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            script,
            count: Mutex::default(),
            astray: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        let of_thread = Arc::clone(&shared);
        let thread = thread::spawn(move || accept(&listener, &of_thread));
        Self { address, shared, thread: Some(thread) }
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        self.address.into()
    }

    /// What it has counted so far.
    pub(crate) fn count(&self) -> Count {
        self.shared.count.lock().unwrap().clone()
    }

    /// Awaits the end of its connections, which is for the clients to bring about.
    pub(crate) fn finish(mut self) -> Count {
        self.shared.stopped.store(true, Ordering::Relaxed);
        // So that it looks.
        drop(TcpStream::connect(self.address).unwrap());
        self.thread.take().unwrap().join().unwrap();
        self.count()
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut connections = Vec::new();
    loop {
        let (stream, peer) = listener.accept().unwrap();
        if shared.stopped.load(Ordering::Relaxed) {
            break;
        }
        let mut count = shared.count.lock().unwrap();
        let number = count.connections.len();
        count.connections.push((peer.ip(), 0));
        drop(count);
        let connection = Connection::new(stream, number, Arc::clone(shared));
        connections.push(thread::spawn(move || connection.serve()));
    }
    for connection in connections {
        connection.join().unwrap();
    }
}
