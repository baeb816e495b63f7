//! What became of the scripts, for people and for programs that collect test results.

mod junit;
mod tap;
mod text;

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use super::args::{Report, ReportFormat};
use super::outcome::Outcome;
use crate::failure::Failure;
use crate::stdout::Stdout;

/// Every report that was asked for.
#[derive(Debug)]
pub(super) struct Reports {
    /// What goes to stdout.
    shown: ReportFormat,
    stdout: Stdout,
    files: Vec<ReportFile>,
}

#[derive(Debug)]
struct ReportFile {
    format: ReportFormat,
    path: PathBuf,
    file: File,
}

impl Reports {
    /// Creates the files. stdout gets the report for people unless another goes there.
    ///
    /// # Errors
    ///
    /// [`Failure::Create`]; [`Failure::Usage`] if two are to go to stdout.
    pub(super) fn create(wanted: &[Report]) -> Result<Self, Failure> {
        let (mut files, mut shown) = (Vec::new(), None);
        for Report { format, path } in wanted.iter().cloned() {
            let Some(path) = path else {
                if shown.replace(format).is_some() {
                    return Err(Failure::Usage(
                        "two reports cannot share stdout: write one to a file, for example \
                         --report junit=results.xml"
                            .to_owned(),
                    ));
                }
                continue;
            };
            match File::create(&path) {
                Ok(file) => files.push(ReportFile { format, path, file }),
                Err(source) => return Err(Failure::Create { path, source }),
            }
        }
        let shown = shown.unwrap_or(ReportFormat::Text);
        Ok(Self { shown, stdout: Stdout::default(), files })
    }

    /// So many scripts will be played.
    pub(super) fn begin(&mut self, total: usize) -> Result<(), Failure> {
        self.add(|format| match format {
            ReportFormat::Tap => tap::head(total),
            ReportFormat::Text | ReportFormat::Junit => String::new(),
        })
    }

    /// This became of the script with this number, from 1.
    pub(super) fn take(&mut self, number: usize, outcome: &Outcome) -> Result<(), Failure> {
        self.add(|format| match format {
            ReportFormat::Text => text::point(outcome),
            ReportFormat::Tap => tap::point(number, outcome),
            ReportFormat::Junit => String::new(),
        })
    }

    /// This became of them all, in this time.
    pub(super) fn end(&mut self, outcomes: &[Outcome], elapsed: Duration) -> Result<(), Failure> {
        self.add(|format| match format {
            ReportFormat::Text => text::tail(outcomes, elapsed),
            ReportFormat::Tap => String::new(),
            ReportFormat::Junit => junit::whole(outcomes, elapsed),
        })
    }

    /// Writes what has been added. That nobody reads stdout is no error.
    ///
    /// # Errors
    ///
    /// [`Failure::Stdout`].
    ///
    /// # Cancel safety
    ///
    /// What has not been written is kept for the next call.
    pub(super) async fn flush(&mut self) -> Result<(), Failure> {
        self.stdout.flush().await.map_err(|source| Failure::Stdout { source })
    }

    fn add(&mut self, write: impl Fn(ReportFormat) -> String) -> Result<(), Failure> {
        self.stdout.add(&write(self.shown).into());
        for ReportFile { format, path, file } in &mut self.files {
            let written: io::Result<()> = file.write_all(write(*format).as_bytes());
            written.map_err(|source| Failure::Write { path: path.clone(), source })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
