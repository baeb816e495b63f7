//! Why a text of the user could not be read, and where in it.

use std::fmt;
use std::ops::Range;

use volley_cli::{Excerpt, Misread, visible};

/// A text that could not be read. [`fmt::Display`] says why, and points at the place:
///
/// ```text
/// unknown unit `q` in the rate: k, M and G are known
///   1k:10s,20q:60s
///            ^
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotationError {
    /// The whole text.
    pub text: String,
    /// The bytes of the text that are wrong. Empty where something is missing.
    pub span: Range<usize>,
    /// What is wrong and how to write it.
    pub why: String,
}

impl NotationError {
    /// Finds the piece that was misread in the text from which it was cut.
    pub(crate) fn new(text: &str, misread: Misread<'_>) -> Self {
        Self { text: text.to_owned(), span: misread.span_in(text), why: misread.why }
    }
}

impl fmt::Display for NotationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let excerpt = Excerpt { text: &self.text, span: self.span.clone() };
        write!(f, "{}\n{excerpt}", visible(&self.why))
    }
}

impl std::error::Error for NotationError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointed(text: &str, place: &str) -> String {
        NotationError::new(text, Misread::new(place, "wrong")).to_string()
    }

    #[test]
    fn points_at_the_place() {
        let text = "1k:10s,20q:60s";
        assert_eq!(pointed(text, &text[9..10]), "wrong\n  1k:10s,20q:60s\n           ^");
        assert_eq!(pointed(text, &text[7..]), "wrong\n  1k:10s,20q:60s\n         ^^^^^^^");
    }

    #[test]
    fn points_where_something_is_missing() {
        let text = "1k:";
        assert_eq!(pointed(text, &text[3..]), "wrong\n  1k:\n     ^");
        assert_eq!(pointed("", ""), "wrong\n  \n  ^");
    }

    #[test]
    fn sends_no_control_character_to_the_terminal() {
        let text = "\x1b[2J\n,5";
        let error = NotationError::new(text, Misread::new(&text[6..], "bad \x07"));
        assert_eq!(error.to_string(), "bad \u{fffd}\n  \u{fffd}[2J\u{fffd},5\n        ^");
    }
}
