//! What a misspelt name was meant to be.

/// A longer word is no slip of a finger, and its distance to every name would take long.
const LONGEST: usize = 64;

/// The one of `names` that is the fewest slips of a finger away from `word`, if they are few for
/// its length. Case, and `_` for `-`, are no slips.
pub fn suggest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > LONGEST {
        return None;
    }
    let plain = |name: &str| name.to_ascii_lowercase().replace('_', "-");
    let word = plain(word);
    names
        .into_iter()
        .map(|name| (strsim::osa_distance(&word, &plain(name)), name))
        .min()
        .filter(|(slips, name)| slips * 3 <= name.len())
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_seen_through_and_a_guess_not_made() {
        let names = ["idle-timeout", "frame-timeout", "log", "drain"];
        let cases = [
            ("idle-timout", Some("idle-timeout")),
            ("idle_timeout", Some("idle-timeout")),
            ("IDLE-TIMEOUT", Some("idle-timeout")),
            ("fram-timeotu", Some("frame-timeout")),
            ("lgo", Some("log")),
            ("darin", Some("drain")),
            ("port", None),
            ("", None),
        ];
        for (word, expected) in cases {
            assert_eq!(suggest(word, names), expected, "{word}");
        }
        assert_eq!(suggest(&"idle-timeout".repeat(1000), names), None);
    }
}
