//! Runs in which all goes well, and what the user allows or forbids.

use crate::scripted::{Fault, Script, Server};
use crate::{ledger, line, load, load_to, run};

#[test]
fn without_a_target_it_loads_a_server_of_its_own() {
    let ended = run(load("-d 200ms"));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{}", ended.stdout);
    let target = line(&ended, "target");
    assert!(
        target.starts_with("tcp://127.0.0.1:") && target.ends_with(", a server in this process")
    );
    let (sent, columns) = ledger(&ended);
    assert!(sent > 0);
    assert_eq!(columns, [("ok".to_owned(), sent)]);
    assert!(line(&ended, "verdict").starts_with("passed: every frame came back right; "));
}

#[test]
fn it_sends_as_many_frames_as_it_is_told() {
    for pace in ["", "-r 20k -p 8", "--reply ack -c 3 --threads 2"] {
        let ended = run(load(&format!("run -n 1000 {pace}")));
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert_eq!(ledger(&ended), (1000, vec![("ok".to_owned(), 1000)]));
    }
}

#[test]
fn no_more_is_sent_than_is_planned() {
    let ended = run(load("-r 200 -n 20"));
    let rate = line(&ended, "rate").replace(',', "");
    let words: Vec<_> = rate.split(' ').collect();
    let [sent, planned] = ["sent", "planned"].map(|word| {
        let at = words.iter().position(|other| *other == word).expect(&rate);
        words[at - 1].parse::<f64>().unwrap()
    });
    assert!(sent <= planned, "{rate}");
}

#[test]
fn a_plan_says_how_many_frames_there_are() {
    // 20 + 30 + 40 frames.
    let ended = run(load("--plan 200:100ms,200..400:100ms,400:100ms --arrivals constant"));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ledger(&ended), (90, vec![("ok".to_owned(), 90)]));
}

#[test]
fn the_warm_up_is_told_and_is_in_no_figure() {
    // 100 ms at 1,000 frames a second.
    let ended = run(load("-r 1k --warmup 100ms -n 50"));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(line(&ended, "warm-up"), "100 frames before, in no figure above");
    assert_eq!(ledger(&ended), (50, vec![("ok".to_owned(), 50)]));
}

#[test]
fn a_payload_comes_from_a_file_whatever_its_length() {
    for len in [1, 20, 100, 70_000] {
        let path = std::env::temp_dir().join(format!("volley-load-{}-{len}", std::process::id()));
        std::fs::write(&path, vec![b'x'; len]).unwrap();
        let ended = run(load(&format!("-n 100 --payload {}", path.display())));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert_eq!(ledger(&ended), (100, vec![("ok".to_owned(), 100)]));
    }
}

#[test]
fn a_threshold_that_is_broken_fails_the_run_with_the_value() {
    let mut command = load("-n 500");
    command.args(["--fail-if", "p50>1ns", "--fail-if", "max > 1h", "--fail-if", "rate<0.001"]);
    let ended = run(command);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), ""), "{ended:?}");
    let broken = line(&ended, "FAILED");
    let value = broken.strip_prefix("fail if p50 > 1ns: it was ").expect(broken);
    assert!(value.ends_with("s") && value.starts_with(|c: char| c.is_ascii_digit()), "{value}");
    assert!(line(&ended, "passed").starts_with("fail if max > 1h: it was "), "{ended:?}");
    assert!(line(&ended, "verdict").starts_with("FAILED, 1 threshold broken"), "{ended:?}");
}

#[test]
fn a_threshold_that_holds_lets_the_run_pass() {
    let ended = run(load("-n 500 --fail-if p99.9>1h --fail-if errors>0"));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.stdout.contains("FAILED"));
}

#[test]
fn losses_fail_a_run_unless_they_are_allowed() {
    for (allowed, code) in [("", 1), ("--fail-if lost>2", 1), ("--fail-if lost>3", 0)] {
        let script =
            Script { fault: Fault::Drop, at: vec![3, 30, 40], pipeline: 8, ..Script::default() };
        let server = Server::start(script);
        let ended = run(load_to(&server, &format!("-c 1 -p 8 -n 100 --timeout 2s {allowed}")));
        server.finish();
        assert_eq!(ended.code, Some(code), "{ended:?}");
        let columns = vec![("ok".to_owned(), 97), ("lost (skipped)".to_owned(), 3)];
        assert_eq!(ledger(&ended), (100, columns));
        let verdict = match code {
            0 => "passed: 3 frames did not come back right, as allowed",
            _ => "FAILED, 1 threshold broken",
        };
        assert!(line(&ended, "verdict").starts_with(verdict), "{ended:?}");
    }
}
