//! What each report says of the same outcomes.

use std::time::Duration;

use volley_cli::Exit;

use super::super::outcome::{Outcome, Verdict, exit};
use super::super::player::{Failed, Trouble};
use super::super::statement::Place;
use super::{junit, tap, text};

fn outcome(name: &str, verdict: Verdict) -> Outcome {
    Outcome { name: name.to_owned(), verdict, elapsed: Duration::from_micros(1_234) }
}

fn failed(why: &str, exit: Exit) -> Verdict {
    let details = "  expected  00000000  61\n  received  00000000  62\n".to_owned();
    let trouble = Trouble { why: why.to_owned(), details, exit };
    let (place, source) = (Place { line: 7, column: 3 }, "expect \"a\"".to_owned());
    Verdict::Failed(Failed { place, source, trouble })
}

fn outcomes() -> [Outcome; 4] {
    [
        outcome("a.volley", Verdict::Passed),
        outcome("b #1.volley", failed("not <that> \u{1b}one", Exit::Failure)),
        outcome("c.volley", failed("no reply", Exit::TryAgain)),
        outcome("d.volley", Verdict::NotPlayed),
    ]
}

#[test]
fn people_read_a_line_for_each_and_why() {
    let shown: String = outcomes().iter().map(text::point).collect();
    let expected = "\
ok    a.volley  1.2 ms
FAIL  b #1.volley:7:3  1.2 ms
      expect \"a\"
      not <that> \\u{1b}one
        expected  00000000  61
        received  00000000  62
FAIL  c.volley:7:3  1.2 ms
      expect \"a\"
      no reply
        expected  00000000  61
        received  00000000  62
-     d.volley  not played
";
    assert_eq!(shown, expected);
    let tail = text::tail(&outcomes(), Duration::from_millis(2_340));
    assert_eq!(tail, "\n1 passed, 2 failed, 1 not played in 2.3 s\n");
    assert_eq!(text::tail(&outcomes()[..1], Duration::ZERO), "");
}

#[test]
fn tap_has_a_point_for_each_and_yaml_below_it() {
    let shown: String = (1..).zip(&outcomes()).map(|(n, outcome)| tap::point(n, outcome)).collect();
    let expected = r#"ok 1 - a.volley
not ok 2 - b \#1.volley
  ---
  message: "not <that> \u001bone"
  exit_code: 1
  statement: "expect \"a\""
  at: {"column":3,"file":"b #1.volley","line":7}
  details: ["  expected  00000000  61","  received  00000000  62"]
  ...
not ok 3 - c.volley
  ---
  message: "no reply"
  exit_code: 75
  statement: "expect \"a\""
  at: {"column":3,"file":"c.volley","line":7}
  details: ["  expected  00000000  61","  received  00000000  62"]
  ...
ok 4 - d.volley # SKIP not played
"#;
    assert_eq!(tap::head(4) + &shown, format!("TAP version 14\n1..4\n{expected}"));
}

#[test]
fn junit_tells_a_failure_from_an_error() {
    let shown = junit::whole(&outcomes(), Duration::from_secs(1));
    for part in [
        r#"tests="4" skipped="1" errors="1" failures="1""#,
        r#"<testcase name="a.volley" classname="volley script" time="0.001"/>"#,
        r#"<failure message="not &lt;that&gt; \u{1b}one" type="unexpected">b #1.volley:7:3: expect"#,
        r#"<error message="no reply" type="exit code 75">c.volley:7:3: expect"#,
        "<skipped/>",
    ] {
        assert!(shown.contains(part), "{part} is missing in:\n{shown}");
    }
}

#[test]
fn the_exit_code_is_that_of_all_that_failed() {
    let [passed, unexpected, late, skipped] = outcomes();
    assert_eq!(exit(&[passed, late]), Exit::TryAgain);
    assert_eq!(exit(&[skipped, unexpected]), Exit::Failure);
    assert_eq!(exit(&outcomes()), Exit::Failure);
    assert_eq!(exit(&[outcome("x", Verdict::Passed)]), Exit::Success);
}
