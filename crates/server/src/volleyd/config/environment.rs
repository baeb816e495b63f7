//! The environment: `VOLLEYD_IDLE_TIMEOUT` for `--idle-timeout`.

use std::ffi::OsString;
use std::path::PathBuf;

use volley_cli::suggest;

use super::layer::{Entry, Layer};
use super::origin::Origin;
use super::problem::Problem;
use super::row::Row;
use super::table::{LISTEN, rows};

/// What all of ours begin with.
const PREFIX: &str = "VOLLEYD_";

/// The file of `--config`.
pub(super) const CONFIG: &str = "VOLLEYD_CONFIG";

/// Heeded where `VOLLEYD_LOG` is not set: what Rust's programs share.
pub(super) const RUST_LOG: &str = "RUST_LOG";

/// The variable and the setting that stand behind [`RUST_LOG`].
const LOG: &str = "log";

/// Begin the names of variables that are not for us: Kubernetes sets them in every container
/// beside a service that is called volleyd (`VOLLEYD_SERVICE_HOST`, `VOLLEYD_PORT_7007_TCP_ADDR`).
const NOT_OURS: [&str; 2] = ["VOLLEYD_SERVICE_", "VOLLEYD_PORT"];

/// What the environment says. An empty variable is as good as none.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    pub(crate) layer: Layer,
    pub(crate) listen: Vec<Entry>,
    pub(crate) config: Option<PathBuf>,
    /// Of variables that look like ours.
    pub(crate) warnings: Vec<String>,
}

impl Environment {
    /// # Errors
    ///
    /// All variables that can't be read.
    pub(crate) fn read(
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, Vec<Problem>> {
        let mut environment = Self::default();
        let mut problems = Vec::new();
        let mut rust_log = None;
        for (name, value) in variables {
            let Some(name) = name.to_str().filter(|_| !value.is_empty()) else { continue };
            if name == CONFIG {
                environment.config = Some(value.into());
            } else if name == RUST_LOG {
                rust_log = Some(value);
            } else if let Some(row) = general_rows().find(|row| row.variable() == name) {
                environment.take(row, name, value).unwrap_or_else(|problem| problems.push(problem));
            } else if name.starts_with(PREFIX)
                && !NOT_OURS.iter().any(|start| name.starts_with(start))
            {
                environment.warnings.push(unknown(name));
            }
        }
        if let Some(value) = rust_log
            && let Some(row) = general_rows().find(|row| row.key == LOG)
            && environment.layer.get(LOG).is_none()
        {
            environment.take(row, RUST_LOG, value).unwrap_or_else(|problem| problems.push(problem));
        }
        environment.warnings.sort();
        problems.sort_by_key(Problem::to_string);
        if problems.is_empty() { Ok(environment) } else { Err(problems) }
    }

    fn take(&mut self, row: &'static Row, name: &str, value: OsString) -> Result<(), Problem> {
        let origin = Origin::Variable(name.to_owned());
        let Ok(text) = value.into_string() else {
            return Err(Problem::new(&origin, "this is no UTF-8"));
        };
        let check = |text: &str| (row.check)(text).map_err(|why| Problem::new(&origin, why));
        let entry = |text: &str| Entry { text: text.to_owned(), origin: origin.clone() };
        if row.key == LISTEN.key {
            let separates = |c: char| c == ',' || c.is_whitespace();
            for endpoint in text.split(separates).filter(|endpoint| !endpoint.is_empty()) {
                check(endpoint)?;
                self.listen.push(entry(endpoint));
            }
            if self.listen.is_empty() {
                return Err(Problem::new(&origin, format!("`{text}` names no endpoint")));
            }
        } else {
            check(&text)?;
            self.layer.insert(row.key, entry(&text));
        }
        Ok(())
    }
}

fn general_rows() -> impl Iterator<Item = &'static Row> {
    rows().filter(|row| row.is_general())
}

fn unknown(name: &str) -> String {
    // All share the prefix, so it is no likeness.
    let own = |name: &str| name.strip_prefix(PREFIX).unwrap_or(name).to_owned();
    let known: Vec<String> =
        general_rows().map(|row| own(&row.variable())).chain([own(CONFIG)]).collect();
    match suggest(&own(name), known.iter().map(String::as_str)) {
        Some(meant) => {
            format!("unknown variable {name} in the environment: did you mean {PREFIX}{meant}?")
        }
        None => format!("unknown variable {name} in the environment"),
    }
}
