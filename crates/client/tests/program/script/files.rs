//! Which files are scripts, and what is wrong in them.

use std::path::Path;

use super::{script, write};
use crate::scripted::{Peer, listen, play, within};
use crate::{program, run, run_with};

#[tokio::test]
async fn a_typo_is_found_before_anything_is_sent() {
    let directory = tempfile::tempdir().unwrap();
    write(&directory, "a.volley", "send \"a\"\n");
    write(&directory, "b.volley", "send \"a\"\n expcet echo\n");
    write(&directory, "c.volley", "send file nowhere\n");
    let (listener, to) = listen().await;
    drop(listener);
    let mut command = script(&to);
    let ended = within(run(command.current_dir(&directory).arg("."))).await;
    let told = "\
./b.volley:2:2: no statement is called `expcet`: is it `expect`?
   expcet echo
   ^^^^^^
volley: ./c.volley:1:11: cannot read ./nowhere: No such file or directory (os error 2)
  send file nowhere
            ^^^^^^^";
    ended.failed(65, told);
}

#[tokio::test]
async fn a_missing_script_is_a_missing_input() {
    let directory = tempfile::tempdir().unwrap();
    let run_in = async |path: &str| {
        within(run(program().current_dir(&directory).args(["script", path]))).await
    };
    let told = "cannot read nowhere.volley: No such file or directory (os error 2)";
    run_in("nowhere.volley").await.failed(66, told);
    run_in(".").await.failed(66, "there is no script in .: their names end in .volley");
}

/// As Emacs leaves beside a file that is being edited, and macOS beside any.
#[tokio::test]
async fn hidden_files_of_a_directory_are_no_scripts() {
    let directory = tempfile::tempdir().unwrap();
    write(&directory, "a.volley", "sleep 0s\n");
    write(&directory, "._a.volley", "\0\x05\x16\x07");
    write(&directory, ".git/b.volley", "what\n");
    std::os::unix::fs::symlink("nobody@nowhere.1", directory.path().join(".#a.volley")).unwrap();
    let ended = within(run(program().current_dir(&directory).args(["script", "."]))).await;
    let stdout = String::from_utf8(ended.stdout).unwrap();
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    assert!(stdout.starts_with("ok    ./a.volley  ") && stdout.lines().count() == 1, "{stdout}");
    // One that is named is one.
    let named = ["script", "--check", ".git/b.volley"];
    let ended = within(run(program().current_dir(&directory).args(named))).await;
    assert_eq!(ended.code, Some(65), "{ended:?}");
}

#[tokio::test]
async fn what_has_no_end_is_no_script() {
    let ended = within(run(program().args(["script", "/dev/zero"]))).await;
    ended.failed(65, "/dev/zero is no script: it is longer than 16MiB");
}

#[tokio::test]
async fn check_reads_and_plays_nothing() {
    let ended = within(run_with(program().args(["script", "--check", "-"]), b"send \"a\"\n")).await;
    ended.printed("");
}

#[tokio::test]
async fn an_editor_may_leave_the_file_anywhere() {
    // A path that is no file of a directory, and one with a blank in it.
    let directory = tempfile::tempdir().unwrap();
    write(&directory, "with blank/payload.bin", "hello");
    write(&directory, "with blank/x", "send file payload.bin\nexpect \"hello\"\n");
    let path = Path::new("with blank").join("x");
    let ended = play(
        async |peer: Peer| peer.echo_all().await,
        async |to| run(script(&to).current_dir(&directory).arg(&path)).await,
    );
    assert_eq!(ended.await.code, Some(0));
}
