//! The library against servers that a test scripts.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, also in what it calls")]
#![expect(clippy::expect_used, reason = "a test that panics has failed, also in what it calls")]

mod cancel;
mod connect;
mod ends;
mod flow;
mod replies;
#[path = "../scripted/mod.rs"]
mod scripted;

use std::time::Duration;

use volley_client::{Connection, Hello, Options};
use volley_proto::{Endpoint, ReplyKind};

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

async fn connect(endpoint: &Endpoint, options: &Options) -> Connection {
    Connection::connect(endpoint, options).await.unwrap()
}
