//! What holds for any text.

use proptest::prelude::*;

use super::*;
use crate::config::table::rows;

/// Lines as they might stand in a file: keys of ours and of nobody, values of all types.
fn line() -> impl Strategy<Value = String> {
    let keys: Vec<_> = rows().map(|row| row.key).chain(["listener", "x"]).collect();
    let value = prop_oneof![
        "\"[a-z0-9.:/ ]{0,9}\"",
        "'[^'\\r\\n]{0,9}'",
        "-?[0-9]{1,25}",
        "[0-9]{1,3}\\.[0-9e]{1,3}",
        Just("[[1, 2], {}]".to_owned()),
        Just("{ a = true }".to_owned()),
        Just("1979-05-27".to_owned()),
        Just("false".to_owned()),
        "\\PC{0,9}",
    ];
    prop_oneof![
        4 => (prop::sample::select(keys), value)
            .prop_map(|(key, value)| format!("{key} = {value}")),
        1 => Just("[[listener]]".to_owned()),
        1 => Just("listen = '127.0.0.1:0'".to_owned()),
        1 => "\\PC{0,20}",
    ]
}

/// Reads it, and shows what came of it.
fn read(bytes: Vec<u8>) {
    let told = match sources(&[], &[]).unwrap().settings_with(Some(bytes)) {
        Ok(settings) => settings.to_toml(),
        Err(error) => error.report(),
    };
    assert!(!told.is_empty());
}

proptest! {
    #[test]
    fn no_bytes_are_too_odd_for_a_file(bytes: Vec<u8>) {
        read(bytes);
    }

    #[test]
    fn no_text_is_too_odd_for_a_file(text in "(?s).*") {
        read(text.into());
    }

    #[test]
    fn no_lines_are_too_odd_for_a_file(lines in prop::collection::vec(line(), 0..12)) {
        read(lines.join("\n").into());
    }

    #[test]
    fn no_text_is_too_odd_for_a_value(text in "\\PC*|[0-9.]{0,20}[%a-zA-Z/:]{0,9}") {
        for row in rows() {
            let _ = (row.check)(&text);
            let toml = row.toml(&text);
            let line = toml.lines().count();
            prop_assert!(line <= 1 || toml.contains("\"\"\"") || toml.contains("'''"), "{toml}");
        }
    }
}
