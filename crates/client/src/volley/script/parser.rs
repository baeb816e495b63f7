//! A line of a script: from its words to what it does.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use regex::bytes::Regex;
use volley_cli::{
    Misread, format_bytes, parse_bytes, parse_count, parse_duration, parse_timeout, suggest,
};
use volley_client::Hello;
use volley_client::advice::parse_endpoint;
use volley_proto::{MaxFrame, Reason, ReplyKind};

use super::error::Fault;
use super::lexer::{self, Piece};
use super::statement::{Action, Pattern};
use crate::decode::{DecodeError, decode_base64, decode_hex};

/// What a line can begin with.
const STATEMENTS: [&str; 12] = [
    "close",
    "connect",
    "end",
    "expect",
    "half-close",
    "hello",
    "raw",
    "repeat",
    "send",
    "sleep",
    "timeout",
    "until",
];

/// What a payload can be written as, beside a quoted text.
const PAYLOADS: [&str; 5] = ["base64", "file", "hex", "random", "zeros"];

/// What a pattern can be, beside a payload and a regular expression.
const PATTERNS: [&str; 8] =
    ["any", "close", "echo", "error", "goaway", "prefix", "receipt", "welcome"];

/// What only `expect` takes.
const EXPECTATIONS: [&str; 2] = ["nothing", "raw"];

/// The longest payload, and the most that is read of a file.
const LONGEST: usize = MaxFrame::CEILING.get() as usize;

/// What a script may refer to beyond its own text.
pub(crate) struct Surroundings<'a> {
    /// The value of a variable of the environment.
    pub(crate) variable: &'a dyn Fn(&str) -> Option<OsString>,
    /// What paths are relative to.
    pub(crate) directory: &'a Path,
}

/// What a line says.
#[derive(Debug)]
pub(super) enum Line {
    /// Nothing: it is empty, or a comment.
    Blank,
    Action(Action),
    /// The lines up to the matching `End` are carried out so many times.
    Repeat(u64),
    End,
}

/// Reads a line.
pub(super) fn parse<'a>(line: &'a str, surroundings: &Surroundings<'_>) -> Result<Line, Fault<'a>> {
    let mut words = Words { rest: line.trim_start(), surroundings };
    if words.is_at_end() {
        return Ok(Line::Blank);
    }
    let read = words.statement()?;
    if words.is_at_end() {
        return Ok(read);
    }
    let superfluous = words.rest.trim_end();
    Err(Fault::new(superfluous, "the statement has ended before this: is a # or a quote missing?"))
}

/// A bare word, variables replaced.
#[derive(Debug)]
struct Word<'a> {
    /// As it stands in the line.
    place: &'a str,
    text: String,
}

impl<'a> Word<'a> {
    fn wrong(&self, why: impl Into<String>) -> Fault<'a> {
        Fault::new(self.place, why)
    }

    /// What the word stands for.
    fn read<T>(&self, parse: impl Fn(&str) -> Result<T, String>) -> Result<T, Fault<'a>> {
        parse(&self.text).map_err(|why| self.wrong(why))
    }

    /// That it is none of these.
    fn unknown(&self, noun: &str, known: &[&str]) -> Fault<'a> {
        let text = &self.text;
        match suggest(text, known.iter().copied()) {
            Some(meant) => self.wrong(format!("no {noun} is called `{text}`: is it `{meant}`?")),
            None => {
                self.wrong(format!("no {noun} is called `{text}`: there are {}", known.join(", ")))
            }
        }
    }
}

/// What is left of a line.
struct Words<'a, 's> {
    /// Begins with a word, if there is one left.
    rest: &'a str,
    surroundings: &'s Surroundings<'s>,
}

impl<'a> Words<'a, '_> {
    fn statement(&mut self) -> Result<Line, Fault<'a>> {
        let name = self.word("a statement")?;
        Ok(Line::Action(match name.text.as_str() {
            "connect" if self.is_at_end() => Action::Connect(None),
            "connect" => Action::Connect(Some(self.endpoint()?)),
            "hello" => Action::Hello(self.hello()?),
            "send" => Action::Send(self.payload()?),
            "raw" => Action::Raw(self.payload()?),
            "expect" => self.expectation()?,
            "until" => Action::Until(self.pattern(&[])?),
            "sleep" => Action::Sleep(self.duration(parse_duration)?),
            "timeout" => Action::Timeout(self.duration(parse_timeout)?),
            "half-close" => Action::HalfClose,
            "close" => Action::Close,
            "repeat" => return Ok(Line::Repeat(self.word("a number")?.read(parse_count)?)),
            "end" => return Ok(Line::End),
            _ => return Err(name.unknown("statement", &STATEMENTS)),
        }))
    }

    fn endpoint(&mut self) -> Result<volley_proto::Endpoint, Fault<'a>> {
        self.word("an endpoint")?.read(parse_endpoint)
    }

    fn hello(&mut self) -> Result<Hello, Fault<'a>> {
        let mut hello = Hello::default();
        if !self.is_at_end() && !self.rest.starts_with('"') {
            let wanted = self.word("a reply")?;
            hello.wanted = Some(match wanted.text.as_str() {
                "echo" => ReplyKind::Echo,
                "ack" => ReplyKind::Ack,
                _ => return Err(wanted.unknown("reply", &["echo", "ack"])),
            });
        }
        if self.rest.starts_with('"') {
            let (place, name) = self.text()?;
            hello.name = String::from_utf8(name)
                .map_err(|_| Fault::new(place, "a client's name must be UTF-8"))?;
        }
        Ok(hello)
    }

    fn expectation(&mut self) -> Result<Action, Fault<'a>> {
        let keyword = self.keyword();
        match keyword.as_ref().map(|word| word.text.as_str()) {
            Some("nothing") => {
                self.skip_word();
                Ok(Action::ExpectNothing(self.duration(parse_timeout)?))
            }
            Some("raw") => {
                self.skip_word();
                Ok(Action::ExpectRaw(self.payload()?))
            }
            _ => Ok(Action::Expect(self.pattern(&EXPECTATIONS)?)),
        }
    }

    /// What may come; messages name `others` too.
    fn pattern(&mut self, others: &[&str]) -> Result<Pattern, Fault<'a>> {
        if self.rest.starts_with('/') {
            return Ok(Pattern::Regex(self.regex()?));
        }
        let keyword = self.keyword().filter(|word| !PAYLOADS.contains(&&*word.text));
        let Some(word) = keyword else {
            return Ok(Pattern::Exact(self.payload()?));
        };
        self.skip_word();
        Ok(match word.text.as_str() {
            "any" => Pattern::Any,
            "close" => Pattern::Close,
            "echo" => Pattern::Echo,
            "error" => Pattern::Error(self.reason()?),
            "goaway" => Pattern::GoAway(self.reason()?),
            "prefix" => Pattern::Prefix(self.payload()?),
            "receipt" => Pattern::Receipt,
            "welcome" => Pattern::Welcome,
            _ => {
                let mut known = [&PATTERNS, others, &PAYLOADS[..]].concat();
                known.sort_unstable();
                known.extend(["\"TEXT\"", "/REGEX/"]);
                return Err(word.unknown("pattern", &known));
            }
        })
    }

    fn regex(&mut self) -> Result<Regex, Fault<'a>> {
        let (place, pieces) = self.take(lexer::pattern)?;
        let mut pattern = String::new();
        for piece in pieces {
            match piece {
                // A piece of the line, cut between characters.
                Piece::Bytes(bytes) => pattern.push_str(&String::from_utf8_lossy(&bytes)),
                // The value itself is looked for, whatever characters are in it.
                Piece::Variable { .. } => pattern.push_str(&regex::escape(&self.utf8(&piece)?)),
            }
        }
        Regex::new(&pattern).map_err(|error| {
            // Behind an excerpt of its own, the last line says what is wrong.
            let error = error.to_string();
            let why = error.lines().last().unwrap_or_default();
            Fault::new(place, why.strip_prefix("error: ").unwrap_or(why))
        })
    }

    /// The reason of a control frame, if the line goes on.
    fn reason(&mut self) -> Result<Option<Reason>, Fault<'a>> {
        if self.is_at_end() {
            return Ok(None);
        }
        let word = self.word("a reason")?;
        let names = Reason::ALL.map(|reason| reason.to_string().replace(' ', "-"));
        match names.iter().position(|name| *name == word.text) {
            Some(at) => Ok(Some(Reason::ALL[at])),
            None => Err(word.unknown("reason", &names.each_ref().map(String::as_str))),
        }
    }

    fn duration(
        &mut self,
        parse: impl Fn(&str) -> Result<Duration, String>,
    ) -> Result<Duration, Fault<'a>> {
        self.word("a duration, for example 100ms,")?.read(parse)
    }

    /// Everything up to the end of the line, put together.
    fn payload(&mut self) -> Result<Bytes, Fault<'a>> {
        if self.is_at_end() {
            return Err(Fault::new(
                self.rest,
                "a payload is missing: a \"text\", or \"\" for an empty one",
            ));
        }
        let (whole, mut payload) = (self.rest, BytesMut::new());
        while !self.is_at_end() {
            let next = self.keyword().filter(|next| STATEMENTS.contains(&&*next.text));
            if let Some(next) = next.filter(|_| self.rest.len() < whole.len()) {
                let name = &next.text;
                let why = format!("a statement has a line of its own: `{name}` begins another one");
                return Err(next.wrong(why));
            }
            self.add_piece(&mut payload)?;
            if payload.len() > LONGEST {
                let longest = format_bytes(LONGEST as u64);
                let place = taken(whole, self.rest).trim_end();
                return Err(Fault::new(place, format!("no frame is longer than {longest}")));
            }
        }
        Ok(payload.freeze())
    }

    fn add_piece(&mut self, payload: &mut BytesMut) -> Result<(), Fault<'a>> {
        if self.rest.starts_with('"') {
            payload.extend_from_slice(&self.text()?.1);
            return Ok(());
        }
        let kind = self.word("a payload")?;
        match kind.text.as_str() {
            "hex" => self.add_hex(payload)?,
            "base64" => {
                let word = self.word("a text in base64")?;
                let decoded = decode_base64(word.text.as_bytes());
                payload.extend_from_slice(&decoded.map_err(|error| undecodable(&word, error))?);
            }
            "file" => self.add_file(payload)?,
            "zeros" => payload.resize(payload.len() + self.size()?, 0),
            "random" => {
                let start = payload.len();
                payload.resize(start + self.size()?, 0);
                fastrand::fill(&mut payload[start..]);
            }
            text if PAYLOADS.iter().any(|kind| suggest(text, [*kind]).is_some()) => {
                return Err(kind.unknown("payload", &PAYLOADS));
            }
            text => {
                let text = text.trim_matches('\'');
                return Err(kind.wrong(format!("a text stands in double quotes: \"{text}\"")));
            }
        }
        Ok(())
    }

    /// All words that follow and are no payload of another kind.
    fn add_hex(&mut self, payload: &mut BytesMut) -> Result<(), Fault<'a>> {
        let mut word = self.word("a hexadecimal number")?;
        loop {
            let decoded = decode_hex(word.text.as_bytes());
            payload.extend_from_slice(&decoded.map_err(|error| undecodable(&word, error))?);
            match self.keyword() {
                Some(next) if !PAYLOADS.contains(&&*next.text) => {
                    word = self.word("a hexadecimal number")?;
                }
                _ => return Ok(()),
            }
        }
    }

    fn add_file(&mut self, payload: &mut BytesMut) -> Result<(), Fault<'a>> {
        if self.is_at_end() {
            return Err(Fault::new(self.rest, "a path is missing"));
        }
        let (place, path) = if self.rest.starts_with('"') {
            let (place, bytes) = self.text()?;
            let path = String::from_utf8(bytes);
            (place, path.map_err(|_| Fault::new(place, "a path must be UTF-8 here"))?)
        } else {
            let word = self.word("a path")?;
            (word.place, word.text)
        };
        let path = self.surroundings.directory.join(path);
        let content = content(&path).map_err(|error| Fault::unreadable(place, &path, &error))?;
        payload.extend_from_slice(&content);
        Ok(())
    }

    /// A number of bytes that a frame can have.
    fn size(&mut self) -> Result<usize, Fault<'a>> {
        let word = self.word("a size, for example 64KiB,")?;
        match usize::try_from(word.read(parse_bytes)?) {
            Ok(size) if size <= LONGEST => Ok(size),
            _ => {
                let longest = format_bytes(LONGEST as u64);
                Err(word.wrong(format!("no frame is longer than {longest}")))
            }
        }
    }

    /// The next word, which messages call `noun`.
    fn word(&mut self, noun: &str) -> Result<Word<'a>, Fault<'a>> {
        if self.is_at_end() || self.rest.starts_with('"') {
            return Err(Fault::new(&self.rest[..0], format!("{noun} is missing")));
        }
        let (place, pieces) = self.take(lexer::word)?;
        let text: Result<String, _> = pieces.iter().map(|piece| self.utf8(piece)).collect();
        Ok(Word { place, text: text? })
    }

    /// The word that follows, if it is no quoted text. It is left there, and so is one that cannot
    /// be read.
    fn keyword(&self) -> Option<Word<'a>> {
        let mut ahead = Words { rest: self.rest, surroundings: self.surroundings };
        ahead.word("a word").ok()
    }

    fn skip_word(&mut self) {
        // It has just been looked at.
        let _ = self.take(lexer::word);
    }

    /// A quoted text, and where it stands.
    fn text(&mut self) -> Result<(&'a str, Vec<u8>), Fault<'a>> {
        let (place, pieces) = self.take(lexer::text)?;
        let mut bytes = Vec::new();
        for piece in &pieces {
            match piece {
                Piece::Bytes(piece) => bytes.extend_from_slice(piece),
                Piece::Variable { .. } => bytes.extend_from_slice(self.utf8(piece)?.as_bytes()),
            }
        }
        Ok((place, bytes))
    }

    /// A piece as text: itself, or the value of the variable.
    fn utf8(&self, piece: &Piece<'a>) -> Result<String, Fault<'a>> {
        match piece {
            Piece::Bytes(bytes) => Ok(String::from_utf8_lossy(bytes).into_owned()),
            Piece::Variable { name, default } => {
                match ((self.surroundings.variable)(name), default) {
                    (Some(value), _) => value.into_string().map_err(|_| {
                        Fault::new(name, format!("the value of the variable {name} is not UTF-8"))
                    }),
                    (None, Some(default)) => Ok((*default).to_owned()),
                    (None, None) => Err(Fault::new(
                        name,
                        format!("the variable {name} is not set: set it, or write ${{{name}:-…}}"),
                    )),
                }
            }
        }
    }

    /// Takes a word off the line: as it stands there, and its pieces.
    fn take(
        &mut self,
        lex: impl Fn(&mut &'a str) -> Result<Vec<Piece<'a>>, Misread<'a>>,
    ) -> Result<(&'a str, Vec<Piece<'a>>), Fault<'a>> {
        let start = self.rest;
        let pieces = lex(&mut self.rest)?;
        let place = taken(start, self.rest);
        self.rest = self.rest.trim_start();
        Ok((place, pieces))
    }

    /// Whether the line, or what matters of it, has ended.
    fn is_at_end(&self) -> bool {
        self.rest.is_empty() || self.rest.starts_with(lexer::COMMENT)
    }
}

/// What a file holds, or as much of it as shows that it is too long for a frame.
fn content(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(LONGEST as u64 + 1).read_to_end(&mut content)?;
    Ok(content)
}

/// What has been taken of `start`, of which `rest` is left.
fn taken<'a>(start: &'a str, rest: &str) -> &'a str {
    &start[..start.len() - rest.len()]
}

/// Points at the byte that is wrong, where that is known and nothing has been replaced before it.
fn undecodable<'a>(word: &Word<'a>, error: DecodeError) -> Fault<'a> {
    let place = error
        .position()
        .filter(|_| word.place == word.text)
        .and_then(|at| word.place.get(at - 1..at))
        .unwrap_or(word.place);
    Misread::new(place, error.to_string()).into()
}
