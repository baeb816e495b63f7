//! Why a text of the user could not be read, and where in it.

use std::fmt;
use std::ops::Range;

use volley_cli::Misread;

/// Characters of a long text that are shown of the place, before it and behind it; together they
/// fit into a line.
const SHOWN: usize = 30;

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
    pub(crate) fn new(text: &str, Misread { place, why }: Misread<'_>) -> Self {
        let start = place.as_ptr().addr().wrapping_sub(text.as_ptr().addr());
        let span = start..start.wrapping_add(place.len());
        debug_assert_eq!(text.get(span.clone()), Some(place), "a copy of the text was parsed");
        Self { text: text.to_owned(), span, why }
    }
}

impl fmt::Display for NotationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let piece = |range: Range<usize>| shown(self.text.get(range).unwrap_or_default());
        let before = tail(piece(0..self.span.start));
        let wrong = head(piece(self.span.clone()));
        let behind = head(piece(self.span.end..self.text.len()));
        let margin = " ".repeat(before.chars().count());
        let carets = "^".repeat(wrong.chars().count().max(1));
        write!(f, "{}\n  {before}{wrong}{behind}\n  {margin}{carets}", shown(&self.why))
    }
}

impl std::error::Error for NotationError {}

/// Each control character takes the place of one visible one: nothing of the text reaches the
/// terminal but characters, and the carets stand where they should.
fn shown(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

/// The first characters of a text that is too long for a line.
fn head(text: String) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The last characters of a text that is too long for a line.
fn tail(text: String) -> String {
    match text.char_indices().nth_back(SHOWN) {
        Some((start, first)) => format!("…{}", &text[start + first.len_utf8()..]),
        None => text,
    }
}

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
    fn counts_characters_and_not_bytes() {
        let text = "µµ,ßß";
        assert_eq!(pointed(text, &text[5..]), "wrong\n  µµ,ßß\n     ^^");
    }

    #[test]
    fn sends_no_control_character_to_the_terminal() {
        let text = "\x1b[2J\n,5";
        let error = NotationError::new(text, Misread::new(&text[6..], "bad \x07"));
        assert_eq!(error.to_string(), "bad \u{fffd}\n  \u{fffd}[2J\u{fffd},5\n        ^");
    }

    #[test]
    fn shows_of_a_long_text_what_is_near_the_place() {
        let text = format!("{}?{}", "a".repeat(99_999), "b".repeat(99));
        let (left, right) = ("a".repeat(30), "b".repeat(30));
        let shown = format!("wrong\n  …{left}?{right}…\n  {}^", " ".repeat(31));
        assert_eq!(pointed(&text, &text[99_999..100_000]), shown);
        assert!(pointed(&text, &text).ends_with(&format!("\n  {left}…\n  {}", "^".repeat(31))));
    }
}
