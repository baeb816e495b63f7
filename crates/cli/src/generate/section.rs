//! Sections of a manual page: of help texts, which are written in tables of two columns, or of what
//! a program knows beyond them.

use crate::help::is_heading;

/// What separates two columns.
const GAP: &str = "  ";

/// A section of a manual page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// In capitals.
    pub title: String,
    /// What stands in it.
    pub entries: Vec<Entry>,
}

/// A piece of a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Running text.
    Paragraph(String),
    /// Lines to type that speak for themselves.
    Lines(Vec<String>),
    /// A word, a line to type, or the like, and what it means.
    Item {
        /// The word.
        term: String,
        /// What it means.
        meaning: String,
    },
}

impl Section {
    /// A section of items: words and what they mean.
    pub fn of_items<T: Into<String>, M: Into<String>>(
        title: &str,
        items: impl IntoIterator<Item = (T, M)>,
    ) -> Self {
        let item =
            |(term, meaning): (T, M)| Entry::Item { term: term.into(), meaning: meaning.into() };
        Self { title: title.to_owned(), entries: items.into_iter().map(item).collect() }
    }

    /// The sections of a help text:
    ///
    /// ```text
    /// Examples:
    ///   volley send hello      one frame
    ///   volley send -v a b c   three frames, and a text that goes on
    ///                          in its column
    ///   volley ping
    /// ```
    ///
    /// A heading may have a remark behind a comma. What stands below no heading is taken for notes.
    pub(super) fn read(help: &str) -> Vec<Self> {
        help.split("\n\n").filter_map(Self::read_block).collect()
    }

    fn read_block(block: &str) -> Option<Self> {
        let (first, rest) = block.trim_matches('\n').split_once('\n').unwrap_or((block, ""));
        if !is_heading(first) {
            let words: Vec<_> = block.split_whitespace().collect();
            let entries = vec![Entry::Paragraph(words.join(" "))];
            return (!words.is_empty()).then(|| Self { title: "NOTES".to_owned(), entries });
        }
        let heading = first.trim_end_matches(':');
        let (title, remark) = heading.split_once(", ").unwrap_or((heading, ""));
        let title = match title {
            // What manual pages call them.
            "Exit codes" => "EXIT STATUS".to_owned(),
            title => title.to_uppercase(),
        };
        let margin = rest.lines().map(indent).min().unwrap_or_default();
        let mut entries = Vec::new();
        if let Some(first) = remark.get(..1) {
            entries.push(Entry::Paragraph(format!("{}{}.", first.to_uppercase(), &remark[1..])));
        }
        for line in rest.lines() {
            match (line.trim().split_once(GAP), entries.last_mut()) {
                (_, Some(Entry::Item { meaning, .. })) if indent(line) > margin => {
                    *meaning = format!("{meaning} {}", line.trim());
                }
                (Some((term, meaning)), _) => {
                    let (term, meaning) = (term.to_owned(), meaning.trim_start().to_owned());
                    entries.push(Entry::Item { term, meaning });
                }
                (None, Some(Entry::Lines(lines))) => lines.push(line.trim().to_owned()),
                (None, _) => entries.push(Entry::Lines(vec![line.trim().to_owned()])),
            }
        }
        Some(Self { title, entries })
    }
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_becomes_a_section_with_its_columns() {
        let help = "\
Examples:
  tool go -v        with a text that
                    goes on
  tool stay put
  tool sit

Exit codes, of several the highest:
  0      done
  1, 2   not";
        let mut examples =
            Section::of_items("EXAMPLES", [("tool go -v", "with a text that goes on")]);
        let lines = ["tool stay put", "tool sit"].map(str::to_owned).to_vec();
        examples.entries.push(Entry::Lines(lines));
        let mut codes = Section::of_items("EXIT STATUS", [("0", "done"), ("1, 2", "not")]);
        codes.entries.insert(0, Entry::Paragraph("Of several the highest.".to_owned()));
        assert_eq!(Section::read(help), [examples, codes]);
    }

    #[test]
    fn what_has_no_heading_is_a_note() {
        let note = |text: &str| Entry::Paragraph(text.to_owned());
        let section = |text: &str| Section { title: "NOTES".to_owned(), entries: vec![note(text)] };
        let expected = [section("Two lines of it."), section("see this: and that")];
        assert_eq!(Section::read("Two lines\nof it.\n\nsee this:\nand that\n\n\n"), expected);
    }
}
