//! `redis-benchmark`, whose requests are replies too.
//!
//! A request is an array of strings, and so can a reply be (RESP, the protocol of Redis). Whoever
//! echoes it answers it. The request with the least around its payload is an array of one:
//!
//! ```text
//! *1\r\n$57\r\nxxx...xxx\r\n
//! ```

use std::ffi::OsString;
use std::path::PathBuf;

use volley_proto::HEAD_LEN;

use super::{Generator, Job, longest_body};
use crate::grid::Load;

pub(super) const NAME: &str = "redis-benchmark";

/// Linux refuses arguments that are longer (MAX_ARG_STRLEN, execve(2)), less the byte that ends one.
const MAX_ARGUMENT: usize = (128 << 10) - 1;

/// Requests until it starts again, as `-l` has it do: as many as its 32-bit counter can bear.
const REQUESTS: &str = "2000000000";

/// Debian's redis-tools has it.
#[derive(Debug)]
pub(super) struct RedisBenchmark {
    program: PathBuf,
}

impl RedisBenchmark {
    pub(super) fn new(program: PathBuf) -> Self {
        Self { program }
    }
}

impl Generator for RedisBenchmark {
    fn name(&self) -> &str {
        NAME
    }

    fn frame_len(&self, load: Load) -> Option<usize> {
        payload_len(load).map(|payload| around(payload) + payload)
    }

    fn command(&self, job: &Job) -> Vec<OsString> {
        let Load { connections, pipeline, .. } = job.load;
        let words = format!(
            "-h 127.0.0.1 -p {} -c {connections} -P {pipeline} -l -n {REQUESTS} --csv",
            job.address.port()
        );
        let payload = "x".repeat(payload_len(job.load).unwrap_or(0));
        let mut command = vec![self.program.clone().into_os_string()];
        command.extend(words.split(' ').map(OsString::from));
        command.push(payload.into());
        command
    }

    /// It asks the server for its configuration first. With many connections it then takes pauses
    /// while it opens them, so the time must not count from there.
    fn connections_before(&self) -> usize {
        1
    }

    fn ends(&self) -> bool {
        false
    }
}

fn payload_len(load: Load) -> Option<usize> {
    let payload = longest_body(HEAD_LEN + load.size, around)?;
    (1..=MAX_ARGUMENT).contains(&payload).then_some(payload)
}

/// Bytes of a request besides its payload.
fn around(payload: usize) -> usize {
    format!("*1\r\n${payload}\r\n\r\n").len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_as_long_as_a_frame_where_it_can_be() {
        let generator = RedisBenchmark::new(NAME.into());
        let cases = [
            ("1,1,64", Some(68)),
            ("1,1,16384", Some(16_388)),
            // 10 bytes of payload take one more for their length.
            ("1,1,16", Some(19)),
            ("1,1,7", Some(11)),
            ("1,1,6", None),
            ("1,1,131080", Some(131_084)),
            ("1,1,131084", None),
        ];
        for (load, len) in cases {
            assert_eq!(generator.frame_len(load.parse().unwrap()), len, "{load}");
        }
    }
}
