//! Where in the configuration file something stands, for messages.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use volley_cli::{Excerpt, printable};

/// A configuration file as it was read.
#[derive(Debug)]
pub(crate) struct SourceFile {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// A piece of a [`SourceFile`]. [`fmt::Display`] gives `volleyd.toml:3:1`: file, line and column,
/// both from 1, the column in characters.
#[derive(Clone)]
pub(crate) struct Place {
    file: Arc<SourceFile>,
    /// In bytes.
    span: Range<usize>,
}

impl Place {
    pub(crate) fn new(file: &Arc<SourceFile>, span: Range<usize>) -> Self {
        Self { file: Arc::clone(file), span }
    }

    pub(crate) fn line(&self) -> usize {
        self.before().matches('\n').count() + 1
    }

    pub(crate) fn column(&self) -> usize {
        self.margin().chars().count() + 1
    }

    /// The file and the line, without the column.
    pub(crate) fn file_and_line(&self) -> String {
        format!("{}:{}", printable(&self.file.path.to_string_lossy()), self.line())
    }

    /// The first byte, to put messages in the order of the file.
    pub(crate) const fn start(&self) -> usize {
        self.span.start
    }

    /// The line, and carets under the piece:
    ///
    /// ```text
    ///   idle-timout = "5m"
    ///   ^^^^^^^^^^^
    /// ```
    pub(crate) fn excerpt(&self) -> String {
        let start = self.margin().len();
        let behind = self.file.text.get(self.before().len() - start..).unwrap_or_default();
        let text = behind.lines().next().unwrap_or_default();
        let len = self.span.end.saturating_sub(self.span.start);
        let span = start..start.saturating_add(len).min(text.len()).max(start);
        Excerpt { text, span }.to_string()
    }

    /// Everything before the piece.
    fn before(&self) -> &str {
        self.file.text.get(..self.span.start).unwrap_or(&self.file.text)
    }

    /// What stands before the piece on its line.
    fn margin(&self) -> &str {
        self.before().rsplit('\n').next().unwrap_or_default()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file_and_line(), self.column())
    }
}

/// Without the whole file.
impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str, piece: &str) -> Place {
        let file = Arc::new(SourceFile { path: "v.toml".into(), text: text.to_owned() });
        let start = text.find(piece).unwrap();
        Place::new(&file, start..start + piece.len())
    }

    #[test]
    fn lines_and_columns_count_from_1_and_in_characters() {
        let text = "ä = 1\r\n\tß = \"ü\" # ö\nlast";
        assert_eq!(place(text, "ä").to_string(), "v.toml:1:1");
        assert_eq!(place(text, "ß").to_string(), "v.toml:2:2");
        assert_eq!(place(text, "\"ü\"").to_string(), "v.toml:2:6");
        assert_eq!(place(text, "last").to_string(), "v.toml:3:1");
        assert_eq!(place(text, "last").file_and_line(), "v.toml:3");
    }

    #[test]
    fn carets_stand_under_the_piece() {
        let text = "first\n\tß = \"ü\u{7}\" # ö\r\nlast";
        assert_eq!(place(text, "\"ü\u{7}\"").excerpt(), "   ß = \"ü\u{fffd}\" # ö\n       ^^^^");
        assert_eq!(place(text, "st\n").excerpt(), "  first\n     ^^");
        assert_eq!(place("", "").excerpt(), "  \n  ^");
        assert_eq!(place("a\n", "\n").excerpt(), "  a\n   ^");
    }

    #[test]
    fn a_span_that_is_none_does_no_harm() {
        let file = Arc::new(SourceFile { path: "v.toml".into(), text: "ä\nb".to_owned() });
        for (start, end) in [(1, 1), (0, 1), (9, 12), (3, 2), (4, 4), (usize::MAX, usize::MAX)] {
            let place = Place::new(&file, start..end);
            assert!(!place.to_string().is_empty() && place.excerpt().contains('^'));
        }
    }
}
