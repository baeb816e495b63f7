//! Texts as roff(7) has them: what is to be typed in bold, what stands for something in italics, and
//! nothing that means something else there.

use std::fmt::Write as _;

use roff::{Inline, bold, italic, roman};

/// What stands for something, in italics: ` [<WHAT>]`, `[FRAME]...`.
pub(super) fn placeholders(text: &str) -> Vec<Inline> {
    let is_name = |c: char| c.is_ascii_uppercase() || c == '|' || c == '/';
    let mut inlines = Vec::new();
    for piece in text.replace(['<', '>'], "\0").split('\0') {
        let mut rest = piece;
        while !rest.is_empty() {
            let name = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
            if name > 0 {
                inlines.push(italic(&rest[..name]));
            }
            rest = &rest[name..];
            let other = rest.find(is_name).unwrap_or(rest.len());
            if other > 0 {
                inlines.push(roman(&rest[..other]));
            }
            rest = &rest[other..];
        }
    }
    inlines
}

/// Running text, in which flags and what stands in backquotes are to be typed.
pub(super) fn marked(text: &str) -> Vec<Inline> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut inlines = Vec::new();
    for (number, piece) in text.split('`').enumerate() {
        if number % 2 == 1 {
            inlines.push(bold(piece));
            continue;
        }
        for word in piece.split_inclusive([' ', '(']) {
            let is_in_flag = |c: char| c.is_ascii_alphanumeric() || c == '-';
            let end = word.find(|c| !is_in_flag(c)).unwrap_or(word.len());
            let is_flag = word.starts_with('-') && word[..end].contains(|c: char| c != '-');
            let (flag, rest) = word.split_at(if is_flag { end } else { 0 });
            if is_flag {
                inlines.push(bold(flag));
            }
            match inlines.last_mut() {
                Some(Inline::Roman(text)) => text.push_str(rest),
                _ => inlines.push(roman(rest)),
            }
        }
    }
    inlines
}

/// The same page in ASCII, which every roff reads; and the characters that some of them would
/// print as others.
pub(super) fn ascii(page: &str) -> String {
    let mut ascii = String::with_capacity(page.len());
    for c in page.chars() {
        match c {
            '~' => ascii.push_str("\\(ti"),
            '^' => ascii.push_str("\\(ha"),
            '`' => ascii.push_str("\\(ga"),
            _ if c.is_ascii() => ascii.push(c),
            // Writing to a string can't fail.
            _ => drop(write!(ascii, "\\[u{:04X}]", u32::from(c))),
        }
    }
    ascii
}

#[cfg(test)]
mod tests {
    use roff::Roff;

    use super::*;

    fn rendered(inlines: Vec<Inline>) -> String {
        ascii(&Roff::new().text(inlines).to_roff())
    }

    #[test]
    fn flags_and_what_is_in_backquotes_are_to_be_typed() {
        let cases = [
            (
                "with --no-hello, or `volley ping`",
                "with \\fB\\-\\-no\\-hello\\fR, or \\fBvolley ping\\fR\n",
            ),
            ("(-c and -w)", "(\\fB\\-c\\fR and \\fB\\-w\\fR)\n"),
            ("- is stdin, @- too; 1 - 2", "\\- is stdin, @\\- too; 1 \\- 2\n"),
            ("two\nlines\n  of it", "two lines of it\n"),
        ];
        for (text, expected) in cases {
            assert_eq!(rendered(marked(text)), expected, "{text}");
        }
    }

    #[test]
    fn what_stands_for_something_is_in_italics() {
        let cases = [
            ("[FRAME]...", "[\\fIFRAME\\fR]...\n"),
            (" [<WHAT>]", " [\\fIWHAT\\fR]\n"),
            (" <TEXT|/REGEX/>", " \\fITEXT|/REGEX/\\fR\n"),
        ];
        for (text, expected) in cases {
            assert_eq!(rendered(placeholders(text)), expected, "{text}");
        }
    }

    #[test]
    fn nothing_in_a_text_means_something_to_roff() {
        let cases = [
            (".TH is no request", "\\&.TH is no request\n"),
            ("Ctrl-\\", "Ctrl\\-\\\\\n"),
            ("~ ^ … µs", "\\(ti \\(ha \\[u2026] \\[u00B5]s\n"),
        ];
        for (text, expected) in cases {
            assert_eq!(rendered(marked(text)), expected, "{text}");
        }
    }
}
