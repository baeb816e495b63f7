//! Asks a daemon's admin listener.

use std::io;

use crate::http::{self, Answer};
use crate::openmetrics::Metrics;

/// The admin listener of a daemon.
#[derive(Clone, Debug)]
pub struct Admin {
    /// `tcp://127.0.0.1:7008` or `unix:/path`.
    pub endpoint: String,
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
        http::ask(&self.endpoint, method, path, body)
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
