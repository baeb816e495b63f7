//! Languages: what must be installed, and how their programs are run. What those do is left to them.
//! A new one is a row here, a name in the table of `main.rs`, and two sources in `programs/`.

use std::fs;
use std::process::Stdio;

use tokio::process::Command;
use tokio::sync::OnceCell;
use volley_tests::{is_missing, run};

/// A language, with an `echo_server` and a `client` in `programs/`.
pub(crate) struct Language {
    /// The program without which it is not installed. Unless `build` says otherwise it runs a source
    /// that is its first argument.
    runtime: &'static str,
    /// How the names of its sources end.
    ending: &'static str,
    /// How `runtime` makes programs of them.
    build: Option<&'static Build>,
    /// What its client says of a frame of 2,000 bytes when the server takes but 1,000.
    pub(crate) refusal: &'static str,
}

struct Build {
    /// What comes before the program and the source.
    arguments: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
    /// Whether it is done: it is for all tests at once.
    done: OnceCell<()>,
}

/// The text of volleyd's ERROR.
const TOO_LARGE: &str = "frame of 2000 bytes exceeds the limit of 1000";

pub(crate) static ERLANG: Language =
    Language { runtime: "escript", ending: "escript", build: None, refusal: "{error,emsgsize}" };

pub(crate) static GO: Language =
    Language { runtime: "go", ending: "go", build: Some(&GO_BUILD), refusal: TOO_LARGE };

pub(crate) static NODE: Language =
    Language { runtime: "node", ending: "mjs", build: None, refusal: TOO_LARGE };

pub(crate) static PYTHON: Language =
    Language { runtime: "python3", ending: "py", build: None, refusal: TOO_LARGE };

/// Takes nothing from outside and needs no C compiler. The cache stays, since from Go 1.20 on the
/// standard library has to be compiled first.
static GO_BUILD: Build = Build {
    arguments: &["build", "-o"],
    environment: &[
        ("CGO_ENABLED", "0"),
        ("GO111MODULE", "off"),
        ("GOCACHE", concat!(env!("CARGO_TARGET_TMPDIR"), "/languages/go-cache")),
        ("GOENV", "off"),
        ("GOFLAGS", ""),
        ("GOPATH", concat!(env!("CARGO_TARGET_TMPDIR"), "/languages/go-path")),
        ("GOPROXY", "off"),
    ],
    done: OnceCell::const_new(),
};

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/languages/programs");
const BUILT: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/languages");

impl Language {
    /// Its `echo_server` or `client`, to be run. It dies with the value that it is spawned as. There
    /// is none where the language is not installed; that the test is skipped is told then.
    ///
    /// # Panics
    ///
    /// When it can't be built.
    pub(crate) async fn program(&self, name: &str) -> Option<Command> {
        if is_missing(self.runtime) {
            return None;
        }
        let mut command = if let Some(build) = self.build {
            build.done.get_or_init(|| self.build(build)).await;
            Command::new(self.built(name))
        } else {
            let mut command = Command::new(self.runtime);
            command.arg(self.source(name));
            command
        };
        command.kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Some(command)
    }

    async fn build(&self, build: &Build) {
        fs::create_dir_all(BUILT).unwrap();
        for name in ["echo_server", "client"] {
            let mut command = Command::new(self.runtime);
            command.args(build.arguments).arg(self.built(name)).arg(self.source(name));
            command.envs(build.environment.iter().copied()).kill_on_drop(true);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            let ended = run(&mut command, b"").await;
            assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        }
    }

    fn source(&self, name: &str) -> String {
        format!("{SOURCES}/{name}.{}", self.ending)
    }

    fn built(&self, name: &str) -> String {
        format!("{BUILT}/{name}-{}", self.ending)
    }
}
