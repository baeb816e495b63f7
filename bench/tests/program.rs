//! Runs the program as a user does. How fast anything is plays no part here.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, in its helpers too")]
#![expect(clippy::print_stdout, reason = "what skips a test says why")]

use std::process::{Command, Output};

const PROGRAM: &str = env!("CARGO_BIN_EXE_volley-bench");

/// The `load` mode, briefly and with nobody but the raw generator.
const LOAD_ALONE: [&str; 11] = [
    "load",
    "--load",
    "none",
    "--without",
    "redis-benchmark,wrk",
    "--grid",
    "1,1,64",
    "--rounds",
    "1",
    "--seconds",
    "0.01",
];

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

fn assert_is_a_figure(cell: &str) {
    let number: f64 = cell.replace(',', "").parse().unwrap();
    assert!(number.is_finite(), "{cell}");
}

/// A line on which the raw load generator stands for somebody else's.
fn raw_load(name: &str) -> String {
    format!("{name}={PROGRAM} raw-load 127.0.0.1:{{port}} {{conns}},{{pipe}},{{size}} 50000000")
}

/// Tells that a test is skipped when `program` can't be started.
fn is_missing(program: &str) -> bool {
    let tried = Command::new(program).arg("--version").output();
    if tried.is_err() {
        println!("skipped: there is no {program}");
    }
    tried.is_err()
}

/// The table of one known generator beside the raw one.
fn compare_with_raw_load(name: &str, others: &str) -> Vec<Vec<String>> {
    let output = run(&[
        "load",
        "--load",
        "none",
        "--without",
        others,
        "--grid",
        "1,1,64 3,5,1000 2,1,0",
        "--rounds",
        "1",
        "--seconds",
        "0.1",
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("a load that this one cannot do"), "{}", stdout(&output));
    let rows = rows(&output);
    let heads = ["connections", "pipeline", "size", "raw-load/s", &format!("{name}/s"), "ratio"];
    assert_eq!(rows[0], heads);
    rows
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
            assert_is_a_figure(cell);
        }
    }
    assert_eq!(rows[5][1..], ["geometric mean of the ratios", "lowest"]);
    assert_eq!(rows[7][0], "framed-echo");
    assert_eq!(rows[8][0], "again");
    assert_eq!(rows.len(), 9);
}

#[test]
fn counts_the_datagrams_that_come_back_apart_and_joined() {
    let grid = ["--grid", "1,64,64 3,5,1000 2,1,0", "--rounds", "1", "--seconds", "0.01"];
    let output = run(&[&["udp", "--daemon", "none"], &grid[..]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let rows: Vec<_> = rows(&output).into_iter().filter(|row| row.len() == 4).collect();
    // Two tables: a head, a line, and the loads.
    assert_eq!(rows.len(), 2 * 5, "{}", stdout(&output));
    for table in rows.chunks(5) {
        assert_eq!(table[0], ["connections", "pipeline", "size", "plain-udp/s"]);
        let loads = [["1", "64", "64"], ["3", "5", "1000"], ["2", "1", "0"]];
        for (row, load) in table[2..].iter().zip(loads) {
            assert_eq!(row[..3], load);
            assert_is_a_figure(&row[3]);
        }
    }
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
fn compares_load_generators_and_leaves_out_what_is_not_installed() {
    let output = Command::new(PROGRAM)
        .args(["load", "--load", "none", "--grid", "2,2,64 1,3,0", "--rounds", "2"])
        .args(["--seconds", "0.05", "--other", &raw_load("again")])
        .env("PATH", "/nonexistent")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    for name in ["redis-benchmark", "wrk"] {
        let line = format!("{name} is not installed");
        assert_eq!(stderr(&output).matches(&line).count(), 1, "{}", stderr(&output));
    }
    let rows = rows(&output);
    let heads = ["connections", "pipeline", "size", "raw-load/s", "again/s", "ratio"];
    assert_eq!(rows[0], heads);
    assert_eq!(rows[2][..3], ["2", "2", "64"]);
    assert_eq!(rows[3][..3], ["1", "3", "0"]);
    for row in &rows[2..4] {
        assert_eq!(row.len(), heads.len());
        for cell in &row[3..] {
            assert_is_a_figure(cell);
        }
    }
    assert_eq!(rows[7][0], "again");
    assert_eq!(rows.len(), 8);
}

#[test]
fn compares_redis_benchmark_where_it_is_installed() {
    if is_missing("redis-benchmark") {
        return;
    }
    let rows = compare_with_raw_load("redis-benchmark", "wrk");
    for row in &rows[2..4] {
        assert_is_a_figure(&row[4]);
        assert_is_a_figure(&row[5]);
    }
    assert_eq!(rows[4][4..], ["\u{2013}", "\u{2013}"]);
}

#[test]
fn compares_wrk_where_it_is_installed() {
    if is_missing("wrk") {
        return;
    }
    let rows = compare_with_raw_load("wrk", "redis-benchmark");
    for row in &rows[2..4] {
        assert_is_a_figure(&row[4]);
        assert_is_a_figure(&row[5]);
    }
    assert_eq!(rows[4][4..], ["\u{2013}", "\u{2013}"]);
}

#[test]
fn believes_no_load_generator_that_sent_nothing() {
    let boasting = "boasting=sh -c 'echo 1000000 frames' {port}";
    let output = run(&[&LOAD_ALONE[..], &["--other", boasting]].concat());
    assert_eq!(output.status.code(), Some(1));
    for part in ["boasting with 1,1,64", "received 0 bytes"] {
        assert!(stderr(&output).contains(part), "{}", stderr(&output));
    }
}

#[test]
fn quotes_a_load_generator_that_fails_whatever_it_sent() {
    let failing = format!(
        "failing=sh -c '{PROGRAM} raw-load 127.0.0.1:{{port}} 1,1,64 1000; echo lost one >&2; exit 3'"
    );
    let output = run(&[&LOAD_ALONE[..], &["--other", &failing]].concat());
    assert_eq!(output.status.code(), Some(1));
    for part in ["failing", "exit status: 3", "lost one"] {
        assert!(stderr(&output).contains(part), "{}", stderr(&output));
    }
}

#[test]
fn says_how_to_build_a_load_tester_that_is_missing() {
    let output = run(&["load", "--load", "/nonexistent/volley-load"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("cargo build --release"), "{}", stderr(&output));
    assert!(output.stdout.is_empty());
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
        &["load", "--other", "x=./x"],
        &["load", "--without", "nobody"],
        &["idle", "--connections", "0"],
        &[],
    ] {
        assert_eq!(run(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn measures_what_one_frame_and_a_stream_cost_a_script() {
    let beside = |name| std::path::Path::new(PROGRAM).with_file_name(name);
    if !beside("volley").exists() || !beside("volleyd").exists() {
        println!("skipped: volley and volleyd have not been built");
        return;
    }
    let output = run(&["client", "--starts", "2", "--file", "300KiB", "--rounds", "1"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let rows = rows(&output);
    assert_eq!(rows[0], ["one frame, and out", "ms", "volley's ratio to it"]);
    assert_eq!((rows[2][0].as_str(), rows[2][2].as_str()), ("volley send hello", "1.00"));
    let stream = rows.iter().position(|row| row.first().is_some_and(|cell| cell == "frames/s of"));
    let figures = &rows[stream.unwrap() + 2];
    assert_eq!(figures[0], "65536 bytes");
    figures[1..].iter().for_each(|cell| assert_is_a_figure(cell));
}

#[test]
fn compares_the_daemon_over_tls_with_haproxy_before_it() {
    if is_missing("haproxy") {
        return;
    }
    if !std::path::Path::new(PROGRAM).with_file_name("volleyd").exists() {
        println!("skipped: volleyd has not been built");
        return;
    }
    let loads = ["--grid", "2,3,64 1,2,100000", "--rounds", "1", "--seconds", "0.1"];
    let output = run(&[&["tls"], &loads[..]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let rows = rows(&output);
    assert_eq!(rows[0][3..], ["haproxy, TLS/s", "volleyd, TLS/s", "ratio"]);
    for row in &rows[2..4] {
        row[3..].iter().for_each(|cell| assert_is_a_figure(cell));
    }
}
