//! `-v`: the conversation on stderr, frame by frame.

use std::time::Instant;

use volley_cli::{format_duration, printable};
use volley_client::{Direction, Passing, Stream, StreamAddress, Tap};
use volley_proto::Control;

use crate::render::counted;
use crate::{dump, stderr};

/// Shows what passes, with the time since the start.
#[derive(Debug)]
pub(crate) struct Wire {
    start: Instant,
    /// All bytes of each frame, not only the first row.
    shows_all: bool,
}

impl Wire {
    /// What `-v`, given `times`, asks for.
    pub(crate) fn new(times: u8) -> Option<Self> {
        (times > 0).then(|| Self { start: Instant::now(), shows_all: times > 1 })
    }

    /// Shows what is no frame.
    pub(crate) fn note(&self, what: &str) {
        self.show('*', &printable(what), "");
    }

    /// Shows bytes that are not a frame of their own.
    pub(crate) fn show_raw(&self, direction: Direction, bytes: &[u8]) {
        self.show_bytes(mark(direction), "raw", bytes);
    }

    fn show(&self, mark: char, what: &str, rows: &str) {
        let ms = self.start.elapsed().as_secs_f64() * 1e3;
        stderr::show(format!("{ms:10.3} ms {mark} {what}\n{rows}"));
    }

    fn show_bytes(&self, mark: char, name: &str, bytes: &[u8]) {
        let len = bytes.len();
        let rows = if self.shows_all {
            dump::all_rows(bytes, MARGIN)
        } else if bytes.is_empty() {
            String::new()
        } else {
            let more = if len > dump::ROW { " …" } else { "" };
            format!("{MARGIN}{}{more}\n", dump::row(bytes, 0))
        };
        self.show(mark, &format!("{name}: {}", counted(len as u64, "byte")), &rows);
    }
}

/// What stands before the rows of a payload: they begin below the words.
const MARGIN: &str = "                ";

impl Tap for Wire {
    fn connected(&self, stream: &Stream) {
        match (stream.local_addr(), stream.peer_addr()) {
            // There is nothing to say of it.
            (Ok(StreamAddress::Unix(None)), Ok(peer)) => self.note(&format!("connected to {peer}")),
            (Ok(local), Ok(peer)) => self.note(&format!("connected from {local} to {peer}")),
            _ => {}
        }
        if let Some(handshake) = stream.handshake() {
            let ms = handshake.took.as_secs_f64() * 1e3;
            self.note(&format!("{handshake} in {ms:.3} ms"));
        }
    }

    fn pass(&self, direction: Direction, passing: Passing<'_>) {
        let mark = mark(direction);
        match passing {
            Passing::Data { seq, payload } => {
                self.show_bytes(mark, &format!("frame {seq}"), payload)
            }
            Passing::Control(control) => self.show(mark, &printable(&in_words(control)), ""),
            Passing::End => self.show(mark, "end", ""),
        }
    }
}

const fn mark(direction: Direction) -> char {
    match direction {
        Direction::Out => '>',
        Direction::In => '<',
    }
}

/// A control frame with what it says.
fn in_words(control: &Control) -> String {
    let name = control.name();
    let (said, text) = match control {
        Control::Hello { wanted, name } => {
            let wanted = wanted.map_or("any reply".to_owned(), |wanted| wanted.to_string());
            (wanted, name)
        }
        Control::Welcome { granted, max_frame, text } => {
            (format!("{granted}, max_frame {max_frame}"), text)
        }
        Control::GoAway { reason, closes_in, text } => {
            (format!("{reason}, closes in {}", format_duration(*closes_in)), text)
        }
        Control::Error { reason, last_seq, text } => {
            (format!("{reason}, last_seq {last_seq}"), text)
        }
    };
    if text.is_empty() { format!("{name} {said}") } else { format!("{name} {said}: {text}") }
}
