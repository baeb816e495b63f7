//! What is in force, as a file that would bring it about.

use super::listener::Listener;
use super::settings::Settings;
use super::table::{LISTEN, NAME};
use super::valued::Shown;
use super::void;

impl Settings {
    /// TOML with a comment behind each value that says where it comes from. Read as a file, without
    /// flags and environment, it gives the same settings; one that was said for all listeners and
    /// means nothing to this one is a comment as a whole.
    pub(crate) fn to_toml(&self) -> String {
        let mut toml = lines(self.process.shown().iter().map(Line::of).collect());
        for listener in &self.listeners {
            let endpoint = Shown::new(&LISTEN, &listener.endpoint);
            let name = listener.name.as_ref().map(|name| Shown::new(&NAME, name));
            let mut section = vec![Line::of(&endpoint)];
            section.extend(name.as_ref().map(Line::of));
            let settings = listener.settings.shown().into_iter().chain(listener.own.shown());
            section.extend(settings.map(|shown| Line::of_section(&shown, listener)));
            toml.push_str("\n[[listener]]\n");
            toml.push_str(&lines(section));
        }
        toml
    }
}

/// A setting, and what is told of it.
struct Line {
    toml: String,
    comment: String,
}

impl Line {
    fn of(shown: &Shown<'_>) -> Self {
        let note = shown.note.as_ref().map(|note| format!(", {note}")).unwrap_or_default();
        Self { toml: shown.row.toml(&shown.text), comment: format!("{}{note}", shown.origin) }
    }

    fn of_section(shown: &Shown<'_>, listener: &Listener) -> Self {
        let Self { toml, comment } = Self::of(shown);
        // The default says nothing, and can stand there.
        if shown.text == shown.row.default || void::reason(shown.row.key, listener).is_none() {
            return Self { toml, comment };
        }
        let why = if void::is_for_passed_udp(shown.row.key, listener) {
            "for a passed UDP socket"
        } else {
            "means nothing here"
        };
        Self { toml: format!("# {toml}"), comment: format!("{comment}, {why}") }
    }
}

/// The comments stand below each other.
fn lines(lines: Vec<Line>) -> String {
    let width = lines.iter().map(|line| line.toml.chars().count()).max().unwrap_or(0);
    let lines = lines.into_iter();
    lines.map(|Line { toml, comment }| format!("{toml:width$}  # {comment}\n")).collect()
}
