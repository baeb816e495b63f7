//! What the user wants a server to agree to: flags that commands share.

use std::time::Duration;

use volley_cli::Reply;
use volley_client::{Hello, Options};
use volley_proto::ReplyKind;

use crate::failure::Failure;

#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Terms {
    /// The reply to ask for
    ///
    /// With --no-hello, and over udp://, the reply to expect. [default: the listener's own; with
    /// --no-hello, and over udp://, echo]
    #[arg(long, value_enum, value_name = "KIND")]
    pub(crate) reply: Option<Reply>,

    /// No HELLO: for servers without control frames
    #[arg(long)]
    pub(crate) no_hello: bool,
}

impl Terms {
    /// How to connect: `name` is for the server's log, and nothing may take longer than `timeout`.
    pub(crate) fn options(self, name: &str, timeout: Duration) -> Options {
        let wanted = self.wanted();
        let mut options = Options::default();
        options.connect_timeout = timeout;
        options.reply_timeout = timeout;
        options.reply = wanted.unwrap_or_default();
        options.hello = self.greets().then(|| Hello { wanted, name: name.to_owned() });
        options
    }

    /// Whether the server is greeted, and WELCOME awaited.
    pub(crate) const fn greets(self) -> bool {
        !self.no_hello
    }

    /// Whether the server grants what was asked for.
    pub(crate) fn check(self, granted: ReplyKind) -> Result<(), Failure> {
        match self.wanted() {
            Some(wanted) if wanted != granted => Err(Failure::NotGranted { wanted, granted }),
            _ => Ok(()),
        }
    }

    /// The reply that is asked for, if one is.
    pub(crate) fn wanted(self) -> Option<ReplyKind> {
        self.reply.map(ReplyKind::from)
    }
}
