//! Datagrams over UDP: each is answered with an echo or a receipt, or dropped for a reason that the
//! books tell.
//!
//! ```text
//!   socket --> received --> guard --> sources --> reply --> replies --> socket
//!    up to 32 at once      who may    how often           those to one source
//!                         be answered                      with one call
//! ```
//!
//! Nobody can be sure who sent a datagram: its source may be forged, and then the reply goes to
//! somebody who has not asked for it. So no reply is longer than its request, and some sources get
//! none. There are no connections, so none of their limits and deadlines apply.

mod books;
mod config;
mod guard;
mod handle;
mod received;
mod replies;
mod server;
mod socket;
mod sources;
mod tally;

pub use books::{DatagramBooks, Dropped};
pub use config::{DatagramConfig, SourceRate};
pub use handle::DatagramHandle;
pub use server::{DatagramError, DatagramServer, serve_datagrams};
pub use socket::bind_udp;
