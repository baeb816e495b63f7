//! The client of a framed server: connects, keeps frames in flight and checks every reply.
//!
//! [`Connection::request`] sends a frame and awaits its reply. [`Connection::split`] gives a
//! [`Sender`] and a [`Receiver`], which two tasks can drive at their own pace, so that many frames
//! are in flight.
//!
//! ```no_run
//! use volley_client::{Connection, Options};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), volley_client::Error> {
//! let endpoint = volley_proto::Endpoint::DEFAULT;
//! let mut connection = Connection::connect(&endpoint, &Options::default()).await?;
//! let reply = connection.request("hello").await?;
//! assert_eq!(reply.payload, "hello");
//! # Ok(())
//! # }
//! ```
//!
//! # What is checked
//!
//! An echo must be its frame, byte for byte. A receipt must carry the CRC-32C of its frame's
//! payload, its frame's number and the sum of the payload bytes sent so far: then every byte
//! arrived whole, in order and once. Anything else is a [`Mismatch`].
//! [`Receiver::receive_unchecked`] leaves the check to its caller.

#[cfg(feature = "advice")]
pub mod advice;
mod check;
mod connect;
mod connection;
mod datagram_stream;
mod datagrams;
mod deadline;
mod error;
#[cfg(feature = "advice")]
pub mod flags;
mod framing;
mod greeting;
mod inbox;
mod local;
mod options;
mod proxy_header;
mod receiver;
mod resolve;
mod sender;
mod stream;
mod tap;
mod terms;
mod tls;
mod udp_error;
mod unsent;

pub use check::{Arrival, Mismatch, Reply, Sent};
pub use connect::{Opened, open};
pub use connection::Connection;
pub use datagrams::Datagrams;
pub use error::{Error, Part, ProtocolError};
pub use framing::Framing;
pub use options::{Hello, Options};
pub use proxy_header::{ProxyHeader, ProxyHeaderError};
pub use receiver::Receiver;
pub use sender::Sender;
pub use stream::{ReadHalf, Stream, StreamAddress, WriteHalf};
pub use tap::{Direction, Passing, Tap};
pub use terms::GoAway;
pub use tls::{Handshake, Tls, TlsFault, TlsOptions, TlsSetupError};
