//! The process whose place this one takes.

use std::io;
use std::os::unix::net;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;
use tracing::{info, warn};

use super::READY;

/// How long it may take to let go. It only has to speak to the service manager.
const LET_GO: Duration = Duration::from_secs(10);

/// The other end of the stream to the old process.
#[derive(Debug)]
pub(crate) struct Predecessor {
    stream: UnixStream,
}

impl Predecessor {
    /// From the stream that was passed to this process.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(crate) fn new(stream: net::UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream: UnixStream::from_std(stream)? })
    }

    /// Says that this process is ready. Returns when the old one has let go: from then on the
    /// service manager takes this process for the service.
    pub(crate) async fn relieve(mut self) {
        let mut rest = Vec::new();
        let relieve = async {
            self.stream.write_all(READY).await?;
            self.stream.read_to_end(&mut rest).await
        };
        match timeout(LET_GO, relieve).await {
            Ok(Ok(_)) => info!("took over"),
            // Whatever has become of it, this process accepts connections and goes on.
            Ok(Err(error)) => warn!(%error, "the old process has gone already"),
            Err(_) => warn!("the old process does not let go"),
        }
    }
}
