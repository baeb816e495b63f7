//! Replies on stdout, in the format that the user asked for.

use std::io::{self, IsTerminal};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::BufMut;
use data_encoding::HEXLOWER;
use volley_client::Arrival;
use volley_proto::encode_data_head;

use super::args::OutputFormat;
use super::flight::InFlight;
use super::record::Record;
use crate::check::Verdict;
use crate::failure::Failure;
use crate::render::{harmless, in_words};
use crate::stdout::Stdout;

/// Prints replies, several with one write when they come fast.
#[derive(Debug)]
pub(crate) struct Output {
    stdout: Stdout,
    format: OutputFormat,
    /// A terminal does what bytes tell it to.
    is_terminal: bool,
}

impl Output {
    /// An output that no reply can harm: bytes as they are don't go to a terminal.
    pub(crate) fn new(format: OutputFormat) -> Result<Self, Failure> {
        let is_terminal = io::stdout().is_terminal();
        if is_terminal && format.is_binary() {
            return Err(Failure::Usage(
                "stdout is a terminal, and replies may be anything: send them to a file or a \
                 pipe, or choose --output hex"
                    .to_owned(),
            ));
        }
        Ok(Self { stdout: Stdout::default(), format, is_terminal })
    }

    /// Takes the reply to the frame with this number in the input. Wrong replies are told
    /// elsewhere, so only a format that says which they are has them.
    pub(crate) fn print(&mut self, number: u64, arrival: &Arrival, verdict: &Verdict) {
        if self.format == OutputFormat::Ndjson {
            return self.print_record(&Record::of_reply(number, arrival, verdict));
        }
        let receipt = match verdict {
            Verdict::Right(receipt) => *receipt,
            Verdict::Unchecked => None,
            Verdict::Wrong(_) => return,
        };
        let payload = &arrival.payload;
        match (self.format, receipt) {
            (OutputFormat::Raw, _) => self.stdout.add(payload),
            (OutputFormat::Frames, _) => {
                self.stdout.tail().put_slice(&encode_data_head(payload.len()));
                self.stdout.add(payload);
            }
            (OutputFormat::Hex, _) => self.stdout.add_line(HEXLOWER.encode(payload)),
            (OutputFormat::Base64, _) => self.stdout.add_line(STANDARD.encode(payload)),
            (_, Some(receipt)) => self.stdout.add_line(in_words(&receipt, arrival.sent.len())),
            (_, None) if self.is_terminal => self.stdout.add_line(harmless(payload)),
            (_, None) => self.stdout.add_line(payload.clone()),
        }
    }

    /// Takes a frame that will get no reply.
    pub(crate) fn print_lost(&mut self, frame: &InFlight, why: &str) {
        if self.format == OutputFormat::Ndjson {
            self.print_record(&Record::of_lost(frame, why));
        }
    }

    /// Whether something has been printed and is not out.
    pub(crate) fn is_pending(&self) -> bool {
        self.stdout.is_pending()
    }

    /// Whether so much is pending that it should go out before more is printed.
    pub(crate) fn is_full(&self) -> bool {
        self.stdout.is_full()
    }

    /// Whether whoever read stdout has gone.
    pub(crate) const fn is_closed(&self) -> bool {
        self.stdout.is_closed()
    }

    /// Writes what has been printed. That nobody reads it is no error.
    ///
    /// # Cancel safety
    ///
    /// What has not been written is kept for the next call.
    pub(crate) async fn flush(&mut self) -> Result<(), Failure> {
        self.stdout.flush().await.map_err(|source| Failure::Stdout { source })
    }

    /// Writes what goes out without waiting, before something is shown elsewhere that belongs
    /// behind it.
    pub(crate) fn flush_now(&mut self) {
        self.stdout.flush_now();
    }

    fn print_record(&mut self, record: &Record<'_>) {
        self.stdout.add_line(record.to_json());
    }
}
