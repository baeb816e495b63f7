//! What help looks like.

use volley_tests::{is_missing, run};

use crate::{PROGRAMS, command_lines, help, other, program};

/// The tables of a help text: examples, signals, exit codes.
fn tables(help: &str) -> Vec<&str> {
    let titles =
        ["Examples", "Exit codes", "Keys", "Patterns", "Payloads", "Signals", "Statements"];
    let is_table = |block: &&str| titles.iter().any(|title| block.starts_with(title));
    help.split("\n\n").filter(is_table).collect()
}

#[tokio::test]
async fn examples_come_first() {
    for line in command_lines().await {
        for flag in ["-h", "--help"] {
            let help = help(&line, flag, "100").await;
            let (before, _) = help.split_once("\nUsage: ").unwrap();
            assert!(before.contains("\nExamples:\n  "), "{line:?}: {help}");
        }
    }
}

#[tokio::test]
async fn each_flag_has_a_line_in_the_short_help() {
    for line in command_lines().await {
        let help = help(&line, "-h", "80").await;
        let (_, flags) = help.split_once("\nUsage: ").unwrap();
        let tables = tables(flags);
        let flags = tables.iter().fold(flags.to_owned(), |flags, table| flags.replace(table, ""));
        // A text that goes on is as far to the right as the texts are.
        let broken = flags.lines().find(|line| line.starts_with("        "));
        assert_eq!(broken, None, "{line:?}");
    }
}

#[tokio::test]
async fn no_table_is_broken_in_a_narrow_terminal() {
    for line in command_lines().await {
        let [narrow, wide] =
            [help(&line, "--help", "80").await, help(&line, "--help", "100").await];
        assert!(!tables(&wide).is_empty(), "{line:?}");
        assert_eq!(tables(&narrow), tables(&wide), "{line:?}");
        assert!(wide.lines().all(|line| line.chars().count() <= 100), "{wide}");
    }
}

/// What is said of a program on a terminal.
async fn on_a_terminal(name: &str, no_colour: &str) -> String {
    let path = program(name).as_std().get_program().to_owned();
    let shown = format!("'{}' --help", path.to_str().unwrap());
    let mut command = other("script");
    command.args(["-qec", &shown, "/dev/null"]).env("TERM", "xterm").env("NO_COLOR", no_colour);
    command.env_remove("CLICOLOR");
    String::from_utf8(run(&mut command, b"").await.stdout).unwrap()
}

#[tokio::test]
async fn colours_are_for_terminals_and_for_those_who_want_them() {
    for line in command_lines().await {
        assert!(!help(&line, "--help", "80").await.contains('\x1b'), "{line:?}");
    }
    if is_missing("script") {
        return;
    }
    for name in PROGRAMS {
        let coloured = on_a_terminal(name, "").await;
        // All headings look the same.
        for heading in ["Examples:", "Usage:", "Options:"] {
            assert!(coloured.contains(&format!("\x1b[1m\x1b[4m{heading}\x1b[0m")), "{coloured:?}");
        }
        let plain = on_a_terminal(name, "1").await;
        assert!(plain.contains("Usage:") && !plain.contains('\x1b'), "{plain:?}");
    }
}
