//! What a script says, once it has been read. Nothing here depends on how it was written.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use regex::bytes::Regex;
use volley_client::Hello;
use volley_proto::{Endpoint, Reason};

/// A script that can be carried out.
#[derive(Debug)]
pub(crate) struct Script {
    /// What the user calls it: its path.
    pub(crate) name: String,
    pub(crate) statements: Vec<Statement>,
}

impl Script {
    /// Where it connects, if `to` is where it connects unless it says.
    pub(crate) fn endpoints<'a>(&'a self, to: &'a Endpoint) -> Vec<&'a Endpoint> {
        let mut endpoints = vec![to];
        let mut blocks = vec![&self.statements];
        while let Some(block) = blocks.pop() {
            for statement in block {
                match &statement.action {
                    Action::Connect(Some(endpoint)) => endpoints.push(endpoint),
                    Action::Repeat { body, .. } => blocks.push(body),
                    _ => {}
                }
            }
        }
        endpoints
    }
}

/// One line of a script, or several from `repeat` to its `end`.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) place: Place,
    /// As it was written, without the blanks around it.
    pub(crate) source: String,
    pub(crate) action: Action,
}

/// A place in a script, both from 1. A column is a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// What a statement does.
#[derive(Debug)]
pub(crate) enum Action {
    /// Opens a connection, to the endpoint of the command line unless another is named.
    Connect(Option<Endpoint>),
    /// Sends HELLO and awaits WELCOME.
    Hello(Hello),
    /// Sends a frame with this payload.
    Send(Bytes),
    /// Sends these bytes, with no head before them.
    Raw(Bytes),
    /// Awaits what comes next, which must match.
    Expect(Pattern),
    /// Awaits what matches, and passes over all frames before it.
    Until(Pattern),
    /// Awaits these bytes of the stream, heads included.
    ExpectRaw(Bytes),
    /// Makes sure that nothing comes for so long.
    ExpectNothing(Duration),
    /// Does nothing for so long.
    Sleep(Duration),
    /// Sets how long each statement from here on may wait for the server.
    Timeout(Duration),
    /// Tells the server that nothing more will be sent.
    HalfClose,
    Close,
    /// Carries out others, again and again.
    Repeat {
        times: u64,
        /// There is at least one that does something: a reader leaves an empty block out, which
        /// would be gone through at every count.
        body: Vec<Statement>,
    },
}

/// What may come from the server.
#[derive(Clone, Debug)]
pub(crate) enum Pattern {
    /// A data frame with just this payload.
    Exact(Bytes),
    /// A data frame that begins with this.
    Prefix(Bytes),
    /// A data frame in which this matches.
    Regex(Regex),
    /// Any data frame.
    Any,
    /// The frame that is answered, byte for byte.
    Echo,
    /// The receipt for the frame that is answered.
    Receipt,
    Welcome,
    GoAway(Option<Reason>),
    Error(Option<Reason>),
    /// The end of all frames.
    Close,
}

/// The statements in the order in which they are carried out: a repeated one comes again and
/// again, `repeat` itself never.
#[derive(Debug)]
pub(crate) struct Steps<'a> {
    /// What is being carried out, the innermost last.
    blocks: Vec<Block<'a>>,
}

#[derive(Debug)]
struct Block<'a> {
    body: &'a [Statement],
    next: usize,
    /// How many times it begins again.
    again: u64,
}

impl<'a> Steps<'a> {
    pub(crate) fn new(statements: &'a [Statement]) -> Self {
        Self { blocks: vec![Block { body: statements, next: 0, again: 0 }] }
    }
}

impl<'a> Iterator for Steps<'a> {
    type Item = &'a Statement;

    fn next(&mut self) -> Option<&'a Statement> {
        loop {
            let block = self.blocks.last_mut()?;
            match block.body.get(block.next) {
                Some(Statement { action: Action::Repeat { times, body }, .. }) => {
                    block.next += 1;
                    if let Some(again) = times.checked_sub(1) {
                        self.blocks.push(Block { body, next: 0, again });
                    }
                }
                Some(statement) => {
                    block.next += 1;
                    return Some(statement);
                }
                None if block.again > 0 => {
                    block.again -= 1;
                    block.next = 0;
                }
                None => {
                    self.blocks.pop();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(line: usize, action: Action) -> Statement {
        Statement { place: Place { line, column: 1 }, source: String::new(), action }
    }

    fn repeat(line: usize, times: u64, body: Vec<Statement>) -> Statement {
        statement(line, Action::Repeat { times, body })
    }

    fn close(line: usize) -> Statement {
        statement(line, Action::Close)
    }

    fn lines(statements: &[Statement]) -> Vec<usize> {
        Steps::new(statements).map(|statement| statement.place.line).collect()
    }

    #[test]
    fn repeated_statements_come_as_often_as_asked_for() {
        let inner = repeat(3, 2, vec![close(4)]);
        let script = [close(1), repeat(2, 2, vec![inner, close(6)]), close(8)];
        assert_eq!(lines(&script), [1, 4, 4, 6, 4, 4, 6, 8]);
    }

    #[test]
    fn what_is_repeated_no_times_never_comes() {
        assert_eq!(lines(&[repeat(1, 0, vec![close(2)]), close(4)]), [4]);
    }
}
