//! The manual pages: whether they say all that the help says, in a roff that nobody complains about.

use std::collections::BTreeSet;

use volley_tests::{is_missing, run};

use crate::{command_lines, flags, generated, help, other};

/// The page of a command line.
async fn page(line: &[String]) -> String {
    let kind = line.get(1).map_or("man".to_owned(), |command| format!("man-{command}"));
    generated(&line[0], &kind).await
}

/// The page without its marks, a line for each of its own.
fn plain(page: &str) -> String {
    let marks = [
        ("\\fB", ""),
        ("\\fI", ""),
        ("\\fR", ""),
        ("\\&", ""),
        ("\\-", "-"),
        ("\\*(Aq", "'"),
        ("\\\\", "\\"),
    ];
    marks.iter().fold(page.to_owned(), |page, (mark, character)| page.replace(mark, character))
}

/// A section of a page without its marks.
fn section<'a>(plain: &'a str, title: &str) -> &'a str {
    let quoted = if title.contains(' ') { &format!("\"{title}\"") } else { title };
    let (_, rest) = plain.split_once(&format!("\n.SH {quoted}\n")).unwrap_or_else(|| {
        panic!("no {title}: {plain}");
    });
    rest.split("\n.SH ").next().unwrap()
}

#[tokio::test]
async fn all_flags_examples_and_exit_codes_are_on_the_pages() {
    for line in command_lines().await {
        let plain = plain(&page(&line).await);
        let options = section(&plain, "OPTIONS");
        let terms: BTreeSet<_> = options
            .lines()
            .flat_map(|line| line.split([' ', ',', '.']))
            .map(str::to_owned)
            .collect();
        let missing: Vec<_> = flags(&line).await.difference(&terms).cloned().collect();
        assert!(missing.is_empty(), "{line:?}: {missing:?}");
        let help = help(&line, "--help", "100").await;
        for (heading, title) in [("Examples", "EXAMPLES"), ("Exit codes", "EXIT STATUS")] {
            let Some((_, table)) = help.split_once(&format!("\n{heading}")) else {
                assert_eq!((&*line.concat(), heading), ("volley", "Exit codes"));
                continue;
            };
            let (_, table) = table.split("\n\n").next().unwrap().split_once(":\n").unwrap();
            let rows = table.lines().filter(|row| !row.starts_with("   "));
            let section = section(&plain, title);
            for row in rows {
                let term = row.trim().split("  ").next().unwrap();
                assert!(section.lines().any(|line| line == term), "{line:?}: {term}: {section}");
            }
        }
    }
}

#[tokio::test]
async fn the_page_of_the_daemon_has_variables_files_signals_and_where_to_read_on() {
    let line = ["volleyd".to_owned()];
    let page = page(&line).await;
    assert!(page.contains("\n.TH VOLLEYD 8 "), "{page}");
    let plain = plain(&page);
    let help = help(&line, "--help", "100").await;
    let variables = help.split("[env: ").skip(1).map(|rest| rest.split(']').next().unwrap());
    let section_of_variables = section(&plain, "ENVIRONMENT");
    for variable in variables.chain(["RUST_LOG", "NO_COLOR"]) {
        let variable = variable.trim();
        assert!(section_of_variables.lines().any(|line| line == variable), "{variable}: {plain}");
    }
    assert!(section(&plain, "FILES").contains("--config"));
    for signal in ["SIGTERM, SIGINT", "SIGHUP", "SIGUSR2"] {
        assert!(section(&plain, "SIGNALS").lines().any(|line| line == signal), "{signal}: {plain}");
    }
    assert!(section(&plain, "SEE ALSO").contains("OPERATING.md"));
}

#[tokio::test]
async fn a_page_for_each_command_is_pointed_to() {
    for line in command_lines().await {
        let plain = plain(&page(&line).await);
        let title = line.join("-");
        let number = if line[0] == "volleyd" { 8 } else { 1 };
        assert!(plain.contains(&format!("\n.TH {} {number} ", title.to_uppercase())), "{plain}");
        assert!(section(&plain, "NAME").starts_with(&format!("{title} - ")), "{plain}");
        for other in command_lines().await.iter().filter(|other| other[0] == line[0]) {
            let reference = format!("{}({number})", other.join("-"));
            assert_eq!(section(&plain, "SEE ALSO").contains(&reference), *other != line, "{plain}");
        }
    }
}

#[tokio::test]
async fn nobody_complains_of_a_page() {
    let checkers: [&[&str]; 2] =
        [&["mandoc", "-T", "lint", "-W", "warning"], &["groff", "-man", "-T", "utf8", "-ww"]];
    for checker in checkers {
        if is_missing(checker[0]) {
            continue;
        }
        for line in command_lines().await {
            let page = page(&line).await;
            let ended = run(other(checker[0]).args(&checker[1..]), page.as_bytes()).await;
            assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{line:?}");
            if checker[0] == "mandoc" {
                assert_eq!(String::from_utf8(ended.stdout).unwrap(), "", "{line:?}");
            }
            // Every roff reads it, and what is typed is printed as it is typed.
            assert!(page.is_ascii(), "{line:?}");
        }
    }
}
