//! `wrk`, whose requests are made to be responses.
//!
//! What it sends is up to a script. This one has it send what an HTTP server would answer, so that
//! the echo of it is a response:
//!
//! ```text
//! HTTP/1.1 200 OK\r\nContent-Length: 29\r\n\r\nxxx...xxx
//! ```

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use anyhow::{Context, Result};
use rustix::fs::{MemfdFlags, memfd_create};
use volley_proto::HEAD_LEN;

use super::{Generator, Job, longest_body};
use crate::grid::Load;

pub(super) const NAME: &str = "wrk";

const SCRIPT: &str = include_str!("wrk.lua");

/// Debian's wrk has it.
#[derive(Debug)]
pub(super) struct Wrk {
    program: PathBuf,
    /// A file in memory, so that nothing is left of it, however this program ends.
    script: File,
}

impl Wrk {
    /// # Errors
    ///
    /// When its script cannot be kept in memory.
    pub(super) fn new(program: PathBuf) -> Result<Self> {
        let mut script = File::from(memfd_create("wrk.lua", MemfdFlags::CLOEXEC)?);
        script.write_all(SCRIPT.as_bytes()).context("cannot write the script for wrk")?;
        Ok(Self { program, script })
    }
}

impl Generator for Wrk {
    fn name(&self) -> &str {
        NAME
    }

    fn frame_len(&self, load: Load) -> Option<usize> {
        body_len(load).map(|body| head(body).len() + body)
    }

    fn command(&self, job: &Job) -> Vec<OsString> {
        let Load { connections, pipeline, .. } = job.load;
        let words = format!(
            "-t 1 -c {connections} -d {}s -s /proc/{}/fd/{} http://{}/ -- {pipeline}",
            job.whole_seconds(),
            std::process::id(),
            self.script.as_raw_fd(),
            job.address,
        );
        let body = body_len(job.load).unwrap_or(0);
        let mut command = vec![self.program.clone().into_os_string()];
        command.extend(words.split(' ').map(OsString::from));
        command.extend([head(body), body.to_string()].map(OsString::from));
        command
    }
}

fn body_len(load: Load) -> Option<usize> {
    longest_body(HEAD_LEN + load.size, |body| head(body).len())
}

/// What stands before the body.
fn head(body: usize) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {body}\r\n\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_as_long_as_a_frame_where_it_can_be() {
        let generator = Wrk::new(NAME.into()).unwrap();
        let cases = [
            ("1,1,64", Some(68)),
            ("1,1,16384", Some(16_388)),
            ("1,1,34", Some(38)),
            ("1,1,33", None),
        ];
        for (load, len) in cases {
            assert_eq!(generator.frame_len(load.parse().unwrap()), len, "{load}");
        }
    }
}
