//! Where the report and the messages go.

use std::fs::File;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use crate::{Running, load, run, through};

#[test]
fn that_nobody_reads_the_report_is_no_error() {
    let mut running = Running::start(&mut load("-n 100"));
    // The thread that reads it has its end of the pipe, so another program closes it.
    let script = "set -o pipefail; \"$0\" --quiet -n 100 | true";
    let mut command = Command::new("bash");
    command.args(["-c", script, crate::PROGRAM]).stdin(Stdio::null());
    let ended = run(command);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    assert!(running.ends_within(crate::LIMIT));
}

#[test]
fn a_report_that_cannot_be_written_is_told() {
    let mut child = load("-n 100")
        .stdout(File::options().write(true).open("/dev/full").unwrap())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = crate::whole(child.stderr.take().unwrap()).recv_timeout(crate::LIMIT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(74), "{stderr}");
    let told = "volley-load: cannot write to stdout: No space left on device (os error 28)\n";
    assert_eq!(stderr, told);
}

#[test]
fn without_a_stderr_it_exits_all_the_same() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let closed = ["sh", "-c", "exec \"$0\" \"$@\" 2>&-"];
    let ended = run(through(&closed, &format!("--to {address}")));
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(69), ""));
    assert_eq!(run(through(&closed, "-n 100")).code, Some(0));
}
