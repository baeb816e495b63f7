//! Text of others on the user's terminal.

/// `text` with its control characters shown, not sent to the terminal: it may come from a peer.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown() {
        assert_eq!(printable("a\x1b[2J\n\u{9b}\u{7f}é"), "a\\u{1b}[2J\\n\\u{9b}\\u{7f}é");
    }
}
