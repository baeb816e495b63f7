//! Serves a listener: every frame that arrives is answered, in order, exactly once.
//!
//! [`serve`] takes a bound listener, a [`Config`] and a future that ends it, and returns a
//! [`Summary`]. What is sent back is a [`Responder`]: [`Echo`] and [`Ack`] come with the crate,
//! [`serve_with`] takes one of your own.
//!
//! ```no_run
//! use volley_server::{Config, bind, serve};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = bind("127.0.0.1:7007".parse()?)?;
//! let summary = serve(listener, Config::default(), tokio::signal::ctrl_c()).await?;
//! println!("{} frames answered", summary.frames_answered);
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
mod config;
mod connection;
mod limit;
mod linger;
mod refusal;
mod responder;
mod roster;
mod scratch;
mod serve;
mod summary;
mod transport;
mod unsent;

pub use bind::bind;
pub use config::Config;
pub use limit::ConnectionLimit;
pub use responder::{Ack, Echo, Negotiated, Replied, Request, Responder, Slot};
pub use serve::{ServeError, serve, serve_with};
pub use summary::{End, Summary};
