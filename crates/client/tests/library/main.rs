//! The library against servers that a test scripts.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, also in what it calls")]
#![expect(clippy::expect_used, reason = "a test that panics has failed, also in what it calls")]

mod cancel;
mod connect;
mod ends;
mod flow;
mod proxy_header;
mod raw;
mod replies;
#[path = "../scripted/mod.rs"]
mod scripted;
mod tap;
mod tls;
#[path = "../scripted/tls.rs"]
mod tls_server;
mod unix;

use std::time::Duration;

use volley_client::{Connection, Hello, Options};
use volley_proto::{Endpoint, ReplyKind};

/// A socket buffer that is far smaller than what the tests of full directions send, in bytes. With
/// less than one segment of the loopback device TCP would send at the pace of its timers.
const SMALL: usize = 64 << 10;

/// Lets the kernel hold little in either direction.
fn shrink_buffers(peer: &scripted::Peer) {
    let socket = socket2::SockRef::from(&peer.stream);
    socket.set_recv_buffer_size(SMALL).unwrap();
    socket.set_send_buffer_size(SMALL).unwrap();
}

/// Long enough for whatever must come.
fn patient() -> Options {
    let mut options = Options::default();
    options.connect_timeout = scripted::LIMIT;
    options.reply_timeout = scripted::LIMIT;
    options
}

/// Short enough to wait for what never comes.
fn hasty() -> Options {
    let mut options = patient();
    options.connect_timeout = Duration::from_millis(100);
    options.reply_timeout = Duration::from_millis(100);
    options
}

/// Without a HELLO.
fn silent(mut options: Options) -> Options {
    options.hello = None;
    options
}

/// With a HELLO that asks for a reply.
fn wanting(kind: ReplyKind) -> Options {
    let mut options = patient();
    options.hello = Some(Hello { wanted: Some(kind), name: "a test".to_owned() });
    options
}

/// From a local address.
fn from(local: &str) -> Options {
    let mut options = patient();
    options.local = Some(local.parse().unwrap());
    options
}

async fn connect(endpoint: &Endpoint, options: &Options) -> Connection {
    Connection::connect(endpoint, options).await.unwrap()
}
