//! A few rows of the terminal, drawn in place below what stands there already.
//!
//! ```text
//!   $ volley-load run          <- whatever was there, never touched
//!   _sending   12 s of 60 s    <- the cursor rests here between frames, on an empty cell
//!    rate      50,000 frames/s
//!    ...
//! ```
//!
//! ratatui's own inline viewport asks the terminal where the cursor is. That question goes to stdout
//! and its answer comes on stdin, and neither is ours. So nothing is known here of where on the
//! screen the view is: each frame is complete, begins and ends on the view's first row, and moves
//! from row to row. Line breaks move down, because they make room at the end of the screen. That way
//!
//! - a frame that was lost is not missed,
//! - the view can be erased, or overwritten by a shell after a crash, from where the cursor is,
//! - a terminal that breaks rows anew when it becomes narrower does so below the cursor.

use std::fmt::Write;

use anstyle::Style;
use ratatui_core::buffer::{Buffer, Cell};
use ratatui_core::style::Color;

/// Erases the view, whatever its height. The cursor stays where its first row was.
pub(super) const ERASE: &[u8] = b"\r\x1b[J";

const HIDE_CURSOR: &str = "\x1b[?25l";
const SHOW_CURSOR: &str = "\x1b[?25h";
const ERASE_REST_OF_ROW: &str = "\x1b[K";
const ERASE_REST_OF_SCREEN: &str = "\x1b[J";

/// The bytes that draw `view`, in place of the one drawn before. The cursor must be where that one
/// left it; what it shows is overwritten rather than erased first, so that nothing flickers.
///
/// The view must be narrower than the screen by at least a column: behind a full row terminals do
/// not agree where the cursor is.
pub(super) fn frame(view: &Buffer) -> Vec<u8> {
    if view.area.is_empty() {
        return Vec::new();
    }
    let mut text = format!("{HIDE_CURSOR}\r");
    let rows = view.content.chunks(view.area.width.into());
    for (index, row) in rows.enumerate() {
        if index > 0 {
            text.push_str(ERASE_REST_OF_ROW);
            text.push_str("\r\n");
        }
        push_row(&mut text, row);
    }
    text.push_str(ERASE_REST_OF_SCREEN);
    if view.area.height > 1 {
        // Writing to a string does not fail.
        let _ = write!(text, "\x1b[{}A", view.area.height - 1);
    }
    text.push('\r');
    text.push_str(SHOW_CURSOR);
    text.into_bytes()
}

/// The text of a row without the blanks at its end, which are erased instead: a terminal that gets
/// narrower breaks only rows that are full.
fn push_row(text: &mut String, row: &[Cell]) {
    let len = row.iter().rposition(|cell| *cell != Cell::EMPTY).map_or(0, |last| last + 1);
    let mut now = Style::new();
    for cell in &row[..len] {
        let next = style(cell);
        if next != now {
            let _ = write!(text, "{now:#}{next}");
            now = next;
        }
        text.push_str(cell.symbol());
    }
    let _ = write!(text, "{now:#}");
}

fn style(cell: &Cell) -> Style {
    let colour = |colour: Color| (colour != Color::Reset).then(|| colour.into());
    Style::new().fg_color(colour(cell.fg)).bg_color(colour(cell.bg)).effects(cell.modifier.into())
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use ratatui_core::style::Stylize;
    use ratatui_core::text::Line;
    use vt100::Parser;

    use super::*;

    const COLUMNS: u16 = 20;
    const ROWS: u16 = 10;

    fn size(rows: u16, columns: u16) -> (NonZeroU16, NonZeroU16) {
        (rows.try_into().unwrap(), columns.try_into().unwrap())
    }

    /// A terminal with the text of `lines` lines on it and the cursor below.
    fn terminal(lines: u16) -> Parser {
        let (rows, columns) = size(ROWS, COLUMNS);
        let mut terminal = Parser::new(rows, columns, 100);
        for line in 1..=lines {
            terminal.process(format!("before {line}\r\n").as_bytes());
        }
        terminal
    }

    fn before(lines: u16) -> Vec<String> {
        (1..=lines).map(|line| format!("before {line}")).collect()
    }

    /// All rows that the terminal has ever shown, without the empty ones at the end.
    fn transcript(terminal: &mut Parser) -> Vec<String> {
        let screen = terminal.screen_mut();
        let (rows, columns) = screen.size();
        let mut all: Vec<String> = Vec::new();
        for offset in (1..=screen.scrollback_len()).rev() {
            screen.set_scrollback(offset);
            all.extend(screen.rows(0, columns.get()).next());
        }
        screen.set_scrollback(0);
        all.extend(screen.rows(0, columns.get()).take(rows.get().into()));
        while all.last().is_some_and(String::is_empty) {
            all.pop();
        }
        all
    }

    fn view(text: &[&'static str]) -> Buffer {
        Buffer::with_lines(text.iter().copied())
    }

    #[test]
    fn a_view_stands_below_what_was_there_and_is_erased_without_a_trace() {
        // From an empty screen to one that had to scroll already; the view ends at, above and
        // below the last row.
        for lines in 0..ROWS + 5 {
            let mut terminal = terminal(lines);
            for text in [["one", "two", "three"], ["1", "two too", ""], ["", "", "3"]] {
                terminal.process(&frame(&view(&text)));
                let mut expected = before(lines);
                expected.extend(text.map(str::to_owned));
                while expected.last().is_some_and(String::is_empty) {
                    expected.pop();
                }
                assert_eq!(transcript(&mut terminal), expected, "{lines} lines before");
            }
            terminal.process(ERASE);
            assert_eq!(transcript(&mut terminal), before(lines), "{lines} lines before");
            terminal.process(b"after");
            let mut expected = before(lines);
            expected.push("after".to_owned());
            assert_eq!(transcript(&mut terminal), expected, "{lines} lines before");
        }
    }

    #[test]
    fn a_view_as_high_as_the_screen_fits() {
        let mut terminal = terminal(3);
        let rows: Vec<String> = (1..=ROWS).map(|row| format!("row {row}")).collect();
        let mut expected = before(3);
        expected.extend(rows.clone());
        for _ in 0..3 {
            terminal.process(&frame(&Buffer::with_lines(rows.clone())));
            assert_eq!(transcript(&mut terminal), expected);
        }
        terminal.process(ERASE);
        assert_eq!(transcript(&mut terminal), before(3));
    }

    #[test]
    fn a_view_that_became_lower_leaves_nothing_behind() {
        let mut terminal = terminal(2);
        terminal.process(&frame(&view(&["one", "two", "three"])));
        terminal.process(&frame(&view(&["one"])));
        assert_eq!(transcript(&mut terminal), ["before 1", "before 2", "one"]);
    }

    #[test]
    fn frames_that_were_lost_are_not_missed() {
        let mut terminal = terminal(ROWS);
        let _lost = frame(&view(&["one"]));
        terminal.process(&frame(&view(&["one", "two", "three"])));
        let _lost = frame(&view(&["one", "two"]));
        terminal.process(&frame(&view(&["1", "2"])));
        let mut expected = before(ROWS);
        expected.extend(["1".to_owned(), "2".to_owned()]);
        assert_eq!(transcript(&mut terminal), expected);
    }

    #[test]
    fn a_message_of_others_stays_above_the_view() {
        let mut terminal = terminal(ROWS);
        let text = view(&["one", "two", "three"]);
        terminal.process(&frame(&text));
        terminal.process(b"message\r\n");
        terminal.process(&frame(&text));
        let mut expected = before(ROWS);
        expected.extend(["message", "one", "two", "three"].map(str::to_owned));
        assert_eq!(transcript(&mut terminal), expected);
    }

    #[test]
    fn a_screen_that_changed_its_size_shows_the_view_once() {
        for (rows, columns) in [(ROWS, 10), (ROWS, 40), (5, COLUMNS), (20, COLUMNS)] {
            let mut terminal = terminal(2);
            terminal.process(&frame(&view(&["one is quite long", "two", "three"])));
            let (rows, columns) = size(rows, columns);
            terminal.set_size(rows, columns);
            terminal.process(&frame(&view(&["one", "two", "three"])));
            let expected = ["before 1", "before 2", "one", "two", "three"];
            assert_eq!(transcript(&mut terminal), expected, "{rows} rows, {columns} columns");
        }
    }

    #[test]
    fn the_cursor_is_seen_and_rests_at_the_beginning_of_the_view() {
        let mut terminal = terminal(4);
        terminal.process(&frame(&view(&["one", "two", "three"])));
        assert!(!terminal.screen().hide_cursor());
        assert_eq!(terminal.screen().cursor_position(), (4, 0));
        terminal.process(ERASE);
        assert!(!terminal.screen().hide_cursor());
        assert_eq!(terminal.screen().cursor_position(), (4, 0));
    }

    #[test]
    fn colours_end_where_they_should() {
        let mut terminal = terminal(0);
        let line = Line::from(vec!["a".red(), "b".bold(), "c".into(), "d".on_blue()]);
        terminal.process(&frame(&Buffer::with_lines([line, Line::from("e")])));
        terminal.process(b"\r\n\n!");
        let cell = |row, column| terminal.screen().cell(row, column).unwrap();
        let plain = vt100::Color::Default;
        let found: Vec<_> = [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (2, 0)]
            .map(|(row, column)| cell(row, column))
            .map(|cell| (cell.contents(), cell.fgcolor(), cell.bold(), cell.bgcolor()))
            .to_vec();
        assert_eq!(
            found,
            [
                ("a", vt100::Color::Idx(1), false, plain),
                ("b", plain, true, plain),
                ("c", plain, false, plain),
                ("d", plain, false, vt100::Color::Idx(4)),
                ("e", plain, false, plain),
                ("!", plain, false, plain),
            ]
        );
    }

    #[test]
    fn nothing_is_asked_of_the_terminal() {
        let bytes = frame(&view(&["one", "two"]));
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text, "\x1b[?25l\rone\x1b[K\r\ntwo\x1b[J\x1b[1A\r\x1b[?25h");
    }

    #[test]
    fn a_view_without_a_cell_is_no_bytes() {
        assert_eq!(frame(&Buffer::default()), b"");
    }
}
