//! Outputs that can't be written, in all the ways in which they can't.

use std::env;
use std::fs::{self, Permissions};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};
use std::sync::mpsc;
use std::thread;

use rustix::process::{Signal, getpid, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::output::json::tests::validator;
use crate::output::sample;

/// How long a process may take to do what takes milliseconds.
const LIMIT: Duration = Duration::from_secs(60);

fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn only_json(path: impl Into<PathBuf>) -> Paths {
    Paths { json: Some(PathOrStdout::Path(path.into())), ..Paths::default() }
}

/// Opens, runs two seconds and finishes; what went wrong.
fn run(paths: &Paths) -> Vec<String> {
    let mut outputs = Outputs::open(paths, &sample::empty()).unwrap();
    for number in 0..2_u32 {
        outputs.second(number.into(), &sample::second(number.into(), true));
    }
    let errors = outputs.finish(&sample::full(), &mut NoStdout);
    errors.iter().map(ToString::to_string).collect()
}

/// A report too long for a small disk.
fn long() -> Report {
    let full = sample::full();
    let second = full.seconds[0];
    Report { seconds: vec![second; 500], ..full }
}

/// Nothing may be written to it.
struct NoStdout;

impl Write for NoStdout {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        panic!("nobody asked for stdout")
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether the report in a file, which keeps to the schema, is the one at the end of the run.
fn is_complete(path: &Path) -> bool {
    let report: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    assert!(validator().is_valid(&report), "{report}");
    report["complete"].as_bool().unwrap()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_json_file_holds_a_valid_report_from_the_beginning() {
    let directory = directory();
    let path = directory.path().join("report.json");
    fs::write(&path, "of an earlier run, and much longer than this one".repeat(1000)).unwrap();
    let outputs = Outputs::open(&only_json(&path), &sample::empty()).unwrap();
    assert!(!is_complete(&path));
    assert!(outputs.finish(&sample::full(), &mut NoStdout).is_empty());
    assert!(is_complete(&path));
    assert_eq!(names(directory.path()), ["report.json"]);
}

#[test]
fn every_output_is_written() {
    let directory = directory();
    let path = |name| directory.path().join(name);
    let old = "x".repeat(100_000);
    fs::write(path("c.hgrm"), &old).unwrap();
    fs::write(path("c.xml"), &old).unwrap();
    fs::write(path("c.hlog"), &old).unwrap();
    let paths = Paths {
        json: Some(PathOrStdout::Path(path("c.json"))),
        hgrm: Some(path("c.hgrm")),
        hlog: Some(path("c.hlog")),
        junit: Some(path("c.xml")),
    };
    let outputs = Outputs::open(&paths, &sample::empty()).unwrap();
    // What an earlier run left is gone at once.
    assert_eq!(fs::read_to_string(path("c.xml")).unwrap(), "");
    assert_eq!(fs::read_to_string(path("c.hlog")).unwrap(), "");
    drop(outputs);
    assert_eq!(run(&paths), [""; 0]);
    assert!(is_complete(&path("c.json")));
    assert!(fs::read_to_string(path("c.hgrm")).unwrap().ends_with("]\n"));
    assert!(fs::read_to_string(path("c.xml")).unwrap().ends_with("</testsuites>\n"));
    let log = fs::read_to_string(path("c.hlog")).unwrap();
    let lines = log.lines().filter(|line| line.starts_with("Tag=")).count();
    // Response, service and send delay in both seconds, connecting and handshakes in the first.
    assert_eq!((lines, log.ends_with('\n')), (8, true), "{log}");
    assert_eq!(names(directory.path()), ["c.hgrm", "c.hlog", "c.json", "c.xml"]);
}

#[test]
fn without_a_second_the_interval_log_has_its_header() {
    let directory = directory();
    let path = directory.path().join("run.hlog");
    let paths = Paths { hlog: Some(path.clone()), ..Paths::default() };
    let outputs = Outputs::open(&paths, &sample::empty()).unwrap();
    assert!(outputs.finish(&sample::full(), &mut NoStdout).is_empty());
    assert!(fs::read_to_string(path).unwrap().starts_with("#[Histogram log format version 1.3]\n"));
}

#[test]
fn the_interval_log_starts_when_second_0_began() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
    let since_epoch = |number| began(number, now).duration_since(SystemTime::UNIX_EPOCH).unwrap();
    // Second 0 has just ended, or the fourth; the last of the warm-up, or the one before it.
    let seconds: Vec<_> = [0, 3, -1, -2].map(|number| since_epoch(number).as_secs()).into();
    assert_eq!(seconds, [999, 996, 1000, 1001]);
}

#[test]
fn a_dash_is_stdout_for_json_only() {
    assert_eq!(PathOrStdout::from(OsString::from("-")), PathOrStdout::Stdout);
    assert_eq!(PathOrStdout::from(OsString::from("./-")), PathOrStdout::Path("./-".into()));
    let paths = Paths { json: Some(PathOrStdout::Stdout), ..Paths::default() };
    let mut stdout = Vec::new();
    let outputs = Outputs::open(&paths, &sample::empty()).unwrap();
    assert!(outputs.finish(&sample::full(), &mut stdout).is_empty());
    let report: Value = serde_json::from_slice(&stdout).unwrap();
    assert_eq!(report["complete"], Value::Bool(true));

    let paths = Paths { junit: Some("-".into()), ..Paths::default() };
    assert!(matches!(Outputs::open(&paths, &sample::empty()), Err(OutputError::Dash)));
}

#[test]
fn an_output_that_cannot_be_created_is_told_before_the_run_and_leaves_no_file() {
    let directory = directory();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("old.xml"), "old").unwrap();
    let wrong = [
        (path("no/such/directory.json"), "No such file or directory"),
        (directory.path().to_owned(), "Is a directory"),
        (path("old.xml/report.json"), "Not a directory"),
    ];
    for (json, cause) in wrong {
        let paths = Paths {
            hgrm: Some(path("new.hgrm")),
            junit: Some(path("old.xml")),
            ..only_json(&json)
        };
        let error = Outputs::open(&paths, &sample::empty()).unwrap_err();
        assert!(matches!(&error, OutputError::Create { path, .. } if *path == json), "{error:?}");
        let message = error.to_string();
        let begin = format!("cannot create {}: {cause} (os error ", json.display());
        assert!(message.starts_with(&begin), "{message}");
        assert_eq!(names(directory.path()), ["old.xml"]);
        assert_eq!(fs::read_to_string(path("old.xml")).unwrap(), "old");
    }
}

#[test]
fn the_same_file_twice_is_an_error_whatever_it_is_called() {
    let directory = directory();
    let path = |name: &str| directory.path().join(name);
    symlink(path("a"), path("link")).unwrap();
    for (one, other) in [("a", "a"), ("a", "./a"), ("a", "link")] {
        let paths = Paths { hlog: Some(path(one)), junit: Some(path(other)), ..Paths::default() };
        let error = Outputs::open(&paths, &sample::empty()).unwrap_err();
        assert!(matches!(&error, OutputError::Same { .. }), "{error:?}");
        let paths = Paths { hgrm: Some(path(one)), ..only_json(path(other)) };
        let error = Outputs::open(&paths, &sample::empty()).unwrap_err();
        assert!(matches!(&error, OutputError::Same { .. }), "{error:?}");
        assert_eq!(names(directory.path()), ["link"]);
    }
    fs::write(path("a"), "").unwrap();
    fs::hard_link(path("a"), path("hard")).unwrap();
    let paths = Paths { hgrm: Some(path("a")), ..only_json(path("hard")) };
    let error = Outputs::open(&paths, &sample::empty()).unwrap_err();
    let expected =
        format!("{} and {} are the same file", path("a").display(), path("hard").display());
    assert_eq!(error.to_string(), expected);
    // A device takes them all.
    let null = PathBuf::from("/dev/null");
    let paths = Paths { hgrm: Some(null.clone()), ..only_json(null) };
    assert_eq!(run(&paths), [""; 0]);
}

#[test]
fn every_output_that_fails_is_told_of_once() {
    let directory = directory();
    let full = PathBuf::from("/dev/full");
    let paths = Paths {
        json: Some(PathOrStdout::Path(full.clone())),
        hgrm: Some(full.clone()),
        hlog: Some(full),
        junit: Some(directory.path().join("run.xml")),
    };
    let expected = "cannot write to /dev/full: No space left on device (os error 28)";
    assert_eq!(run(&paths), [expected; 3]);
    // The last is tried all the same.
    assert!(fs::read_to_string(directory.path().join("run.xml")).unwrap().len() > 100);
}

#[test]
fn a_stdout_that_fails_is_told_of_and_one_that_was_closed_is_not() {
    struct Failing(io::ErrorKind);
    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let paths = Paths { json: Some(PathOrStdout::Stdout), ..Paths::default() };
    let outputs = || Outputs::open(&paths, &sample::empty()).unwrap();
    let errors = outputs().finish(&sample::full(), &mut Failing(io::ErrorKind::StorageFull));
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].to_string(), "cannot write to stdout: no storage space");
    let errors = outputs().finish(&sample::full(), &mut Failing(io::ErrorKind::BrokenPipe));
    assert!(errors.is_empty(), "{errors:?}");
}

#[test]
fn a_pipe_gets_nothing_before_the_end_and_then_one_report() {
    let (mut reader, writer) = io::pipe().unwrap();
    let path = format!("/proc/self/fd/{}", writer.as_raw_fd());
    let outputs = Outputs::open(&only_json(path), &sample::empty()).unwrap();
    drop(writer);
    // Far less than a pipe takes.
    assert!(outputs.finish(&sample::empty(), &mut NoStdout).is_empty());
    let mut text = Vec::new();
    reader.read_to_end(&mut text).unwrap();
    assert_eq!(serde_json::Deserializer::from_slice(&text).into_iter::<Value>().count(), 1);
}

#[test]
fn a_pipe_whose_reader_has_gone_is_no_error() {
    let (reader, writer) = io::pipe().unwrap();
    let path = PathBuf::from(format!("/proc/self/fd/{}", writer.as_raw_fd()));
    let log = Paths { hlog: Some(path.clone()), ..Paths::default() };
    let opened = [only_json(path), log].map(|paths| Outputs::open(&paths, &sample::empty()));
    drop(reader);
    for outputs in opened {
        let mut outputs = outputs.unwrap();
        outputs.second(0, &sample::second(0, true));
        outputs.second(1, &sample::second(1, true));
        let errors = outputs.finish(&sample::full(), &mut NoStdout);
        assert!(errors.is_empty(), "{errors:?}");
    }
}

#[test]
fn a_symbolic_link_stays_one() {
    let directory = directory();
    let path = |name: &str| directory.path().join(name);
    fs::create_dir(path("elsewhere")).unwrap();
    symlink("elsewhere/report.json", path("link")).unwrap();
    // It leads nowhere at first.
    for _ in 0..2 {
        assert_eq!(run(&only_json(path("link"))), [""; 0]);
        assert!(fs::symlink_metadata(path("link")).unwrap().is_symlink());
        assert!(is_complete(&path("elsewhere/report.json")));
        assert_eq!(names(&path("elsewhere")), ["report.json"]);
    }
}

#[test]
fn a_new_file_has_the_permissions_of_any_other_and_an_old_one_keeps_its_own() {
    let directory = directory();
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
    let any = directory.path().join("any");
    fs::write(&any, "").unwrap();
    let path = directory.path().join("report.json");
    assert_eq!(run(&only_json(&path)), [""; 0]);
    assert_eq!(mode(&path), mode(&any));
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    assert_eq!(run(&only_json(&path)), [""; 0]);
    assert_eq!(mode(&path), 0o640);
}

#[test]
fn a_file_with_two_names_keeps_both() {
    let directory = directory();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("one"), "x".repeat(100_000)).unwrap();
    fs::hard_link(path("one"), path("other")).unwrap();
    assert_eq!(run(&only_json(path("one"))), [""; 0]);
    assert!(is_complete(&path("other")));
    assert_eq!(names(directory.path()), ["one", "other"]);
}

#[test]
fn a_file_is_written_in_a_directory_that_takes_no_new_one() {
    let directory = directory();
    let path = directory.path().join("report.json");
    fs::write(&path, "old").unwrap();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o555)).unwrap();
    let other = directory.path().join("other.json");
    if fs::write(&other, "").is_ok() {
        println!("skipped: root may write to every directory");
        return;
    }
    assert_eq!(run(&only_json(&path)), [""; 0]);
    assert!(is_complete(&path));
    assert!(Outputs::open(&only_json(&other), &sample::empty()).is_err());
    // So that it can be removed.
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
}

/// Runs the test `name` of this file in a process of its own, after the shell's commands `first`,
/// and tells it `path`.
fn in_another_process(name: &str, first: &str, path: &Path) -> Output {
    let module = module_path!().split_once("::").unwrap().1;
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{first}\nexec \"$0\" \"$@\"")).arg(env::current_exe().unwrap());
    command.args(["--exact", &format!("{module}::{name}"), "--ignored", "--nocapture"]);
    command.env(PATH, path);
    let (tell, told) = mpsc::channel();
    thread::spawn(move || tell.send(command.output()));
    let output = told.recv_timeout(LIMIT).expect("it hangs").unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(!text.contains("running 0 tests"), "{name} is no test");
    output
}

/// Where a process of its own finds its path.
const PATH: &str = "VOLLEY_LOAD_TEST_PATH";

fn told_path() -> Option<PathBuf> {
    env::var_os(PATH).map(PathBuf::from)
}

#[test]
#[ignore = "is run by other tests, in a process of its own"]
fn killed_in_the_middle() {
    let Some(path) = told_path() else { return };
    let mut outputs = Outputs::open(&only_json(path), &sample::empty()).unwrap();
    outputs.second(0, &sample::second(0, true));
    kill_process(getpid(), Signal::KILL).unwrap();
}

#[test]
fn a_process_that_is_killed_leaves_a_valid_report() {
    let directory = directory();
    let path = directory.path().join("report.json");
    let output = in_another_process("killed_in_the_middle", "", &path);
    assert_eq!(output.status.signal(), Some(9), "{output:?}");
    assert!(!is_complete(&path));
    assert_eq!(names(directory.path()), ["report.json"]);
}

/// Files end at 16 blocks of 512 or 1024 bytes, as if the disk were full.
const SMALL_DISK: &str = "ulimit -f 16";

/// The same, and the process is not killed for it.
const SMALL_DISK_IS_AN_ERROR: &str = "trap '' XFSZ\nulimit -f 16";

#[test]
#[ignore = "is run by other tests, in a process of its own"]
fn one_error_on_a_small_disk() {
    let Some(path) = told_path() else { return };
    let outputs = Outputs::open(&only_json(&path), &sample::empty()).unwrap();
    let errors = outputs.finish(&long(), &mut NoStdout);
    assert_eq!(errors.len(), 1, "{errors:?}");
    let expected = format!("cannot write to {}: File too large (os error 27)", path.display());
    assert_eq!(errors[0].to_string(), expected);
}

#[test]
fn a_full_disk_leaves_a_valid_report() {
    let directory = directory();
    let path = |name: &str| directory.path().join(name);
    let output =
        in_another_process("one_error_on_a_small_disk", SMALL_DISK_IS_AN_ERROR, &path("a"));
    assert!(output.status.success(), "{output:?}");
    assert!(!is_complete(&path("a")));
    assert_eq!(names(directory.path()), ["a"]);

    // Written over, because it has two names.
    fs::hard_link(path("a"), path("b")).unwrap();
    let output =
        in_another_process("one_error_on_a_small_disk", SMALL_DISK_IS_AN_ERROR, &path("b"));
    assert!(output.status.success(), "{output:?}");
    assert!(!is_complete(&path("a")));
}

#[test]
fn a_process_that_is_killed_while_it_writes_leaves_a_valid_report() {
    let directory = directory();
    let path = directory.path().join("report.json");
    let output = in_another_process("one_error_on_a_small_disk", SMALL_DISK, &path);
    assert_eq!(output.status.signal(), Some(Signal::XFSZ.as_raw()), "{output:?}");
    assert!(!is_complete(&path));
}

#[test]
#[ignore = "is run by other tests, in a process of its own"]
fn the_interval_log_is_one_error_on_a_small_disk() {
    let Some(path) = told_path() else { return };
    let paths = Paths { hlog: Some(path), ..Paths::default() };
    let mut outputs = Outputs::open(&paths, &sample::empty()).unwrap();
    for number in 0..100_u32 {
        outputs.second(number.into(), &sample::second(number.into(), true));
    }
    let errors = outputs.finish(&sample::full(), &mut NoStdout);
    assert_eq!(errors.len(), 1, "{errors:?}");
}

#[test]
fn an_interval_log_that_fails_is_one_error_and_keeps_what_it_has() {
    let directory = directory();
    let path = directory.path().join("run.hlog");
    let name = "the_interval_log_is_one_error_on_a_small_disk";
    let output = in_another_process(name, SMALL_DISK_IS_AN_ERROR, &path);
    assert!(output.status.success(), "{output:?}");
    assert!(fs::read_to_string(path).unwrap().contains("\nTag=response,1.000,"));
}

#[test]
#[ignore = "is run by other tests, in a process of its own"]
fn no_error() {
    let Some(path) = told_path() else { return };
    assert_eq!(run(&only_json(path)), [""; 0]);
}

#[test]
fn a_file_that_is_mounted_by_itself_is_written_over() {
    let directory = directory();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("outside"), "old").unwrap();
    fs::write(path("inside"), "").unwrap();
    // A mount that goes away with its process.
    let mounted = |then: &str| {
        let (outside, inside) = (path("outside"), path("inside"));
        let (outside, inside) = (outside.display(), inside.display());
        let shell = format!("mount --bind \"{outside}\" \"{inside}\" && {then}");
        format!("exec unshare --map-root-user --mount sh -c '{shell}' \"$0\" \"$@\"")
    };
    let probe = Command::new("sh").args(["-c", &mounted("true")]).status();
    if !probe.unwrap().success() {
        println!("skipped: this machine lets nobody mount");
        return;
    }
    let mount = mounted("exec \"$0\" \"$@\"");
    let output = in_another_process("no_error", &mount, &path("inside"));
    assert!(output.status.success(), "{output:?}");
    assert!(is_complete(&path("outside")));
    assert_eq!(names(directory.path()), ["inside", "outside"]);
}

#[test]
#[ignore = "is run by other tests, in a process of its own"]
fn a_report_between_other_lines() {
    let Some(path) = told_path() else { return };
    println!("before");
    let outputs = Outputs::open(&only_json(path), &sample::empty()).unwrap();
    assert!(outputs.finish(&sample::full(), &mut NoStdout).is_empty());
    println!("behind");
}

#[test]
fn a_stdout_that_is_a_file_is_written_to_where_it_is() {
    let directory = directory();
    let out = directory.path().join("out");
    let first = format!("exec > '{}'", out.display());
    for path in [Path::new("/dev/stdout"), &out] {
        fs::write(&out, "").unwrap();
        let output = in_another_process("a_report_between_other_lines", &first, path);
        assert!(output.status.success(), "{output:?}");
        let text = fs::read_to_string(&out).unwrap();
        let (_, text) = text.split_once("before\n").unwrap();
        let (report, _) = text.split_once("behind\n").unwrap();
        let report: Value = serde_json::from_str(report).unwrap();
        assert_eq!(report["complete"], Value::Bool(true));
    }
}
