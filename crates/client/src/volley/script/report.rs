//! What became of the scripts, for people and for programs that collect test results.

mod junit;
mod tap;
mod text;

use std::path::PathBuf;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::future::join_all;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

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
    /// What has not been written to it.
    unwritten: BytesMut,
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
            match std::fs::File::create(&path) {
                Ok(file) => {
                    let (file, unwritten) = (File::from_std(file), BytesMut::new());
                    files.push(ReportFile { format, path, file, unwritten });
                }
                Err(source) => return Err(Failure::Create { path, source }),
            }
        }
        let shown = shown.unwrap_or(ReportFormat::Text);
        Ok(Self { shown, stdout: Stdout::default(), files })
    }

    /// So many scripts will be played.
    pub(super) fn begin(&mut self, total: usize) {
        self.add(|format| match format {
            ReportFormat::Tap => tap::head(total),
            ReportFormat::Text | ReportFormat::Junit => String::new(),
        });
    }

    /// This became of the script with this number, from 1.
    pub(super) fn take(&mut self, number: usize, outcome: &Outcome) {
        self.add(|format| match format {
            ReportFormat::Text => text::point(outcome),
            ReportFormat::Tap => tap::point(number, outcome),
            ReportFormat::Junit => String::new(),
        });
    }

    /// This became of them all, in this time.
    pub(super) fn end(&mut self, outcomes: &[Outcome], elapsed: Duration) {
        self.add(|format| match format {
            ReportFormat::Text => text::tail(outcomes, elapsed),
            ReportFormat::Tap => String::new(),
            ReportFormat::Junit => junit::whole(outcomes, elapsed),
        });
    }

    /// Writes what has been added. That nobody reads stdout is no error.
    ///
    /// # Errors
    ///
    /// [`Failure::Stdout`], [`Failure::Write`].
    ///
    /// # Cancel safety
    ///
    /// What has not been written is kept for the next call.
    pub(super) async fn flush(&mut self) -> Result<(), Failure> {
        // At the same time: whoever reads one of them may have stopped.
        let (shown, written) = tokio::join!(
            self.stdout.flush(),
            join_all(self.files.iter_mut().map(ReportFile::flush))
        );
        shown.map_err(|source| Failure::Stdout { source })?;
        written.into_iter().collect()
    }

    fn add(&mut self, write: impl Fn(ReportFormat) -> String) {
        self.stdout.add(&write(self.shown).into());
        for file in &mut self.files {
            file.unwritten.extend_from_slice(write(file.format).as_bytes());
        }
    }
}

impl ReportFile {
    /// Not on this thread: it may be a pipe that nobody reads.
    async fn flush(&mut self) -> Result<(), Failure> {
        let write = async {
            self.file.write_all_buf(&mut self.unwritten).await?;
            self.file.flush().await
        };
        write.await.map_err(|source| Failure::Write { path: self.path.clone(), source })
    }
}

#[cfg(test)]
mod tests;
