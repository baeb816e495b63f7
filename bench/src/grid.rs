//! What load is put on a server: one cell, and the list of cells that makes the rows of a table.

use std::fmt;
use std::str::FromStr;

use volley_proto::HEAD_LEN;

/// The longest payload in bytes: what `LengthDelimitedCodec::new()` of tokio-util still accepts.
const MAX_SIZE: usize = 8 << 20;

/// The longest batch in bytes. The load keeps one in memory, and on each connection it waits for
/// the replies to a whole one, so longer ones would measure memory and not the server.
const MAX_BATCH: usize = 256 << 20;

/// The cells that are measured unless told otherwise: from one frame at a time to deep pipelines,
/// many connections, and large frames.
pub(crate) const DEFAULT: &str = "1,1,64 64,1,64 64,16,64 64,128,64 1000,1,64 16,4,16384";

/// One load: so many connections, each with so many frames under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    /// Connections, all open for the whole run.
    pub(crate) connections: usize,
    /// Frames that are sent at once on a connection, before any reply is awaited.
    pub(crate) pipeline: usize,
    /// Payload bytes of a frame, without its four-byte head.
    pub(crate) size: usize,
}

impl FromStr for Load {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Result<Vec<usize>, _> = text.split(',').map(str::parse).collect();
        let Ok(&[connections, pipeline, size]) = numbers.as_deref() else {
            return Err(format!("`{text}` is no CONNECTIONS,PIPELINE,SIZE, for example 64,16,64"));
        };
        if connections == 0 || pipeline == 0 {
            return Err(format!("`{text}`: at least one connection and one frame are needed"));
        }
        if size > MAX_SIZE {
            return Err(format!("`{text}`: a size of {size} bytes is above {MAX_SIZE}"));
        }
        if pipeline.saturating_mul(HEAD_LEN + size) > MAX_BATCH {
            return Err(format!("`{text}`: a batch is longer than {MAX_BATCH} bytes"));
        }
        Ok(Self { connections, pipeline, size })
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},{}", self.connections, self.pipeline, self.size)
    }
}

/// The rows of a table: loads, separated by blanks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grid(Vec<Load>);

impl Grid {
    /// The loads, in the order in which they were written; at least one.
    pub(crate) fn loads(&self) -> &[Load] {
        &self.0
    }

    /// The most connections that any of the loads opens.
    pub(crate) fn most_connections(&self) -> usize {
        self.0.iter().map(|load| load.connections).max().unwrap_or(0)
    }
}

impl FromStr for Grid {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let loads: Vec<Load> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        if loads.is_empty() {
            return Err("an empty grid measures nothing".to_owned());
        }
        Ok(Self(loads))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_loads_separated_by_blanks() {
        let grid: Grid = " 1,2,3\t1000,1,0 ".parse().unwrap();
        assert_eq!(
            grid.loads(),
            [
                Load { connections: 1, pipeline: 2, size: 3 },
                Load { connections: 1000, pipeline: 1, size: 0 },
            ]
        );
        assert_eq!(grid.most_connections(), 1000);
    }

    #[test]
    fn reads_its_own_default() {
        assert_eq!(DEFAULT.parse::<Grid>().unwrap().loads().len(), 6);
    }

    #[test]
    fn a_load_reads_back_what_it_shows() {
        let load = Load { connections: 16, pipeline: 4, size: 16_384 };
        assert_eq!(load.to_string().parse(), Ok(load));
    }

    #[test]
    fn refuses_what_is_no_grid() {
        let cases = [
            "",
            "  ",
            "1",
            "1,1",
            "1,1,1,1",
            "a,1,1",
            "1,,1",
            "-1,1,1",
            "0,1,64",
            "1,0,64",
            "1,1,8388609",
            "1,64,8388608",
            "1,18446744073709551615,64",
        ];
        for text in cases {
            assert!(text.parse::<Grid>().is_err(), "{text}");
        }
    }
}
