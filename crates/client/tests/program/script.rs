//! `volley script`: what scripts do to a server, and what is told of each thing that it may do.

mod files;
mod servers;
mod statements;
mod suites;

use tempfile::TempDir;
use tokio::process::Command;
use volley_proto::Endpoint;

use crate::scripted::{Peer, play};
use crate::{Ended, program, run_with};

fn script(to: &Endpoint) -> Command {
    let mut command = program();
    command.args(["script", "--timeout", "25s", "--to", &to.to_string()]);
    command
}

/// Plays this text against this server.
async fn talk(text: &str, server: impl AsyncFnOnce(Peer)) -> Ended {
    play(server, async |to| run_with(script(&to).arg("-"), text.as_bytes()).await).await
}

/// A server that takes one frame and then does this.
async fn after_a_frame(text: &str, then: impl AsyncFnOnce(&mut Peer)) -> Ended {
    talk(text, async |mut peer: Peer| {
        peer.payload().await;
        then(&mut peer).await;
    })
    .await
}

impl Ended {
    /// The script on stdin passed.
    #[track_caller]
    fn passed(&self) {
        let stdout = String::from_utf8_lossy(&self.stdout);
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{stdout}");
        assert!(stdout.starts_with("ok    stdin  "), "{stdout}");
    }

    /// The script on stdin failed at `place` with this code; below are these lines.
    #[track_caller]
    fn failed_at(&self, place: &str, code: i32, lines: &str) {
        let stdout = String::from_utf8_lossy(&self.stdout);
        assert_eq!((self.code, self.stderr.as_str()), (Some(code), ""), "{stdout}");
        let (head, rest) = stdout.split_once('\n').unwrap();
        assert!(head.starts_with(&format!("FAIL  stdin:{place}  ")), "{stdout}");
        assert_eq!(rest, lines);
    }
}

fn write(directory: &TempDir, name: &str, text: &str) {
    let path = directory.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}
