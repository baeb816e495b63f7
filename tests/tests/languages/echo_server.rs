//! A running echo server. What is sent to it is left to the checks.

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;
use volley_tests::within;

use crate::language::Language;

/// A server that has printed its port. It dies with this value.
pub(crate) struct EchoServer {
    _child: Child,
    /// Where it listens, without a scheme.
    pub(crate) address: String,
}

impl EchoServer {
    /// Starts the one in `language`; none when that is not installed.
    ///
    /// # Panics
    ///
    /// When it does not print its port.
    pub(crate) async fn start(language: &Language) -> Option<Self> {
        let mut command = language.program("echo_server").await?;
        let mut child = command.spawn().unwrap();
        let mut talk = BufReader::new(child.stderr.take().unwrap()).lines();
        // Shown when the test fails.
        tokio::spawn(async move {
            while let Ok(Some(line)) = talk.next_line().await {
                println!("echo server: {line}");
            }
        });
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        within(stdout.read_line(&mut line)).await.unwrap();
        let port: u16 = line.trim_end().parse().unwrap();
        Some(Self { _child: child, address: format!("127.0.0.1:{port}") })
    }
}
