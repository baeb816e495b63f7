//! What scripts may say, and how each way of saying it wrongly is told.

use std::ffi::OsString;
use std::path::Path;

use super::*;
use crate::script::statement::Pattern;
use volley_cli::Exit;

fn read_from(directory: &Path, text: &str) -> Result<Script, ScriptError> {
    let variable = |name: &str| match name {
        "NAME" => Some(OsString::from("a.b")),
        "PORT" => Some(OsString::from("7007")),
        _ => None,
    };
    let surroundings = Surroundings { variable: &variable, directory };
    read("test.volley", text.as_bytes(), &surroundings)
}

fn script(text: &str) -> Result<Script, ScriptError> {
    read_from(Path::new("nowhere"), text)
}

/// What the only statement of a script does.
#[track_caller]
fn action(line: &str) -> Action {
    let mut statements = script(line).unwrap().statements;
    assert_eq!(statements.len(), 1);
    statements.remove(0).action
}

#[track_caller]
fn payload(written: &str) -> Vec<u8> {
    match action(&format!("send {written}")) {
        Action::Send(payload) => payload.to_vec(),
        action => panic!("{action:?}"),
    }
}

#[track_caller]
fn pattern(written: &str) -> Pattern {
    match action(&format!("until {written}")) {
        Action::Until(pattern) => pattern,
        action => panic!("{action:?}"),
    }
}

/// Everything that the user is told of a script, and the exit code.
#[track_caller]
fn told(text: &str) -> (String, Exit) {
    match script(text).unwrap_err() {
        error @ ScriptError::Wrong { .. } => {
            let exit = error.exit();
            let message = error.to_string();
            let ScriptError::Wrong { excerpt, .. } = error else { unreachable!() };
            (format!("{message}\n{excerpt}"), exit)
        }
        error => panic!("{error}"),
    }
}

/// Each text with the place of its error, a line and a column, and what is said of it.
#[track_caller]
fn are_told_at_their_places(cases: &[(&str, &str, &str)]) {
    for (text, place, why) in cases {
        let (told, exit) = told(text);
        let head = told.lines().next().unwrap();
        assert_eq!((head, exit), (&*format!("test.volley:{place}: {why}"), Exit::BadData));
    }
}

#[track_caller]
fn says(text: &str, expected: &str) {
    assert_eq!(told(text), (expected.to_owned(), Exit::BadData));
}

#[test]
fn payloads_are_put_together() {
    assert_eq!(payload(r#""""#), b"");
    assert_eq!(payload(r#""a b\n" "c" # d"#), b"a b\nc");
    assert_eq!(payload(r#"hex 00 ff:a5 0102 "z" hex 7a"#), b"\x00\xff\xa5\x01\x02zz");
    assert_eq!(payload("base64 AP8= zeros 2"), b"\x00\xff\0\0");
    assert_eq!(payload("hex 00 base64 AP8"), b"\x00\x00\xff");
    assert_eq!(payload("zeros 1KiB").len(), 1024);
    assert_ne!(payload("random 32"), payload("random 32"));
}

#[test]
fn files_are_found_beside_the_script() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("two words"), b"\xffx").unwrap();
    for line in ["send file \"two words\"", "raw file \"two words\""] {
        let script = read_from(directory.path(), line).unwrap();
        let (Action::Send(bytes) | Action::Raw(bytes)) = &script.statements[0].action else {
            panic!("{script:?}")
        };
        assert_eq!(bytes, &b"\xffx"[..]);
    }
    let error = script("send \"a\" file missing").unwrap_err();
    assert_eq!(error.exit(), Exit::NoInput);
    let told =
        "test.volley:1:15: cannot read nowhere/missing: No such file or directory (os error 2)";
    assert_eq!(error.to_string(), told);
}

/// No more of it is read than shows that it is too long.
#[test]
fn a_file_without_an_end_is_too_long() {
    let error = script("send file /dev/zero").unwrap_err();
    assert_eq!(error.to_string(), "test.volley:1:6: no frame is longer than 64MiB");
}

#[test]
fn variables_are_replaced_everywhere() {
    assert_eq!(payload(r#""${NAME}${NONE:-x y}\${NAME}""#), b"a.bx y${NAME}");
    let Action::Connect(Some(endpoint)) = action("connect host:${PORT}") else { panic!() };
    assert_eq!(endpoint.to_string(), "tcp://host:7007");
    // The value is a text and no pattern.
    let Pattern::Regex(regex) = pattern("/^${NAME}$/") else { panic!() };
    assert!(regex.is_match(b"a.b") && !regex.is_match(b"axb"));
    assert!(matches!(pattern("${NONE:-echo}"), Pattern::Echo));
    let Pattern::Exact(exact) = pattern("${NONE:-hex} ff") else { panic!() };
    assert_eq!(exact, &b"\xff"[..]);
    let Action::ExpectRaw(raw) = action("expect ${NONE:-raw} \"a\"") else { panic!() };
    assert_eq!(raw, "a");
}

#[test]
fn patterns_are_what_they_are_called() {
    assert!(matches!(pattern("any"), Pattern::Any));
    assert!(matches!(pattern("echo"), Pattern::Echo));
    assert!(matches!(pattern("receipt"), Pattern::Receipt));
    assert!(matches!(pattern("welcome"), Pattern::Welcome));
    assert!(matches!(pattern("goaway"), Pattern::GoAway(None)));
    assert!(matches!(pattern("close"), Pattern::Close));
    let Pattern::Error(Some(reason)) = pattern("error too-large") else { panic!() };
    assert_eq!(reason, volley_proto::Reason::TooLarge);
    let Pattern::Prefix(prefix) = pattern("prefix \"ACK1\" hex 00") else { panic!() };
    assert_eq!(prefix, &b"ACK1\0"[..]);
    let Pattern::Exact(exact) = pattern("hex 00 ff") else { panic!() };
    assert_eq!(exact, &b"\0\xff"[..]);
    let Pattern::Regex(regex) = pattern(r"/a \/ b/") else { panic!() };
    assert_eq!(regex.as_str(), "a / b");
}

#[test]
fn statements_do_what_they_say() {
    assert!(matches!(action("connect"), Action::Connect(None)));
    assert!(matches!(action("  half-close  # now"), Action::HalfClose));
    assert!(matches!(action("close"), Action::Close));
    let Action::Hello(hello) = action("hello") else { panic!() };
    assert_eq!((hello.wanted, hello.name.as_str()), (None, ""));
    let Action::Hello(hello) = action("hello ack \"me too\"") else { panic!() };
    assert_eq!((hello.wanted, hello.name.as_str()), (Some(volley_proto::ReplyKind::Ack), "me too"));
    let Action::Sleep(pause) = action("sleep 1m30s") else { panic!() };
    assert_eq!(pause.as_secs(), 90);
    let Action::ExpectNothing(longest) = action("expect nothing 100ms") else { panic!() };
    assert_eq!(longest.as_millis(), 100);
    let Action::ExpectRaw(bytes) = action("expect raw hex 80") else { panic!() };
    assert_eq!(bytes, &b"\x80"[..]);
}

#[test]
fn blocks_nest_and_empty_ones_vanish() {
    let text = "repeat 2\n\tsend \"a\"\r\n  repeat 3k # many\nclose\nend\nend\nrepeat 5\nend\nrepeat \
                0\nclose\nend";
    let Script { statements, .. } = script(text).unwrap();
    let [Statement { action: Action::Repeat { times: 2, body }, place, .. }] = &statements[..]
    else {
        panic!("{statements:?}")
    };
    assert_eq!(*place, Place { line: 1, column: 1 });
    assert_eq!(body[0].place, Place { line: 2, column: 2 });
    assert_eq!(body[0].source, "send \"a\"");
    assert!(matches!(&body[1].action, Action::Repeat { times: 3000, .. }));
    assert!(script("\n# nothing\n  \n").unwrap().statements.is_empty());
}

/// The statements of blocks within blocks are given back one within the other, on the stack.
#[test]
fn blocks_nest_no_deeper_than_anybody_writes() {
    let nested = |depth| "repeat 2\n".repeat(depth) + "close\n" + &"end\n".repeat(depth);
    assert_eq!(script(&nested(DEEPEST)).unwrap().statements.len(), 1);
    let (told, exit) = told(&nested(100_000));
    let expected = "test.volley:65:1: at most 64 blocks can stand within each other\n  repeat 2\n";
    assert_eq!((told.starts_with(expected), exit), (true, Exit::BadData), "{told}");
}

#[test]
fn the_mark_with_which_some_editors_begin_a_file_is_no_word() {
    assert!(matches!(action("\u{feff}close"), Action::Close));
    says(
        "\u{feff}clsoe",
        "test.volley:1:1: no statement is called `clsoe`: is it `close`?\n  clsoe\n  ^^^^^",
    );
}

#[test]
fn a_misspelt_word_is_pointed_at_with_what_was_meant() {
    says(
        "close\n\texpcet \"x\"",
        "test.volley:2:2: no statement is called `expcet`: is it `expect`?\n   expcet \"x\"\n   ^^^^^^",
    );
    says(
        "until recipt",
        "test.volley:1:7: no pattern is called `recipt`: is it `receipt`?\n  until recipt\n        ^^^^^^",
    );
    says(
        "expect error to-large",
        "test.volley:1:14: no reason is called `to-large`: is it `too-large`?\n  \
         expect error to-large\n               ^^^^^^^^",
    );
    says(
        "send hxe 00",
        "test.volley:1:6: no payload is called `hxe`: is it `hex`?\n  send hxe 00\n       ^^^",
    );
    says(
        "hello akc",
        "test.volley:1:7: no reply is called `akc`: is it `ack`?\n  hello akc\n        ^^^",
    );
    let (told, _) = told("foo");
    assert!(
        told.starts_with(
            "test.volley:1:1: no statement is called `foo`: there are close, connect, "
        )
    );
}

#[test]
fn what_is_missing_is_pointed_at() {
    let cases = [
        ("send", "1:5", "a payload is missing: a \"text\", or \"\" for an empty one"),
        ("expect", "1:7", "a payload is missing: a \"text\", or \"\" for an empty one"),
        ("send hex", "1:9", "a hexadecimal number is missing"),
        ("send file # x", "1:11", "a path is missing"),
        ("send zeros", "1:11", "a size, for example 64KiB, is missing"),
        ("sleep", "1:6", "a duration, for example 100ms, is missing"),
        ("repeat", "1:7", "a number is missing"),
        ("\"hello\"", "1:1", "a statement is missing"),
        ("send \"a", "1:8", "a closing quote is missing"),
        ("expect /a", "1:10", "a closing slash is missing"),
        ("end", "1:1", "there is no `repeat` that this could end"),
        ("\n repeat 2\nclose", "2:2", "nothing ends what is repeated: an `end` is missing"),
    ];
    are_told_at_their_places(&cases);
}

#[test]
fn a_wrong_value_is_pointed_at() {
    let cases = [
        ("send hello", "1:6", "a text stands in double quotes: \"hello\""),
        ("send hex 00 0g", "1:14", "`g` at byte 2 is no hexadecimal digit"),
        (
            "send hex abc",
            "1:10",
            "an odd number of hexadecimal digits, 3: one is missing, or one is too many",
        ),
        ("send base64 aG!v", "1:15", "`!` at byte 3 is not of base64"),
        ("send zeros 65MiB", "1:12", "no frame is longer than 64MiB"),
        ("send zeros 40MiB zeros 40MiB", "1:6", "no frame is longer than 64MiB"),
        (
            "sleep 5",
            "1:7",
            "`5` is no duration: write a number and a unit, for example 5ms, 10s or 2m",
        ),
        ("timeout 0s", "1:9", "nothing can be done within 0: write for example 500ms"),
        ("connect nowhere", "1:9", "`nowhere` has no port: write nowhere:7007"),
        ("expect /a(/", "1:8", "unclosed group"),
        ("send \"${NONE}\"", "1:9", "the variable NONE is not set: set it, or write ${NONE:-…}"),
        ("send \"é\" x", "1:10", "a text stands in double quotes: \"x\""),
        ("send 'x'", "1:6", "a text stands in double quotes: \"x\""),
        (
            "send \"x\" expect echo",
            "1:10",
            "a statement has a line of its own: `expect` begins another one",
        ),
        ("close now", "1:7", "the statement has ended before this: is a # or a quote missing?"),
    ];
    are_told_at_their_places(&cases);
}

#[test]
fn a_script_that_is_no_text_is_told_where() {
    let surroundings = Surroundings { variable: &|_| None, directory: Path::new("") };
    let error = read("x", b"close\nsend \"\xff\"", &surroundings).unwrap_err();
    assert_eq!(error.to_string(), "x:2:7: this is not UTF-8: write other bytes as \\xHH");
    assert_eq!(error.exit(), Exit::BadData);
}
