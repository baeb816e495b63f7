//! The command line.

use clap::{CommandFactory, Parser, Subcommand};
use volley_cli::Program;

use crate::ping::PingArgs;
use crate::script::ScriptArgs;
use crate::send::SendArgs;
use crate::shell::ShellArgs;
use crate::wait::WaitArgs;

use volley_cli::HELP;

/// Sends length-prefixed frames to a server and checks every reply
///
/// A frame is four bytes of big-endian length and a payload. `volleyd` sends each back, or a receipt
/// for it, and so may any other server. The exit code tells whether all was right; `volley COMMAND
/// --help` has the codes of each command.
#[derive(Debug, Parser)]
#[command(name = "volley", version, max_term_width = 100)]
#[command(help_template = HELP, before_help = "\
Examples:
  volley send hello                 a frame to tcp://127.0.0.1:7007 and back
  volley ping server:7007           a frame a second, until Ctrl-C
  volley script login.volley        a conversation that is written down
  volley wait && volley send hello  as soon as there is a server")]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The program, with what its manual pages point to.
pub(crate) fn program() -> Program {
    Program {
        command: Args::command(),
        manual_section: 1,
        sections: Vec::new(),
        see_also: &["volley-load(1)", "volleyd(8)"],
        documents: &["CLIENT.md", "PROTOCOL.md"],
    }
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
