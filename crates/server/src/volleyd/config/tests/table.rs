//! Whether the table of settings is whole.

use std::collections::BTreeSet;

use crate::config::row::{Form, Row};
use crate::config::table::{ListenerSettings, NAME, ProcessSettings, SectionSettings, rows};

#[test]
fn no_two_settings_share_a_name_where_both_can_be_written() {
    for place in [Row::is_general, Row::is_for_sections] {
        let mut keys = BTreeSet::new();
        for row in rows().filter(|row| place(row)) {
            assert!(keys.insert(row.key), "{} twice", row.key);
        }
    }
    let variables: BTreeSet<_> = rows().filter(|row| row.is_general()).map(Row::variable).collect();
    assert_eq!(variables.len(), rows().filter(|row| row.is_general()).count());
}

#[test]
fn rows_are_whole_and_their_defaults_and_examples_are_good() {
    for row in rows() {
        let Row { key, default, example, brief, help, form, .. } = row;
        let is_name = |c: char| c.is_ascii_lowercase() || c == '-';
        assert!(!key.is_empty() && key.chars().all(is_name), "{key}");
        assert!(!help.is_empty() && !help.ends_with('.') && !help.contains("  "), "{key}: {help}");
        assert_eq!(!brief.is_empty(), row.is_general(), "{key}: {brief}");
        assert_eq!((row.check)(example), Ok(()), "{key}");
        if *key != NAME.key {
            assert_eq!((row.check)(default), Ok(()), "{key}");
        }
        let takes_off = row.takes_off || *form == Form::Switch || ["log", "name"].contains(key);
        assert_eq!((row.check)("off").is_ok(), takes_off, "{key}");
        if let Form::WithUnit(unit) = form {
            assert!((row.check)(&format!("1{unit}")).is_ok(), "{key}");
            assert!((row.check)("1").is_err(), "{key}");
        }
    }
}

#[test]
fn what_a_value_shows_reads_as_the_same() {
    let mut shown = ProcessSettings::resolve(&[]).unwrap().shown().len();
    shown += ListenerSettings::resolve(&[]).unwrap().shown().len();
    shown += SectionSettings::resolve(&[]).unwrap().shown().len();
    // All but `listen` and `name`.
    assert_eq!(shown, rows().count() - 2);
    let process = ProcessSettings::resolve(&[]).unwrap();
    let listener = ListenerSettings::resolve(&[]).unwrap();
    for shown in process.shown().into_iter().chain(listener.shown()) {
        assert_eq!(shown.text, shown.row.default, "{}", shown.row.key);
    }
}
