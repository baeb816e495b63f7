//! A load generator under comparison: which loads it can make, and how it is run.

mod raw;
mod redis_benchmark;
mod template;
mod wrk;

use std::ffi::OsString;
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;
use volley_proto::HEAD_LEN;

pub(crate) use self::raw::Raw;
use self::redis_benchmark::RedisBenchmark;
use self::template::Template;
use self::wrk::Wrk;
use crate::grid::Load;
use crate::words::Other;
use crate::{program, report};

/// Which load generators to compare.
#[derive(Debug, clap::Args)]
#[group(id = "generators")]
pub(crate) struct Args {
    /// The load tester to measure, or `none` [default: the volley-load beside this program]
    #[arg(long, value_name = "PATH")]
    load: Option<PathBuf>,

    /// Generators to leave out even where they are installed, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    without: Vec<Known>,

    /// Another generator, for example x='./x {port} {conns} {pipe} {size} {secs}'; can be repeated
    #[arg(long, value_name = "NAME=COMMAND")]
    other: Vec<Other>,
}

impl Args {
    /// volley-load unless it is left out, what is installed, and the others in the order in which
    /// they were given. Tells what is not installed.
    ///
    /// # Errors
    ///
    /// When volley-load has not been built.
    pub(crate) fn generators(&self) -> Result<Vec<Box<dyn Generator>>> {
        let mut generators: Vec<Box<dyn Generator>> = Vec::new();
        if let Some(path) = program::own("volley-load", "--load", self.load.as_deref())? {
            generators.push(Box::new(Template::volley_load(path)?));
        }
        for known in Known::value_variants() {
            if !self.without.contains(known) {
                generators.extend(known.find()?);
            }
        }
        for other in &self.other {
            generators.push(Box::new(Template::from(other)));
        }
        Ok(generators)
    }
}

/// The generators of others that this program knows how to run against an echo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Known {
    RedisBenchmark,
    Wrk,
}

impl Known {
    fn find(self) -> Result<Option<Box<dyn Generator>>> {
        let name = match self {
            Self::RedisBenchmark => redis_benchmark::NAME,
            Self::Wrk => wrk::NAME,
        };
        let Some(path) = program::installed(name) else {
            report::tell(&format!("{name} is not installed and left out"));
            return Ok(None);
        };
        Ok(Some(match self {
            Self::RedisBenchmark => Box::new(RedisBenchmark::new(path)),
            Self::Wrk => Box::new(Wrk::new(path)?),
        }))
    }
}

/// One run of a generator.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    /// Where the echo listens.
    pub(crate) address: SocketAddrV4,
    /// What to put on it.
    pub(crate) load: Load,
    /// For how long.
    pub(crate) time: Duration,
}

impl Job {
    /// The time in seconds, rounded up for those who know no fractions.
    fn whole_seconds(&self) -> u64 {
        self.time.as_secs() + u64::from(self.time.subsec_nanos() > 0)
    }
}

/// A load generator.
pub(crate) trait Generator {
    /// What the tables and the errors call it.
    fn name(&self) -> &str;

    /// Bytes that it sends for each frame of a load; none when it cannot make that load.
    fn frame_len(&self, load: Load) -> Option<usize> {
        Some(HEAD_LEN + load.size)
    }

    /// The command for a job whose load it can make.
    fn command(&self, job: &Job) -> Vec<OsString>;

    /// How many connections it opens, and sends something on, before those of the load.
    fn connections_before(&self) -> usize {
        0
    }

    /// Whether it ends when the time is over. If not, it is stopped.
    fn ends(&self) -> bool {
        true
    }
}

/// The longest body that fits with what stands around it into `len` bytes. `around` tells the
/// length of that for a body, whose length it has to contain.
fn longest_body(len: usize, around: impl Fn(usize) -> usize) -> Option<usize> {
    (0..=len).rev().find(|&body| around(body) + body <= len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_a_frame_as_far_as_the_length_of_its_length_allows() {
        let around = |body: usize| 2 + body.to_string().len();
        let cases = [(2, None), (3, Some(0)), (12, Some(9)), (13, Some(9)), (14, Some(10))];
        for (len, body) in cases {
            assert_eq!(longest_body(len, around), body, "{len}");
        }
    }

    #[test]
    fn a_part_of_a_second_is_rounded_up_to_a_whole_one() {
        for (milliseconds, seconds) in [(10, 1), (1000, 1), (1001, 2)] {
            let address = "127.0.0.1:7".parse().unwrap();
            let load = "1,1,64".parse().unwrap();
            let job = Job { address, load, time: Duration::from_millis(milliseconds) };
            assert_eq!(job.whole_seconds(), seconds);
        }
    }
}
