//! What is in force, as a file that would bring it about.

use super::settings::Settings;
use super::table::{LISTEN, NAME};
use super::valued::Shown;

impl Settings {
    /// TOML with a comment behind each value that says where it comes from. Read as a file, without
    /// flags and environment, it gives the same settings.
    pub(crate) fn to_toml(&self) -> String {
        let mut toml = lines(self.process.shown());
        for listener in &self.listeners {
            let endpoint = Shown::new(&LISTEN, &listener.endpoint);
            let name = listener.name.as_ref().map(|name| Shown::new(&NAME, name));
            let mut section = vec![endpoint];
            section.extend(name);
            section.extend(listener.settings.shown());
            section.extend(listener.own.shown());
            toml.push_str("\n[[listener]]\n");
            toml.push_str(&lines(section));
        }
        toml
    }
}

/// A line for each, the comments below each other.
fn lines(settings: Vec<Shown<'_>>) -> String {
    let width = settings.iter().map(|shown| shown.toml().chars().count()).max().unwrap_or(0);
    let line = |shown: &Shown<'_>| {
        let note = shown.note.as_ref().map(|note| format!(", {note}")).unwrap_or_default();
        format!("{:width$}  # {}{note}\n", shown.toml(), shown.origin)
    };
    settings.iter().map(line).collect()
}

impl Shown<'_> {
    fn toml(&self) -> String {
        self.row.toml(&self.text)
    }
}
