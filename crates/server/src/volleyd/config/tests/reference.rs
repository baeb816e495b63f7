//! The reference of settings in docs/OPERATING.md.

use super::good;
use crate::config::row::{Row, Scope};
use crate::config::table::rows;
use crate::docs;

/// All that is known of each setting, in Markdown.
fn reference() -> String {
    let head = "\
Each has one name: `idle-timeout` in the file, `--idle-timeout` as a flag, `VOLLEYD_IDLE_TIMEOUT` in
the environment.

| setting | default | for example | in a section | reload | what it is |
|---|---|---|---|---|---|
";
    let line = |row: &Row| {
        let Row { key, default, example, help, .. } = row;
        let default = if default.is_empty() { "none" } else { &format!("`{default}`") };
        let section = match row.scope {
            Scope::Process => "",
            Scope::Listener => "yes",
            Scope::Section => "only there",
        };
        let reload = if row.reloadable { "yes" } else { "" };
        format!("| `{key}` | {default} | `{example}` | {section} | {reload} | {help} |\n")
    };
    rows().map(line).fold(head.to_owned(), |text, line| text + &line)
}

#[test]
fn each_setting_has_its_line() {
    let reference = reference();
    let lines = reference.lines().filter(|line| line.starts_with("| `"));
    assert_eq!(lines.clone().count(), rows().count());
    // A bar would end the column.
    assert!(lines.clone().all(|line| line.matches('|').count() == 7), "{reference}");
    docs::keep("settings", &reference);
}

#[test]
fn the_example_can_be_used() {
    let (_, example) = docs::OPERATING.split_once("```toml\n").unwrap();
    let settings = good(example.split_once("```").unwrap().0);
    let titles: Vec<_> = settings.listeners.iter().map(|listener| listener.title()).collect();
    assert_eq!(titles, ["public", "inside"]);
}
