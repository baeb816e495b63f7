//! Bytes for people: in hexadecimal, with the characters beside them.
//!
//! ```text
//! 00000010  68 65 6c 6c 6f 0a                                |hello.|
//! ```

use std::fmt::Write as _;

use bytes::Bytes;

/// Bytes in a row.
pub(crate) const ROW: usize = 16;

/// Rows of a payload that are shown where not all of it is.
const FEW: usize = 4;

/// The row of at most [`ROW`] bytes that begins at `offset`, without a newline.
pub(crate) fn row(bytes: &[u8], offset: usize) -> String {
    let row = &bytes[offset..bytes.len().min(offset + ROW)];
    let mut shown = format!("{offset:08x} ");
    for byte in row {
        // A String takes whatever is written to it.
        let _ = write!(shown, " {byte:02x}");
    }
    let characters: String = row.iter().map(|&byte| visible(byte)).collect();
    let missing = 3 * (ROW - row.len()) + 2;
    let _ = write!(shown, "{:missing$}|{characters}|", "");
    shown
}

/// All rows, each behind `margin` and with a newline.
pub(crate) fn all_rows(bytes: &[u8], margin: &str) -> String {
    let rows = (0..bytes.len()).step_by(ROW);
    rows.map(|offset| format!("{margin}{}\n", row(bytes, offset))).collect()
}

/// What came, beside what should have come if that is known.
pub(crate) fn comparison(due: Option<&Bytes>, received: &[u8]) -> String {
    match due {
        Some(due) => difference(due, received),
        None => few_rows("received", received, 0),
    }
}

/// What should have come and what came, around the first byte in which they differ.
fn difference(due: &[u8], received: &[u8]) -> String {
    let equal = due.iter().zip(received).take_while(|(a, b)| a == b).count();
    // A row before it, to find one's way.
    let start = (equal / ROW).saturating_sub(1) * ROW;
    few_rows("expected", due, start) + &few_rows("received", received, start)
}

/// A few rows from `start` on, behind a name, and how many bytes there are beyond.
fn few_rows(name: &str, bytes: &[u8], start: usize) -> String {
    let end = bytes.len().min(start + FEW * ROW);
    let mut shown = String::new();
    let mut name = name;
    for offset in (start..end).step_by(ROW) {
        let _ = writeln!(shown, "  {name:9} {}", row(bytes, offset));
        name = "";
    }
    if end == bytes.len() {
        let _ = writeln!(shown, "  {name:9} {end:08x}");
    } else {
        let _ = writeln!(shown, "  {name:9} … {} bytes in all", bytes.len());
    }
    shown
}

/// The character that a byte is in ASCII, or a dot.
fn visible(byte: u8) -> char {
    if byte.is_ascii_graphic() || byte == b' ' { char::from(byte) } else { '.' }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_look_like_those_of_hexdump() {
        let bytes: Vec<u8> = (0x1c..0x3d).collect();
        let expected = "\
            > 00000000  1c 1d 1e 1f 20 21 22 23 24 25 26 27 28 29 2a 2b  |.... !\"#$%&'()*+|\n\
            > 00000010  2c 2d 2e 2f 30 31 32 33 34 35 36 37 38 39 3a 3b  |,-./0123456789:;|\n\
            > 00000020  3c                                               |<|\n";
        assert_eq!(all_rows(&bytes, "> "), expected);
        assert_eq!(all_rows(b"", "> "), "");
        assert_eq!(row(b"\x7f\xff", 0).split_once('|').unwrap().1, "..|");
    }

    #[test]
    fn a_difference_is_shown_with_a_row_before_it() {
        let due: Vec<u8> = (0..200).collect();
        let mut received = due.clone();
        received[40] = 0xee;
        let shown = difference(&due, &received);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), 10, "{shown}");
        assert!(lines[0].starts_with("  expected  00000010  10 11"), "{shown}");
        assert_eq!(lines[4], "            … 200 bytes in all");
        assert!(lines[6].starts_with("            00000020  20 21 22 23 24 25 26 27 ee 29"));
    }

    #[test]
    fn one_that_is_shorter_ends_sooner() {
        let expected = "\
            \x20 expected  00000000  68 69                                            |hi|\n\
            \x20           00000002\n\
            \x20 received  00000000\n";
        assert_eq!(difference(b"hi", b""), expected);
        // It ends before the row with which the other begins.
        let shown = difference(&[7; 64], &[7; 3]);
        assert!(shown.contains("  received  00000000  07 07 07"), "{shown}");
        let shown = difference(&[7; 64], &[7; 47]);
        assert!(shown.contains("  received  00000010  07 "), "{shown}");
    }
}
