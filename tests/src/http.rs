//! HTTP as far as a test needs it: one request on a connection of its own, and the answer read to its
//! end.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use crate::LIMIT;

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

/// Asks a server at `tcp://127.0.0.1:7008` or `unix:/path`.
///
/// # Errors
///
/// When there is no whole answer.
pub fn ask(endpoint: &str, method: &str, path: &str, body: &str) -> io::Result<Answer> {
    // Of version 1.0, which knows no bodies in chunks.
    let request = format!(
        "{method} {path} HTTP/1.0\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = match endpoint.strip_prefix("unix:") {
        Some(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(LIMIT))?;
            exchange(stream, &request)?
        }
        None => {
            let stream = TcpStream::connect(endpoint.trim_start_matches("tcp://"))?;
            stream.set_read_timeout(Some(LIMIT))?;
            exchange(stream, &request)?
        }
    };
    Answer::parse(&answer).ok_or_else(|| io::Error::other(format!("no answer: {answer:?}")))
}

fn exchange(mut stream: impl Read + Write, request: &str) -> io::Result<String> {
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
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
        let (version, status) = head.split_once(' ')?;
        let status = status.get(..3)?.parse().ok().filter(|_| version.starts_with("HTTP/1."))?;
        let answer = Self { status, head: head.to_owned(), body: body.to_owned() };
        // A body that was cut off is no answer; that to HEAD has none.
        let len = answer.header("content-length").map(str::parse::<usize>);
        let is_whole = len.is_none_or(|len| len == Ok(body.len()) || body.is_empty());
        is_whole.then_some(answer)
    }
}
