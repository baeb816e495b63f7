//! The kinds of reply, as flags name them.

use clap::ValueEnum;
use volley_proto::ReplyKind;

/// The value of `--reply`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Reply {
    /// the frame itself
    #[default]
    Echo,
    /// a 32-byte receipt
    Ack,
}

impl From<Reply> for ReplyKind {
    fn from(reply: Reply) -> Self {
        match reply {
            Reply::Echo => Self::Echo,
            Reply::Ack => Self::Ack,
        }
    }
}
