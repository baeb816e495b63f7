//! `volley shell`: frames that a person types, each with its reply.

mod args;
mod editor;
mod link;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use tokio::time::Instant;
use volley_cli::{Exit, format_bytes};
use volley_client::{Arrival, Tap};
use volley_proto::{DatagramReply, NoReply};

pub(crate) use args::ShellArgs;
use args::{LineFormat, ReplyFormat};
use editor::{LineEditor, Typed};
use link::{Agreed, Link};

use crate::check::{Check, Verdict};
use crate::decode::{DecodeError, decode_base64, decode_hex};
use crate::dump;
use crate::failure::{Failure, tell};
use crate::render::{harmless, in_words, millis};
use crate::send;
use crate::signals::Signals;
use crate::stderr;
use crate::stdout::Stdout;
use crate::wire::Wire;

pub(crate) async fn run(args: ShellArgs, mut signals: Signals) -> Result<(), Failure> {
    if !LineEditor::is_possible() {
        return send::run(args.into_send(), signals).await;
    }
    let mut options = args.terms.options("volley shell", args.timeout);
    args.connect.approach([&args.to], tell)?.apply(&mut options);
    options.tap = Wire::new(args.verbose).map(|wire| Arc::new(wire) as Arc<dyn Tap>);
    let mut link = Link::new(args.to.clone(), args.terms, options);
    let agreed = tokio::select! {
        agreed = link.open() => agreed?,
        signal = signals.next() => return Err(signal),
    };
    let editor = LineEditor::start().map_err(|source| Failure::Setup { source })?;
    let Agreed { reply, longest } = agreed;
    let longest = format_bytes(longest as u64);
    let does = if link.is_of_datagrams() { "datagrams to" } else { "connected to" };
    tell(&format!("{does} {}: {reply}, frames of up to {longest}; Ctrl-D ends", args.to));
    Shell::new(args, editor, link).run(&mut signals).await
}

/// A shell on a terminal.
struct Shell {
    args: ShellArgs,
    editor: LineEditor,
    link: Link,
    check: Check,
    stdout: Stdout,
    replies: u64,
    wrong: u64,
    lost: u64,
}

impl Shell {
    fn new(args: ShellArgs, editor: LineEditor, link: Link) -> Self {
        let is_greeted = args.terms.greets() && !link.is_of_datagrams();
        let check = match (args.no_check, is_greeted) {
            (true, _) => Check::Nothing,
            (false, true) => Check::Due { otherwise: "" },
            (false, false) => Check::Due { otherwise: "if it answers something else: --no-check" },
        };
        let stdout = Stdout::default();
        Self { args, editor, link, check, stdout, replies: 0, wrong: 0, lost: 0 }
    }

    /// Sends lines until there are no more.
    async fn run(&mut self, signals: &mut Signals) -> Result<(), Failure> {
        loop {
            // All branches are cancel safe.
            let typed = tokio::select! {
                typed = self.editor.next() => typed,
                why = self.link.lost() => {
                    self.editor.print(&format!("volley: {why}; the next frame connects again"));
                    continue;
                }
                signal = signals.next() => return Err(signal),
            };
            match typed {
                Typed::Line(lines) => tokio::select! {
                    done = self.send_all(&lines) => done?,
                    signal = signals.next() => return Err(signal),
                },
                Typed::Interrupt => return Err(Failure::Signal(Exit::Interrupted)),
                Typed::End => return self.verdict(),
                Typed::Failed(source) => return Err(Failure::Terminal { source }),
            }
        }
    }

    /// Sends what has been entered: a line, or several that were pasted.
    async fn send_all(&mut self, lines: &str) -> Result<(), Failure> {
        for line in lines.strip_suffix('\n').unwrap_or(lines).split('\n') {
            self.send(line).await?;
        }
        Ok(())
    }

    /// Sends a line and shows its reply, or says what went wrong. The shell goes on.
    async fn send(&mut self, line: &str) -> Result<(), Failure> {
        let payload = match self.payload(line) {
            Ok(payload) => payload,
            Err(error) => {
                tell(&error.to_string());
                return Ok(());
            }
        };
        if let Err(why) = self.check_datagram(&payload) {
            tell(&format!("this datagram would get no reply: {why}"));
            return Ok(());
        }
        let start = Instant::now();
        match self.link.exchange(payload).await {
            Ok(arrival) => self.show(&arrival).await,
            Err(failure) => {
                self.lost += 1;
                let after = millis(start.elapsed());
                // As behind a reply.
                tell(&format!("{}  {after}", failure.message()));
                Ok(())
            }
        }
    }

    fn payload(&self, line: &str) -> Result<Bytes, DecodeError> {
        match self.args.input {
            LineFormat::Text => Ok(Bytes::copy_from_slice(line.as_bytes())),
            LineFormat::Hex => decode_hex(line.as_bytes()),
            LineFormat::Base64 => decode_base64(line.as_bytes()),
        }
    }

    /// That a datagram gets a reply, if it must be one that docs/PROTOCOL.md says.
    fn check_datagram(&self, payload: &[u8]) -> Result<(), NoReply> {
        if self.link.is_of_datagrams() && matches!(self.check, Check::Due { .. }) {
            DatagramReply::to(payload, self.args.terms.wanted().unwrap_or_default(), 0)?;
        }
        Ok(())
    }

    async fn show(&mut self, arrival: &Arrival) -> Result<(), Failure> {
        self.replies += 1;
        let receipt = match self.check.judge(arrival) {
            Verdict::Right(receipt) => receipt,
            Verdict::Unchecked => None,
            Verdict::Wrong(wrong) => {
                self.wrong += 1;
                // What to try need not be said again.
                let why = if self.wrong == 1 { wrong.message() } else { wrong.why };
                tell(&why);
                stderr::show(dump::comparison(wrong.due.as_ref(), &arrival.payload));
                return Ok(());
            }
        };
        let reply = match (self.args.output, receipt) {
            (ReplyFormat::Hex, _) => HEXLOWER.encode(&arrival.payload),
            (ReplyFormat::Base64, _) => STANDARD.encode(&arrival.payload),
            (ReplyFormat::Text, Some(receipt)) => in_words(&receipt, arrival.sent.len()),
            (ReplyFormat::Text, None) => harmless(&arrival.payload),
        };
        self.stdout.add_line(format!("{reply}  {}", millis(arrival.rtt)));
        self.stdout.flush().await.map_err(|source| Failure::Stdout { source })
    }

    /// What the exit code says of all that was typed.
    const fn verdict(&self) -> Result<(), Failure> {
        match (self.wrong, self.lost) {
            (0, 0) => Ok(()),
            (0, lost) => Err(Failure::Lost { lost, replies: self.replies }),
            (wrong, _) => Err(Failure::Mismatches { wrong, replies: self.replies }),
        }
    }
}
