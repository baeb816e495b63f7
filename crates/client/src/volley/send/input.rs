//! The frames to send, wherever they come from, one after the other.

mod error;
mod origin;
mod reader;
mod split;

use std::ffi::OsString;

use bytes::Bytes;

use error::{InputError, Place};
use origin::Origin;
use reader::Reader;
use split::Split;

use super::args::{InputFormat, SendArgs};
use crate::failure::Failure;

/// The frames to send.
#[derive(Debug)]
pub(crate) struct Input {
    origins: Vec<Origin>,
    /// How frames stand in stdin and in files; `None` if the user did not say.
    format: Option<InputFormat>,
    chunk: Option<usize>,
    rounds: Rounds,
    /// No frame has come in this round yet.
    is_barren: bool,
    /// The origin that comes next.
    next: usize,
    /// What is being read of the origin before that.
    reading: Option<Reader>,
}

/// How many times all frames are still sent.
#[derive(Clone, Copy, Debug)]
enum Rounds {
    Left(u64),
    Endless,
}

impl Input {
    /// The input that a command line describes. Nothing is read yet, but what stands on the
    /// command line is decoded, and files are looked for: who mistypes learns it before anything
    /// is sent.
    pub(crate) fn new(args: &SendArgs) -> Result<Self, Failure> {
        let (format, chunk) = (args.input, args.chunk);
        if chunk.is_some() && format.is_some_and(|format| format != InputFormat::Raw) {
            return Err(usage("--chunk splits raw input only: leave --input out"));
        }
        let origins = origins(&args.frames, format)?;
        let is_frame = |origin: &Origin| matches!(origin, Origin::Frame { .. });
        if chunk.is_some() && origins.iter().all(is_frame) {
            return Err(usage("--chunk splits stdin and @FILEs, and no argument is one"));
        }
        let stdins = origins.iter().filter(|origin| **origin == Origin::Stdin).count();
        if stdins > 1 {
            return Err(usage("stdin can be read only once: write @- once"));
        }
        let rounds = match args.repeat {
            0 => Rounds::Endless,
            times => Rounds::Left(times),
        };
        let (is_barren, next, reading) = (true, 0, None);
        let input = Self { origins, format, chunk, rounds, is_barren, next, reading };
        let is_kept = matches!(input.split(&Origin::Stdin), Split::Whole);
        if stdins > 0 && !is_kept && args.repeat != 1 {
            return Err(usage(
                "stdin can be read only once: --repeat is for arguments, @FILEs and --input raw",
            ));
        }
        Ok(input)
    }

    /// Whether stdin will be read.
    pub(crate) fn reads_stdin(&self) -> bool {
        self.origins.contains(&Origin::Stdin)
    }

    /// The next frame's payload, of at most `max` bytes; `None` after the last. After an error there
    /// is no other frame.
    ///
    /// # Cancel safety
    ///
    /// No frame is lost.
    pub(crate) async fn next(&mut self, max: usize) -> Result<Option<Bytes>, Failure> {
        loop {
            if let Some(reader) = &mut self.reading {
                match reader.next().await {
                    Some(Ok(frame)) => {
                        self.is_barren = false;
                        self.keep(&frame);
                        return Ok(Some(frame));
                    }
                    Some(Err(error)) => {
                        self.end();
                        return Err(error.into());
                    }
                    None => self.reading = None,
                }
            }
            let Some(origin) = self.origins.get(self.next) else {
                if !self.begin_next_round() {
                    return Ok(None);
                }
                continue;
            };
            self.next += 1;
            match origin {
                Origin::Frame { place, payload } if payload.len() > max => {
                    let place = place.clone();
                    let error = InputError::TooLong { place, max, split_by: None };
                    self.end();
                    return Err(error.into());
                }
                Origin::Frame { payload, .. } => {
                    self.is_barren = false;
                    return Ok(Some(payload.clone()));
                }
                Origin::File(_) | Origin::Stdin => {
                    let started = Reader::start(origin, self.split(origin), max);
                    match started {
                        Ok(reader) => self.reading = Some(reader),
                        Err(error) => {
                            self.end();
                            return Err(error.into());
                        }
                    }
                }
            }
        }
    }

    /// How frames stand in this origin.
    fn split(&self, origin: &Origin) -> Split {
        let format = self.format.unwrap_or(match origin {
            Origin::Stdin if self.chunk.is_none() => InputFormat::Lines,
            _ => InputFormat::Raw,
        });
        match (format, self.chunk) {
            (InputFormat::Raw, None) => Split::Whole,
            (InputFormat::Raw, Some(size)) => Split::Chunks { size },
            (InputFormat::Lines, _) => Split::Lines,
            (InputFormat::Nul, _) => Split::Nul,
            (InputFormat::Frames, _) => Split::Frames,
            (InputFormat::Hex, _) => Split::Hex,
            (InputFormat::Base64, _) => Split::Base64,
        }
    }

    /// Remembers a stdin that is one frame, for the next round.
    fn keep(&mut self, frame: &Bytes) {
        let at = self.next - 1;
        if self.origins[at] == Origin::Stdin && self.split(&Origin::Stdin) == Split::Whole {
            self.origins[at] = Origin::Frame { place: Place::Stdin, payload: frame.clone() };
        }
    }

    /// Whether there is another round. After one without a frame there is none: nothing would be
    /// sent, again and again.
    fn begin_next_round(&mut self) -> bool {
        if self.is_barren {
            return false;
        }
        if let Rounds::Left(left) = &mut self.rounds {
            *left = left.saturating_sub(1);
            if *left == 0 {
                return false;
            }
        }
        (self.is_barren, self.next) = (true, 0);
        true
    }

    fn end(&mut self) {
        (self.reading, self.rounds, self.next) = (None, Rounds::Left(0), self.origins.len());
    }
}

fn usage(message: &str) -> Failure {
    Failure::Usage(message.to_owned())
}

fn origins(arguments: &[OsString], format: Option<InputFormat>) -> Result<Vec<Origin>, Failure> {
    if arguments.is_empty() {
        return Ok(vec![Origin::Stdin]);
    }
    let origins = (1..).zip(arguments);
    origins.map(|(number, argument)| Origin::new(number, argument, format)).collect()
}
