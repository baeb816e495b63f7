//! A piece of a text, pointed at.

use std::fmt;
use std::ops::Range;

/// Characters of a long text that are shown of the place, before it and behind it; together they
/// fit into a line.
const SHOWN: usize = 30;

/// Two lines for the user: the text, and carets under a piece of it.
///
/// ```text
///   1k:10s,20q:60s
///            ^
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt<'a> {
    /// The whole text, a line at best.
    pub text: &'a str,
    /// The bytes to point at. Where the range is empty one caret shows that something is missing.
    pub span: Range<usize>,
}

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let piece = |range: Range<usize>| visible(self.text.get(range).unwrap_or_default());
        let before = tail(piece(0..self.span.start));
        let wrong = head(piece(self.span.clone()));
        let behind = head(piece(self.span.end..self.text.len()));
        let margin = " ".repeat(before.chars().count());
        let carets = "^".repeat(wrong.chars().count().max(1));
        write!(f, "  {before}{wrong}{behind}\n  {margin}{carets}")
    }
}

/// `text` with a space for each tab and one visible character for each other control character:
/// nothing of the text reaches the terminal but characters, and carets stand where they should.
/// Without carets below, [`printable`](crate::printable) tells more.
pub fn visible(text: &str) -> String {
    text.replace('\t', " ").replace(char::is_control, "\u{fffd}")
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

    fn pointed(text: &str, span: Range<usize>) -> String {
        Excerpt { text, span }.to_string()
    }

    #[test]
    fn points_at_the_place() {
        let text = "1k:10s,20q:60s";
        assert_eq!(pointed(text, 9..10), "  1k:10s,20q:60s\n           ^");
        assert_eq!(pointed(text, 7..14), "  1k:10s,20q:60s\n         ^^^^^^^");
    }

    #[test]
    fn points_where_something_is_missing() {
        assert_eq!(pointed("1k:", 3..3), "  1k:\n     ^");
        assert_eq!(pointed("", 0..0), "  \n  ^");
    }

    #[test]
    fn counts_characters_and_not_bytes() {
        assert_eq!(pointed("µµ,ßß", 5..9), "  µµ,ßß\n     ^^");
    }

    #[test]
    fn sends_no_control_character_to_the_terminal() {
        let expected = "  \u{fffd}[2J\u{fffd},5 x\n        ^";
        assert_eq!(pointed("\x1b[2J\n,5\tx", 6..7), expected);
    }

    #[test]
    fn shows_of_a_long_text_what_is_near_the_place() {
        let text = format!("{}?{}", "a".repeat(99_999), "b".repeat(99));
        let (left, right) = ("a".repeat(30), "b".repeat(30));
        let shown = format!("  …{left}?{right}…\n  {}^", " ".repeat(31));
        assert_eq!(pointed(&text, 99_999..100_000), shown);
        let all = pointed(&text, 0..text.len());
        assert_eq!(all, format!("  {left}…\n  {}", "^".repeat(31)));
    }
}
