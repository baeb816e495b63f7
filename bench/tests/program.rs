//! Runs the program as a user does. How fast anything is plays no part here.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, in its helpers too")]

use std::process::{Command, Output};

const PROGRAM: &str = env!("CARGO_BIN_EXE_volley-bench");

/// Every wait inside the program has a limit of its own, so this ends.
fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The cells of a line of a table; none of another line.
fn cells(line: &str) -> Vec<&str> {
    let inside = line.strip_prefix('|').and_then(|line| line.strip_suffix('|'));
    inside.map_or_else(Vec::new, |line| line.split('|').map(str::trim).collect())
}

fn rows(output: &Output) -> Vec<Vec<String>> {
    let owned = |line| cells(line).into_iter().map(str::to_owned).collect();
    stdout(output).lines().map(owned).collect()
}

#[test]
fn compares_servers_under_each_load_of_the_grid() {
    let other = format!("again={PROGRAM} framed-echo --port {{port}}");
    let output = run(&[
        "server",
        "--daemon",
        "none",
        "--grid",
        "2,2,64 1,3,0",
        "--rounds",
        "1",
        "--seconds",
        "0.1",
        "--other",
        &other,
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    let rows = rows(&output);
    let heads = [
        "connections",
        "pipeline",
        "size",
        "raw-echo/s",
        "framed-echo/s",
        "ratio",
        "again/s",
        "ratio",
    ];
    assert_eq!(rows[0], heads);
    assert_eq!(rows[2][..3], ["2", "2", "64"]);
    assert_eq!(rows[3][..3], ["1", "3", "0"]);
    for row in &rows[2..4] {
        assert_eq!(row.len(), heads.len());
        for cell in &row[3..] {
            let number: f64 = cell.replace(',', "").parse().unwrap();
            assert!(number.is_finite(), "{cell}");
        }
    }
    assert_eq!(rows[5][1..], ["geometric mean of the ratios", "lowest"]);
    assert_eq!(rows[7][0], "framed-echo");
    assert_eq!(rows[8][0], "again");
    assert_eq!(rows.len(), 9);
}

#[test]
fn moves_batches_that_fit_into_no_socket() {
    let grid = ["--grid", "2,32,1048576", "--rounds", "1", "--seconds", "0.1"];
    let output = run(&[&["server", "--daemon", "none"], &grid[..]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(rows(&output)[2][..3], ["2", "32", "1048576"]);
}

#[test]
fn tells_the_memory_of_idle_connections() {
    let output = run(&["idle", "--daemon", "none", "--connections", "20"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let rows = rows(&output);
    assert_eq!(
        rows[0],
        ["server", "connections", "bytes before", "bytes after", "bytes per connection"]
    );
    assert_eq!(rows[2][..2], ["framed-echo", "20"]);
    assert_eq!(rows.len(), 3);
}

#[test]
fn says_how_to_build_a_daemon_that_is_missing() {
    let output = run(&["server", "--daemon", "/nonexistent/volleyd"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("cargo build --release"), "{}", stderr(&output));
    assert!(output.stdout.is_empty());
}

#[test]
fn quotes_a_server_that_ends_instead_of_listening() {
    let dying = "dying=sh -c 'echo out of luck >&2; exit 3' {port}";
    let grid = ["--grid", "1,1,64", "--rounds", "1", "--seconds", "0.01"];
    let output = run(&[&["server", "--daemon", "none", "--other", dying], &grid[..]].concat());
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    for part in ["dying", "exit status: 3", "out of luck"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn names_a_command_that_does_not_exist() {
    let grid = ["--grid", "1,1,64", "--rounds", "1", "--seconds", "0.01"];
    let other = ["--other", "gone=/nonexistent/echo {port}"];
    let output = run(&[&["server", "--daemon", "none"], &other[..], &grid[..]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("cannot run /nonexistent/echo"), "{}", stderr(&output));
}

#[test]
fn refuses_a_wrong_command_line() {
    for arguments in [
        &["server", "--grid", "1,1"][..],
        &["server", "--rounds", "0"],
        &["server", "--seconds", "0"],
        &["server", "--other", "go=./echo"],
        &["server", "--daemon-args", "'--reply"],
        &["idle", "--connections", "0"],
        &[],
    ] {
        assert_eq!(run(arguments).status.code(), Some(2), "{arguments:?}");
    }
}
