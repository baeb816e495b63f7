//! What new processes may do instead of getting ready. The stream to them is the descriptor behind
//! the sockets that they get.

use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::process::{Pid, test_kill_process};

use super::program::find;
use super::*;

/// No test comes near it.
const LIMIT: Duration = Duration::from_secs(20);

/// For what is to be waited for in vain.
const SHORT: Duration = Duration::from_millis(200);

fn shell(script: &str) -> Program {
    Program { path: "/bin/sh".into(), arguments: vec!["-c".into(), script.into()] }
}

async fn outcome(script: &str, limit: Duration) -> Result<(), String> {
    let mut successor = shell(script).start(&[], limit).unwrap();
    successor.ready().await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn one_that_ends_before_it_is_ready_has_failed() {
    let cases = [
        ("exit 7", "the new process exited with code 7 before it was ready"),
        ("exit 0", "the new process exited with code 0 before it was ready"),
        ("kill -9 $$", "the new process was ended by signal 9 before it was ready"),
        ("printf READ >&3", "the new process exited with code 0 before it was ready"),
    ];
    for (script, told) in cases {
        let found = outcome(&format!("exec 2>/dev/null; {script}"), LIMIT).await;
        assert_eq!(found, Err(told.to_owned()), "{script}");
    }
}

#[tokio::test]
async fn one_that_says_nothing_is_killed_at_the_limit() {
    for script in
        ["exec sleep 1000", "exec 3>&-; exec sleep 1000", "printf NO >&3; exec sleep 1000"]
    {
        let mut successor = shell(script).start(&[], SHORT).unwrap();
        let pid = Pid::from_raw(successor.pid().try_into().unwrap()).unwrap();
        let error = successor.ready().await.unwrap_err();
        let told = "the new process was not ready within 200ms, and was killed";
        assert_eq!(error.to_string(), told, "{script}");
        assert!(test_kill_process(pid).is_err(), "{script}");
    }
}

#[tokio::test]
async fn one_that_cannot_be_started_has_failed() {
    let program = Program { path: "/nowhere/volleyd".into(), arguments: Vec::new() };
    let error = program.start(&[], LIMIT).unwrap_err();
    let told = "cannot start /nowhere/volleyd: No such file or directory (os error 2)";
    assert_eq!(error.to_string(), told);
}

#[tokio::test]
async fn one_that_is_given_up_is_killed() {
    let mut successor = shell("exec sleep 1000").start(&[], LIMIT).unwrap();
    let pid = Pid::from_raw(successor.pid().try_into().unwrap()).unwrap();
    successor.kill().await;
    assert!(test_kill_process(pid).is_err());
}

#[tokio::test]
async fn it_gets_the_sockets_with_their_names_and_lives_on_when_it_takes_over() {
    let heirlooms: Vec<_> = ["public", "", "a:b"]
        .into_iter()
        .map(|name| {
            let socket = TcpListener::bind("127.0.0.1:0").unwrap().into();
            Heirloom { name: name.to_owned(), socket }
        })
        .collect();
    // Sockets are what 3 to 6 are, and the end of the last one is the sign to go on.
    let script = "
        test \"$LISTEN_FDS $LISTEN_FDNAMES\" = '4 public::a_b:volleyd-handover' || exit 1
        for number in 3 4 5 6; do test -S /dev/fd/$number || exit 2; done
        test -z \"$LISTEN_PID$WATCHDOG_PID\" || exit 3
        printf 'READY\\n' >&6
        read end <&6
        echo took over >\"$0\"";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    let mut program = shell(script);
    program.arguments.push(file.clone().into());
    let mut successor = program.start(&heirlooms, LIMIT).unwrap();
    successor.ready().await.unwrap();
    successor.take_over();
    let wait = async {
        while fs::read_to_string(&file).unwrap_or_default().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, wait).await.unwrap();
}

#[test]
fn the_program_is_found_by_the_path_by_which_it_was_started() {
    let folder = tempfile::tempdir().unwrap();
    let folder = fs::canonicalize(folder.path()).unwrap();
    let (running, link, other) =
        (folder.join("volleyd-1"), folder.join("volleyd"), folder.join("other"));
    fs::write(&running, "").unwrap();
    fs::write(&other, "").unwrap();
    symlink(&running, &link).unwrap();
    let folders = std::env::join_paths([Path::new("/nowhere"), &folder]).unwrap();
    // By its path, by its name, and by a name that says nothing.
    assert_eq!(find(&link, OsStr::new(""), &running), link);
    assert_eq!(find(Path::new("volleyd"), &folders, &running), link);
    for name in [Path::new("-volleyd"), Path::new(""), &other, Path::new("other")] {
        assert_eq!(find(name, &folders, &running), running, "{}", name.display());
    }
}
