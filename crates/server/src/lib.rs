//! Serves a listener: every frame that arrives is answered, in order, exactly once.
//!
//! [`serve`] takes a bound listener, a [`Config`] and a future that ends it, and returns a
//! [`Books`]. What is sent back is a [`Responder`]: [`Echo`] and [`Ack`] come with the crate,
//! [`serve_with`] takes one of your own. [`serve_datagrams`] does the same for a UDP socket,
//! without connections.
//!
//! ```no_run
//! use volley_server::{Config, bind, serve};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = bind("127.0.0.1:7007".parse()?)?;
//! let books = serve(listener, Config::default(), tokio::signal::ctrl_c()).await?;
//! println!("{} frames answered", books.frames_answered);
//! # Ok(())
//! # }
//! ```
//!
//! # How it works
//!
//! ```text
//!   serve -> accept ---> one task per connection:  read -> parse -> respond -> write
//!     |        |                   ^                 |                            |
//!     |     refusal             roster               '-- a buffer that the worker
//!     '------------- drain --------'                      thread lends for one poll
//! ```
//!
//! Each wake-up of a connection reads once, answers every whole frame that the read brought in and
//! writes once. While a reply can't be written nothing more is read. An idle connection owns no
//! buffer.

mod accept;
mod answer;
mod bind;
mod books;
mod config;
mod connection;
mod datagram;
mod deadlines;
mod framing;
mod handle;
mod limits;
mod linger;
mod listener;
mod opening;
mod peer;
mod proxy;
mod refusal;
mod responder;
mod roster;
mod scratch;
mod seat;
mod server;
mod service_time;
mod socket_file;
mod status;
mod sweep;
mod throttle;
#[cfg(feature = "tls")]
mod tls;
mod transport;
mod unix;
mod unsent;

pub use bind::bind;
pub use books::{AcceptError, Books, End, OpenFailure, Refusal};
pub use config::Config;
pub use datagram::{
    DatagramBooks, DatagramConfig, DatagramError, DatagramHandle, DatagramServer, Dropped,
    SourceRate, bind_udp, serve_datagrams,
};
pub use deadlines::Deadlines;
pub use framing::{Framed, Framing, Raw};
pub use handle::Handle;
pub use limits::buffers::BufferLimit;
pub use limits::connections::ConnectionLimit;
pub use listener::Listener;
pub use peer::{Behind, Certified, Credentials, Peer};
pub use proxy::{Proxied, Trusted, Vouched};
pub use responder::{Ack, Echo, Negotiated, Replied, Request, Responder, Slot};
pub use server::{ServeError, Server, serve, serve_with};
pub use service_time::ServiceTimes;
pub use socket_file::{SocketFile, UnixAccess};
pub use status::{ConnectionState, ConnectionStatus};
#[cfg(feature = "tls")]
pub use tls::{LiveTls, Tls, TlsClients, TlsConfig, TlsConfigError, TlsInput};
pub use unix::bind_unix;
