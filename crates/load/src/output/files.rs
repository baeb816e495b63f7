//! The files that a run's outputs go to: opened before it, written while and after it.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::measure::interval::Interval;
use crate::output::hlog::IntervalLog;
use crate::output::place::Place;
use crate::output::{hgrm, json, junit};
use crate::report::Report;

/// Which outputs are asked for.
#[derive(Clone, Debug, Default)]
pub struct Paths {
    /// The report as JSON.
    pub json: Option<PathOrStdout>,
    /// The percentile distribution of the response latencies.
    pub hgrm: Option<PathBuf>,
    /// The interval log.
    pub hlog: Option<PathBuf>,
    /// The thresholds as JUnit XML.
    pub junit: Option<PathBuf>,
}

impl Paths {
    /// How many outputs are asked for.
    pub fn count(&self) -> u64 {
        let others = [&self.hgrm, &self.hlog, &self.junit].into_iter().flatten();
        self.json.iter().count() as u64 + others.count() as u64
    }
}

/// A path, or `-` for stdout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathOrStdout {
    /// The stdout that is given at the end.
    Stdout,
    /// A file, or whatever else the path leads to.
    Path(PathBuf),
}

impl From<OsString> for PathOrStdout {
    fn from(path: OsString) -> Self {
        if path == "-" { Self::Stdout } else { Self::Path(path.into()) }
    }
}

/// Why an output could not be written. The message has the cause in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutputError {
    /// It can't be opened or created; nothing was run.
    #[error("cannot create {}: {source}", path.display())]
    Create {
        /// The path as it was given.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Two outputs lead to the same file.
    #[error("{} and {} are the same file", path.display(), other.display())]
    Same {
        /// The path of one, as it was given.
        path: PathBuf,
        /// The path of the other.
        other: PathBuf,
    },
    /// `-` was given for what is no JSON.
    #[error("only JSON can be written to stdout; for a file with the name - say ./-")]
    Dash,
    /// It was opened, and could not be written.
    #[error("cannot write to {}: {source}", path.display())]
    Write {
        /// The path as it was given, or `stdout`.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// The opened outputs of a run.
///
/// From its beginning to its end a JSON file holds a valid report: the first one is replaced by the
/// last one at once, so neither a full disk nor a kill leaves half of one. Of the others a file is
/// empty until it is written. What is no regular file gets nothing before the end, but for the
/// interval log.
#[derive(Debug)]
pub struct Outputs {
    json_on_stdout: bool,
    json: Option<Place>,
    hgrm: Option<Place>,
    hlog: Option<Log>,
    junit: Option<Place>,
}

impl Outputs {
    /// Opens all outputs, so that what can't be written is known before the run, and writes
    /// `skeleton` to the JSON file: the report that is true if the process gets no further.
    ///
    /// # Errors
    ///
    /// Of the first output that can't be had. No file is left then that was not there before.
    pub fn open(paths: &Paths, skeleton: &Report) -> Result<Self, OutputError> {
        let mut hgrm = open(paths.hgrm.as_deref())?;
        let mut hlog = open(paths.hlog.as_deref())?;
        let mut junit = open(paths.junit.as_deref())?;
        let mut json = match &paths.json {
            Some(PathOrStdout::Path(path)) => Some(place(path)?),
            Some(PathOrStdout::Stdout) | None => None,
        };
        are_distinct(json.iter().chain(&hgrm).chain(&hlog).chain(&junit))?;
        if let Some(place) = json.as_mut().filter(|place| place.is_replaceable()) {
            let written = text(skeleton, json::write).and_then(|text| place.replace(&text));
            written.map_err(|source| create_error(place.path(), source))?;
        }
        for place in hgrm.iter_mut().chain(&mut hlog).chain(&mut junit) {
            // What an earlier run left must not be taken for this one's.
            place.clear().map_err(|source| create_error(place.path(), source))?;
        }
        let json_on_stdout = paths.json == Some(PathOrStdout::Stdout);
        Ok(Self { json_on_stdout, json, hgrm, hlog: hlog.map(Log::new), junit })
    }

    /// Writes a second that has just ended to the interval log. An error is told at the end.
    pub fn second(&mut self, number: i64, interval: &Interval) {
        if let Some(hlog) = &mut self.hlog {
            hlog.second(number, interval, SystemTime::now());
        }
    }

    /// Writes everything else. Every output is tried, whichever fails.
    ///
    /// # Errors
    ///
    /// One for each output that could not be written. A reader of stdout or of a pipe who has
    /// gone is none.
    pub fn finish(self, report: &Report, stdout: &mut impl Write) -> Vec<OutputError> {
        let stdout = self.json_on_stdout.then(|| {
            let text = text(report, json::write);
            let written = text.and_then(|text| stdout.write_all(&text));
            (PathBuf::from("stdout"), written.and_then(|()| stdout.flush()))
        });
        let json = self.json.map(|place| whole(place, report, json::write));
        let hgrm = self.hgrm.map(|place| whole(place, report, hgrm::write));
        let hlog = self.hlog.map(|hlog| hlog.finish(SystemTime::now()));
        let junit = self.junit.map(|place| whole(place, report, junit::write));
        let failed = [stdout, json, hgrm, hlog, junit].into_iter().flatten();
        failed.filter_map(|(path, written)| failure(path, written)).collect()
    }
}

/// An output's path, and what came of writing it.
type Written = (PathBuf, io::Result<()>);

fn open(path: Option<&Path>) -> Result<Option<Place>, OutputError> {
    match path {
        Some(path) if path == Path::new("-") => Err(OutputError::Dash),
        Some(path) => place(path).map(Some),
        None => Ok(None),
    }
}

fn place(path: &Path) -> Result<Place, OutputError> {
    Place::open(path).map_err(|source| create_error(path, source))
}

fn create_error(path: &Path, source: io::Error) -> OutputError {
    OutputError::Create { path: path.to_owned(), source }
}

fn are_distinct<'a>(places: impl Iterator<Item = &'a Place>) -> Result<(), OutputError> {
    let mut seen: Vec<&Place> = Vec::new();
    for place in places {
        if let Some(other) = seen.iter().find(|other| other.is_same(place)) {
            let (path, other) = (place.path().to_owned(), other.path().to_owned());
            return Err(OutputError::Same { path, other });
        }
        seen.push(place);
    }
    Ok(())
}

/// Turns a report into text.
type Format = fn(&Report, &mut Vec<u8>) -> io::Result<()>;

fn text(report: &Report, format: Format) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    format(report, &mut text)?;
    Ok(text)
}

fn whole(mut place: Place, report: &Report, format: Format) -> Written {
    let written = text(report, format).and_then(|text| place.replace(&text));
    (place.path().to_owned(), written)
}

fn failure(path: PathBuf, written: io::Result<()>) -> Option<OutputError> {
    let source = written.err()?;
    (source.kind() != io::ErrorKind::BrokenPipe).then_some(OutputError::Write { path, source })
}

/// The interval log while it grows. Its header has the instant at which the run began, so it is
/// not written before a second is over.
#[derive(Debug)]
struct Log {
    path: PathBuf,
    place: Option<Place>,
    log: Option<IntervalLog<Place>>,
    written: io::Result<()>,
}

impl Log {
    fn new(place: Place) -> Self {
        Self { path: place.path().to_owned(), place: Some(place), log: None, written: Ok(()) }
    }

    fn second(&mut self, number: i64, interval: &Interval, now: SystemTime) {
        if self.written.is_ok() {
            self.written = self.try_second(number, interval, now);
        }
    }

    fn try_second(&mut self, number: i64, interval: &Interval, now: SystemTime) -> io::Result<()> {
        self.begin(began(number, now))?;
        self.log.as_mut().map_or(Ok(()), |log| log.second(number, interval))
    }

    fn begin(&mut self, began: SystemTime) -> io::Result<()> {
        if let Some(place) = self.place.take() {
            self.log = Some(IntervalLog::new(place, began)?);
        }
        Ok(())
    }

    fn finish(mut self, now: SystemTime) -> Written {
        if self.written.is_ok() {
            self.written = self.begin(now);
        }
        let settled = self.log.map_or(Ok(()), |log| log.into_inner().settle());
        (self.path, self.written.and(settled))
    }
}

/// When second 0 began or will begin, if `number` has just ended.
fn began(number: i64, now: SystemTime) -> SystemTime {
    let ended = Duration::from_secs((number + 1).unsigned_abs());
    let began = if number < 0 { now.checked_add(ended) } else { now.checked_sub(ended) };
    began.unwrap_or(now)
}

#[cfg(test)]
mod tests;
