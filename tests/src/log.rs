//! What a process writes, line by line.

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::within;

/// Lines that are read whether anyone waits for them or not.
#[derive(Debug)]
pub struct Log {
    lines: UnboundedReceiver<String>,
    seen: Vec<String>,
}

impl Log {
    /// Reads a stream to its end, in a task of its own.
    pub fn of(stream: impl AsyncRead + Send + Unpin + 'static) -> Self {
        let (sender, lines) = unbounded_channel();
        tokio::spawn(async move {
            let mut lines = BufReader::new(stream).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                // Nobody may be interested any more.
                let _ = sender.send(line);
            }
        });
        Self { lines, seen: Vec::new() }
    }

    /// Awaits the next line that contains `part`.
    ///
    /// # Panics
    ///
    /// When none comes.
    pub async fn wait_for(&mut self, part: &str) -> String {
        loop {
            let Some(line) = within(self.lines.recv()).await else {
                panic!("no line with {part:?}: {:#?}", self.seen);
            };
            self.seen.push(line.clone());
            if line.contains(part) {
                return line;
            }
        }
    }

    /// Awaits the end of the stream. Returns all its lines.
    ///
    /// # Panics
    ///
    /// When it does not come.
    pub async fn end(&mut self) -> Vec<String> {
        while let Some(line) = within(self.lines.recv()).await {
            self.seen.push(line);
        }
        std::mem::take(&mut self.seen)
    }
}
