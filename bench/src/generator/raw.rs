//! The limit of a load generator, which this program is itself.

use std::ffi::OsString;

use anyhow::Result;

use super::{Generator, Job};
use crate::child::own_command;
use crate::raw_load;

/// Sends batches and counts bytes.
#[derive(Debug)]
pub(crate) struct Raw {
    command: Vec<OsString>,
}

impl Raw {
    /// # Errors
    ///
    /// When the system doesn't tell where this program is.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { command: own_command(["raw-load"])? })
    }
}

impl Generator for Raw {
    fn name(&self) -> &str {
        "raw-load"
    }

    fn command(&self, job: &Job) -> Vec<OsString> {
        let arguments = raw_load::Args::new(job.address, job.load, job.time).words();
        [self.command.clone(), arguments].concat()
    }
}
