//! Generators of framed load, by the command line that they take.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Error, Result};

use super::{Generator, Job};
use crate::words::{Other, Words};

const VOLLEY_LOAD: &str = "run --to tcp://127.0.0.1:{port} -c {conns} -p {pipe} -s {size} \
                           -d {secs}s --no-hello -q --threads 1";

/// A command with places for what a job is.
#[derive(Debug)]
pub(super) struct Template {
    name: String,
    /// Where the program is, if `words` doesn't begin with it: a path may have braces in it.
    program: Option<PathBuf>,
    words: Words,
}

impl Template {
    /// The load tester of this project.
    pub(super) fn volley_load(program: PathBuf) -> Result<Self> {
        let words = VOLLEY_LOAD.parse().map_err(Error::msg)?;
        Ok(Self { name: "volley-load".to_owned(), program: Some(program), words })
    }
}

impl From<&Other> for Template {
    fn from(other: &Other) -> Self {
        Self { name: other.name.clone(), program: None, words: other.command.clone() }
    }
}

impl Generator for Template {
    fn name(&self) -> &str {
        &self.name
    }

    fn command(&self, job: &Job) -> Vec<OsString> {
        let words = self.words.filled(&[
            ("port", job.address.port().to_string()),
            ("conns", job.load.connections.to_string()),
            ("pipe", job.load.pipeline.to_string()),
            ("size", job.load.size.to_string()),
            ("secs", job.time.as_secs_f64().to_string()),
        ]);
        self.program.iter().map(|path| path.clone().into_os_string()).chain(words).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn tells_volley_load_all_of_a_job() {
        let job = Job {
            address: "127.0.0.1:4123".parse().unwrap(),
            load: "64,16,100".parse().unwrap(),
            time: Duration::from_millis(1500),
        };
        let command = Template::volley_load("/{size}/volley-load".into()).unwrap().command(&job);
        let words: Vec<_> = command.iter().map(|word| word.to_str().unwrap()).collect();
        assert_eq!(
            words.join(" "),
            "/{size}/volley-load run --to tcp://127.0.0.1:4123 -c 64 -p 16 -s 100 -d 1.5s \
             --no-hello -q --threads 1"
        );
    }
}
