//! The command line.

use clap::{Parser, Subcommand};

use crate::ping::PingArgs;
use crate::script::ScriptArgs;
use crate::send::SendArgs;
use crate::shell::ShellArgs;
use crate::wait::WaitArgs;

/// What a command is for, examples, then the flags: most people look for the first two.
pub(crate) const HELP: &str = "\
{about-with-newline}
{before-help}{usage-heading} {usage}

{all-args}{after-help}";

/// Sends length-prefixed frames to a server and checks every reply.
#[derive(Debug, Parser)]
#[command(name = "volley", version, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Send frames, print each reply
    ///
    /// An echo is printed as it is, a receipt as `ACK seq=1 len=5 crc32c=9a71bb4c …`, each with a
    /// newline behind it. Every reply is awaited and checked.
    Send(SendArgs),
    /// Send a frame a second and show when each comes back
    ///
    /// What ping(8) does, over a real frame: every reply is checked byte by byte, and what does not
    /// come back right is told apart. A connection that breaks is opened again.
    Ping(PingArgs),
    /// Hold conversations that are written down, and check what comes back
    ///
    /// A script says line by line what to send and what to expect. A directory of scripts is a test
    /// suite for any server with length-prefixed frames.
    Script(ScriptArgs),
    /// Type frames, see each reply with its time
    ///
    /// Each line is a frame. On a terminal lines can be edited and have a history; otherwise they
    /// are read as `send` reads them.
    Shell(ShellArgs),
    /// Wait until servers answer
    ///
    /// Returns as soon as every target has answered a frame rightly: for start-up scripts and
    /// container probes.
    Wait(WaitArgs),
}
