//! Where a run is done: what the machine says of itself.

use std::fs;
use std::num::NonZero;
use std::thread;

use rustix::process::{Resource, getrlimit};
use rustix::system::uname;

use crate::report::Environment;

impl Environment {
    /// What the machine says now.
    pub fn read() -> Self {
        let system = uname();
        let words = [system.sysname(), system.release(), system.version()];
        Self {
            volley_load: env!("CARGO_PKG_VERSION"),
            host: system.nodename().to_string_lossy().into_owned(),
            kernel: words.map(|word| word.to_string_lossy()).join(" "),
            architecture: system.machine().to_string_lossy().into_owned(),
            processor: processor(),
            cores: cores(),
            descriptors: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
        }
    }
}

/// Processors that this process may use.
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// The processor's own name, where /proc/cpuinfo has it.
fn processor() -> Option<String> {
    let info = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
