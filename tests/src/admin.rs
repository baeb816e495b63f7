//! Asks a daemon's admin listener, as `curl` would: one request, and the answer read to its end.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use crate::LIMIT;
use crate::openmetrics::Metrics;

/// The admin listener of a daemon.
#[derive(Clone, Debug)]
pub struct Admin {
    /// `tcp://127.0.0.1:7008` or `unix:/path`.
    pub endpoint: String,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The status line and the headers.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Admin {
    /// By the endpoint that the daemon has printed.
    pub fn at(endpoint: &str) -> Self {
        Self { endpoint: endpoint.to_owned() }
    }

    /// Asks for a path.
    ///
    /// # Panics
    ///
    /// When there is no answer.
    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "")
    }

    /// Asks with any method and body.
    ///
    /// # Panics
    ///
    /// When there is no answer.
    #[track_caller]
    pub fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        match self.try_ask(method, path, body) {
            Ok(answer) => answer,
            Err(error) => panic!("{method} {path} at {}: {error}", self.endpoint),
        }
    }

    /// As [`ask`](Self::ask), of a daemon that may have ended.
    ///
    /// # Errors
    ///
    /// When there is no whole answer.
    pub fn try_ask(&self, method: &str, path: &str, body: &str) -> io::Result<Answer> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: volleyd\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut answer = String::new();
        match self.endpoint.strip_prefix("unix:") {
            Some(path) => {
                let mut stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(LIMIT))?;
                stream.write_all(request.as_bytes())?;
                stream.read_to_string(&mut answer)?;
            }
            None => {
                let address = self.endpoint.trim_start_matches("tcp://");
                let mut stream = TcpStream::connect(address)?;
                stream.set_read_timeout(Some(LIMIT))?;
                stream.write_all(request.as_bytes())?;
                stream.read_to_string(&mut answer)?;
            }
        }
        Answer::parse(&answer).ok_or_else(|| io::Error::other(format!("no answer: {answer:?}")))
    }

    /// Scrapes the metrics.
    ///
    /// # Panics
    ///
    /// When that fails.
    #[track_caller]
    pub fn metrics(&self) -> Metrics {
        let answer = self.get("/metrics");
        assert_eq!(answer.status, 200, "{answer:?}");
        Metrics::parse(&answer.body)
    }

    /// Scrapes the metrics and fails unless the books balance.
    ///
    /// # Panics
    ///
    /// When they don't.
    #[track_caller]
    pub fn check_books(&self) {
        self.metrics().check_books();
    }

    /// As [`check_books`](Self::check_books), unless the daemon has ended meanwhile.
    ///
    /// # Panics
    ///
    /// When they don't balance.
    #[track_caller]
    pub fn check_books_if_alive(&self) {
        if let Ok(answer) = self.try_ask("GET", "/metrics", "") {
            Metrics::parse(&answer.body).check_books();
        }
    }
}

impl Answer {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    fn parse(answer: &str) -> Option<Self> {
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        let answer = Self { status, head: head.to_owned(), body: body.to_owned() };
        // A body that was cut off is no answer; that to HEAD has none.
        let len: usize = answer.header("content-length")?.parse().ok()?;
        (len == body.len() || body.is_empty()).then_some(answer)
    }
}
