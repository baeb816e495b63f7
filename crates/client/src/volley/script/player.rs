//! Carries a script out, statement by statement. Whatever waits for the server has a deadline.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::coop;
use tokio::time::{sleep, timeout};
use volley_cli::{Exit, format_duration};
use volley_client::advice::{exit, with_hint};
use volley_client::flags::Approach;
use volley_client::{Error, Hello, Options, Tap, open};
use volley_proto::{Control, Endpoint, Text};

use super::conversation::{Awaited, Conversation, Incoming};
use super::judge::{Unexpected, judge};
use super::statement::{Action, Pattern, Place, Script, Statement, Steps};
use crate::dump;
use crate::patience::connecting;
use crate::render::counted;
use crate::stderr;
use crate::wire::Wire;

/// Plays one script.
#[derive(Debug)]
pub(super) struct Player<'a> {
    /// Where to connect unless the script says.
    to: &'a Endpoint,
    approach: &'a Approach,
    /// How long a statement may wait for the server.
    timeout: Duration,
    wire: Option<Arc<Wire>>,
    conversation: Option<Conversation>,
    /// What it is at, or was at last.
    at: Option<&'a Statement>,
}

/// Why a script has failed, and where.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) place: Place,
    /// The statement as it was written.
    pub(super) source: String,
    pub(super) trouble: Trouble,
}

impl Failed {
    fn at(Statement { place, source, .. }: &Statement, trouble: Trouble) -> Self {
        Self { place: *place, source: source.clone(), trouble }
    }
}

/// Why a statement has failed.
#[derive(Debug)]
pub(super) struct Trouble {
    /// In words.
    pub(super) why: String,
    /// What came and what was due, in lines; may be empty.
    pub(super) details: String,
    pub(super) exit: Exit,
}

impl Trouble {
    fn new(exit: Exit, why: impl Into<String>) -> Self {
        Self { why: why.into(), details: String::new(), exit }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::new(exit(&error), with_hint(&error))
    }
}

impl From<Unexpected> for Trouble {
    fn from(Unexpected { why, due, received }: Unexpected) -> Self {
        let details = received.map(|received| dump::comparison(due.as_ref(), &received));
        Self { why, details: details.unwrap_or_default(), exit: Exit::Failure }
    }
}

impl<'a> Player<'a> {
    pub(super) const fn new(
        to: &'a Endpoint,
        approach: &'a Approach,
        timeout: Duration,
        wire: Option<Arc<Wire>>,
    ) -> Self {
        Self { to, approach, timeout, wire, conversation: None, at: None }
    }

    /// Plays the script to its end, or up to the first statement that fails.
    pub(super) async fn play(&mut self, script: &'a Script) -> Result<(), Failed> {
        for statement in Steps::new(&script.statements) {
            self.at = Some(statement);
            let carried_out = self.carry_out(&statement.action).await;
            carried_out.map_err(|trouble| Failed::at(statement, trouble))?;
            // A script may go on for long without waiting for anything.
            coop::consume_budget().await;
            stderr::room().await;
        }
        match (self.close(), self.at) {
            (Err(trouble), Some(last)) => Err(Failed::at(last, trouble)),
            // Without a statement there is no connection that could have failed.
            _ => Ok(()),
        }
    }

    /// What a signal with this exit code has kept from its end, if it had begun.
    pub(super) fn interrupted(&self, exit: Exit) -> Option<Failed> {
        self.at.map(|at| Failed::at(at, Trouble::new(exit, "interrupted")))
    }

    async fn carry_out(&mut self, action: &Action) -> Result<(), Trouble> {
        let longest = self.timeout;
        if self.is_of_datagrams() {
            check_for_datagrams(action)?;
        }
        match action {
            Action::Connect(to) => {
                self.close()?;
                self.connect(to.as_ref().unwrap_or(self.to)).await?;
            }
            Action::Hello(hello) => self.greet(hello).await?,
            Action::Send(payload) => taken(longest, self.sending().await?.send(payload)).await?,
            Action::Raw(bytes) => taken(longest, self.sending().await?.send_raw(bytes)).await?,
            Action::HalfClose => taken(longest, self.conversation().await?.half_close()).await?,
            Action::Expect(pattern) => self.expect(pattern).await?,
            Action::Until(pattern) => self.await_match(pattern).await?,
            Action::ExpectRaw(bytes) => self.expect_raw(bytes).await?,
            Action::ExpectNothing(longest) => self.expect_nothing(*longest).await?,
            Action::Sleep(pause) => sleep(*pause).await,
            Action::Timeout(longest) => self.timeout = *longest,
            Action::Close => self.close()?,
            // What it repeats comes one by one.
            Action::Repeat { .. } => {}
        }
        Ok(())
    }

    /// Whether each frame is a datagram, of the connection that there is or of a new one.
    fn is_of_datagrams(&self) -> bool {
        match &self.conversation {
            Some(conversation) => conversation.is_of_datagrams(),
            None => matches!(self.to, Endpoint::Udp(_)),
        }
    }

    /// The connection that there is, or a new one.
    async fn conversation(&mut self) -> Result<&mut Conversation, Trouble> {
        match self.conversation {
            Some(ref mut conversation) => Ok(conversation),
            None => self.connect(self.to).await,
        }
    }

    /// The same, to send over it.
    async fn sending(&mut self) -> Result<&mut Conversation, Trouble> {
        let conversation = self.conversation().await?;
        if conversation.is_half_closed() {
            return Err(Trouble::new(
                Exit::BadData,
                "nothing can be sent behind a half-close: `connect` opens another connection",
            ));
        }
        Ok(conversation)
    }

    async fn connect(&mut self, to: &Endpoint) -> Result<&mut Conversation, Trouble> {
        let mut options = Options::default();
        options.connect_timeout = self.timeout;
        options.hello = None;
        options.tap = self.wire.clone().map(|wire| wire as Arc<dyn Tap>);
        self.approach.apply(&mut options);
        let opened = connecting(to, self.timeout, open(to, &options)).await?;
        Ok(self.conversation.insert(Conversation::new(opened, to, self.wire.clone())))
    }

    fn close(&mut self) -> Result<(), Trouble> {
        match self.conversation.take() {
            Some(mut conversation) => Ok(conversation.check_sent()?),
            None => Ok(()),
        }
    }

    async fn greet(&mut self, hello: &Hello) -> Result<(), Trouble> {
        let longest = self.timeout;
        let name = Text::new(hello.name.as_str());
        let control = Control::Hello { wanted: hello.wanted, name };
        taken(longest, self.sending().await?.send_control(&control)).await?;
        let answer = match self.await_next().await? {
            Some(Ok(Incoming::Control(Control::Welcome { granted, .. }))) => {
                return match hello.wanted {
                    Some(wanted) if wanted != granted => Err(Trouble::new(
                        Exit::Failure,
                        format!("the server grants {granted}, not the {wanted} that was asked for"),
                    )),
                    _ => Ok(()),
                };
            }
            Some(Ok(Incoming::Control(Control::Hello { .. }))) => "an echo of it",
            Some(Ok(Incoming::Control(control))) => return Err(control_came(control)),
            Some(Ok(Incoming::Reply(_))) => "a data frame",
            Some(Ok(Incoming::Close)) => "a close",
            Some(Err(Error::Io { source, .. })) if is_reset(&source) => "a reset",
            Some(Err(error)) => return Err(error.into()),
            None => {
                let within = format_duration(longest);
                return Err(Trouble::new(
                    Exit::TryAgain,
                    format!(
                        "no WELCOME within {within} (it may not know HELLO: leave `hello` out, or \
                         try a longer --timeout)"
                    ),
                ));
            }
        };
        Err(Trouble::new(
            Exit::Protocol,
            format!(
                "the server answered HELLO with {answer}, not with WELCOME: it may not know HELLO \
                 (leave `hello` out)"
            ),
        ))
    }

    /// The next frame must match. GOAWAY may come at any time, and is passed over.
    async fn expect(&mut self, pattern: &Pattern) -> Result<(), Trouble> {
        loop {
            let incoming = self.next().await?;
            match judge(pattern, &incoming) {
                Ok(()) => return Ok(()),
                Err(_) if matches!(incoming, Incoming::Control(Control::GoAway { .. })) => {}
                Err(unexpected) => return Err(self.trouble(pattern, incoming, unexpected)),
            }
        }
    }

    /// Frames are passed over until one matches.
    async fn await_match(&mut self, pattern: &Pattern) -> Result<(), Trouble> {
        let (longest, mut others, mut last) = (self.timeout, 0_u64, None);
        let search = async {
            loop {
                let conversation = self.conversation().await?;
                let incoming = conversation.next().await?;
                let Err(unexpected) = judge(pattern, &incoming) else { return Ok(()) };
                if matches!(
                    incoming,
                    Incoming::Reply(_) | Incoming::Control(Control::GoAway { .. })
                ) {
                    others += 1;
                    last = Some(unexpected);
                } else {
                    return Err(self.trouble(pattern, incoming, unexpected));
                }
            }
        };
        match timeout(longest, search).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let within = format_duration(longest);
                let Some(last) = last.map(Trouble::from) else {
                    return Err(Trouble::new(
                        Exit::TryAgain,
                        format!("nothing came within {within} (try a longer --timeout)"),
                    ));
                };
                let why = format!(
                    "nothing that matches came within {within}, but {}; the last: {}",
                    counted(others, "other frame"),
                    last.why
                );
                Err(Trouble { why, exit: Exit::TryAgain, ..last })
            }
        }
    }

    async fn expect_raw(&mut self, due: &Bytes) -> Result<(), Trouble> {
        let longest = self.timeout;
        let conversation = self.conversation().await?;
        let unexpected = |why, received: &[u8]| {
            let received = Some(Bytes::copy_from_slice(received));
            Trouble::from(Unexpected { why, due: Some(due.clone()), received })
        };
        match timeout(longest, conversation.next_bytes(due.len())).await {
            Ok(received) => {
                let received = received?;
                if received == *due {
                    return Ok(());
                }
                let why = "the bytes that came are not those that were expected".to_owned();
                Err(unexpected(why, &received))
            }
            Err(_) => {
                let (have, needs) = (conversation.untaken(), due.len());
                let why = format!(
                    "{} of {} came within {} (try a longer --timeout)",
                    have.len(),
                    counted(needs as u64, "byte"),
                    format_duration(longest)
                );
                Err(Trouble { exit: Exit::TryAgain, ..unexpected(why, have) })
            }
        }
    }

    async fn expect_nothing(&mut self, longest: Duration) -> Result<(), Trouble> {
        let conversation = self.conversation().await?;
        if timeout(longest, conversation.until_something_comes()).await.is_err() {
            return Ok(());
        }
        // It is mostly whole; what is not is no more welcome.
        let Ok(incoming) = timeout(longest, conversation.next()).await else {
            let received = Some(Bytes::copy_from_slice(conversation.untaken()));
            let why = "part of a frame came, where nothing was expected".to_owned();
            return Err(Unexpected { why, due: None, received }.into());
        };
        let why = match incoming? {
            Incoming::Reply(reply) => {
                let why = format!("reply {} came, where nothing was expected", reply.seq);
                return Err(Unexpected { why, due: None, received: Some(reply.payload) }.into());
            }
            Incoming::Control(control) => return Err(control_came(control)),
            Incoming::Close => "the server closed the connection, where nothing was expected",
        };
        Err(Trouble::new(Exit::Failure, why))
    }

    async fn next(&mut self) -> Result<Incoming, Trouble> {
        match self.await_next().await? {
            Some(incoming) => Ok(incoming?),
            None => Err(self.late()),
        }
    }

    /// What comes next; `None` if nothing does in time.
    async fn await_next(&mut self) -> Result<Option<Result<Incoming, Error>>, Trouble> {
        let longest = self.timeout;
        let conversation = self.conversation().await?;
        Ok(timeout(longest, conversation.next()).await.ok())
    }

    /// What it means that nothing came in time.
    fn late(&self) -> Trouble {
        let (after, within) = (self.timeout, format_duration(self.timeout));
        let awaited = self.conversation.as_ref().map_or(Awaited::Unknown, Conversation::awaited);
        let hint = match awaited {
            Awaited::Reply { seq, part } => return Error::TimedOut { seq, after, part }.into(),
            Awaited::Nothing => "no frame is without a reply: is a `send` missing?",
            Awaited::Unknown => "try a longer --timeout",
        };
        let begun = self.conversation.as_ref().is_some_and(|one| !one.untaken().is_empty());
        let nothing = if begun { "no whole frame" } else { "nothing" };
        Trouble::new(Exit::TryAgain, format!("{nothing} came within {within} ({hint})"))
    }

    /// What it means that this came in place of what was expected.
    fn trouble(&self, pattern: &Pattern, came: Incoming, unexpected: Unexpected) -> Trouble {
        match (came, &self.conversation) {
            // The wrong one of those that were expected is like any wrong frame.
            (Incoming::Control(Control::Error { .. }), _)
                if matches!(pattern, Pattern::Error(_)) =>
            {
                unexpected.into()
            }
            (Incoming::Control(control @ Control::Error { .. }), _) => control_came(control),
            (Incoming::Close, Some(conversation)) => conversation.closed().into(),
            _ => unexpected.into(),
        }
    }
}

/// That a statement makes sense where each frame is a datagram.
fn check_for_datagrams(action: &Action) -> Result<(), Trouble> {
    let why = match action {
        Action::Hello(_) => "there is no HELLO",
        Action::Raw(_) | Action::ExpectRaw(_) => {
            "there are no bytes but those of whole frames: `send` and `expect` them"
        }
        Action::HalfClose | Action::Expect(Pattern::Close) | Action::Until(Pattern::Close) => {
            "nobody closes"
        }
        Action::Expect(Pattern::Welcome | Pattern::GoAway(_) | Pattern::Error(_))
        | Action::Until(Pattern::Welcome | Pattern::GoAway(_) | Pattern::Error(_)) => {
            "there are no control frames"
        }
        _ => return Ok(()),
    };
    Err(Trouble::new(Exit::BadData, format!("over udp:// each frame is a datagram: {why}")))
}

/// Whether the server has reset the connection.
fn is_reset(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionReset
}

/// What it means that a control frame came where none was expected.
fn control_came(control: Control) -> Trouble {
    match control {
        Control::Error { reason, last_seq, text } => {
            Error::Refused { reason, last_seq, text: text.to_string() }.into()
        }
        control => Trouble::new(Exit::Failure, format!("{} came from the server", control.name())),
    }
}

/// Sends, which must not take longer than this.
async fn taken(
    longest: Duration,
    sending: impl Future<Output = Result<(), Error>>,
) -> Result<(), Trouble> {
    match timeout(longest, sending).await {
        Ok(sent) => Ok(sent?),
        Err(_) => {
            let within = format_duration(longest);
            Err(Trouble::new(
                Exit::TryAgain,
                format!("the server does not take what is sent: not done within {within}"),
            ))
        }
    }
}
