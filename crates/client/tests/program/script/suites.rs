//! Several scripts at once, their reports, and what ends them.

use std::fs::File;

use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::io::ioctl_fionread;
use rustix::pipe::fcntl_setpipe_size;
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::task::spawn_blocking;

use super::{script, write};
use crate::scripted::{Peer, listen, play, within};
use crate::{Ended, Running, program, run, run_with};

/// Three scripts, of which the second fails, with these arguments, against a server that echoes.
async fn play_three(directory: &TempDir, arguments: &[&str]) -> Ended {
    write(directory, "1.volley", "send \"a\"\nexpect echo\n");
    write(directory, "2/2.volley", "send \"a\"\nexpect \"b\"\n");
    write(directory, "3.volley", "send \"a\"\nexpect echo\n");
    write(directory, "readme.txt", "no script");
    let (listener, to) = listen().await;
    let serve = async {
        loop {
            Peer::accept(&listener).await.echo_all().await;
        }
    };
    let mut command = script(&to);
    let play = run(command.current_dir(directory).args(arguments).arg("."));
    within(async {
        tokio::select! {
            never = serve => never,
            ended = play => ended,
        }
    })
    .await
}

/// What a text says but for how long things took.
fn timeless(text: &str) -> String {
    let lines = text.lines().map(|line| match line.rsplit_once("  ") {
        Some((front, _)) if line.starts_with("ok  ") || line.starts_with("FAIL") => front,
        _ => line.split(" in ").next().unwrap(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn a_directory_of_scripts_is_a_test_suite() {
    let directory = tempfile::tempdir().unwrap();
    let ended = play_three(&directory, &["--report", "junit=results.xml", "--report=tap=t"]).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), ""));
    let stdout = timeless(&String::from_utf8(ended.stdout).unwrap());
    let expected = "\
ok    ./1.volley
FAIL  ./2/2.volley:2:1
      expect \"b\"
      reply 1 is not the one that was expected
        expected  00000000  62                                               |b|
                  00000001
        received  00000000  61                                               |a|
                  00000001
ok    ./3.volley

2 passed, 1 failed";
    assert_eq!(stdout, expected);
    let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
    let junit = read("results.xml");
    assert!(junit.contains("tests=\"3\" skipped=\"0\" failures=\"1\" errors=\"0\""), "{junit}");
    let tap = read("t");
    assert!(tap.starts_with("TAP version 14\n1..3\nok 1 - ./1.volley\nnot ok 2 - ./2/2.volley\n"));
}

#[tokio::test]
async fn fail_fast_plays_no_script_behind_one_that_failed() {
    let directory = tempfile::tempdir().unwrap();
    let ended = play_three(&directory, &["--fail-fast", "--report", "tap"]).await;
    let stdout = String::from_utf8(ended.stdout).unwrap();
    assert_eq!(ended.code, Some(1), "{stdout}");
    assert!(stdout.ends_with("ok 3 - ./3.volley # SKIP not played\n"), "{stdout}");
}

#[tokio::test]
async fn a_report_that_cannot_be_created_is_told_before_anything_is_played() {
    let command = &mut program();
    command.args(["script", "--report", "junit=/nowhere/x", "-"]);
    let ended = within(run_with(command, b"send \"a\"\n")).await;
    ended.failed(73, "cannot create /nowhere/x: No such file or directory (os error 2)");
    let command = &mut program();
    command.args(["script", "--report", "tap", "--report", "junit", "-"]);
    let ended = within(run_with(command, b"send \"a\"\n")).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
}

#[tokio::test]
async fn ctrl_c_reports_what_was_played() {
    let directory = tempfile::tempdir().unwrap();
    write(&directory, "1.volley", "send \"a\"\nexpect echo\n");
    write(&directory, "2.volley", "send \"b\"\nexpect echo\n");
    write(&directory, "3.volley", "send \"c\"\nexpect echo\n");
    let (listener, to) = listen().await;
    let mut command = script(&to);
    command.current_dir(&directory).args(["--report", "tap", "."]);
    let play = async {
        let running = Running::start(&mut command);
        let mut peer = Peer::accept(&listener).await;
        peer.echo(1).await;
        drop(peer);
        // The second one waits for its reply.
        let mut peer = Peer::accept(&listener).await;
        peer.payload().await;
        running.signal(Signal::INT);
        running.end().await
    };
    let ended = within(play).await;
    let stdout = String::from_utf8(ended.stdout).unwrap();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(130), ""), "{stdout}");
    let expected = r#"TAP version 14
1..3
ok 1 - ./1.volley
not ok 2 - ./2.volley
  ---
  message: "interrupted"
  exit_code: 130
  statement: "expect echo"
  at: {"column":1,"file":"./2.volley","line":2}
  details: []
  ...
ok 3 - ./3.volley # SKIP not played
"#;
    assert_eq!(stdout, expected);
}

#[tokio::test]
async fn ctrl_c_ends_a_wait_for_somebody_to_read_a_report() {
    let directory = tempfile::tempdir().unwrap();
    write(&directory, "x", "sleep 0s\n");
    let [file, pipe] = ["file", "pipe"].map(|name| directory.path().join(name));
    mkfifoat(CWD, &pipe, Mode::RWXU).unwrap();
    let mut command = program();
    command.arg("script").arg(directory.path().join("x"));
    for (format, path) in [("junit", &file), ("tap", &pipe)] {
        command.args(["--report", &format!("{format}={}", path.display())]);
    }
    let running = Running::start(&mut command);
    let ended = within(async {
        // The file comes first, and the pipe at once behind it.
        while !file.exists() {
            tokio::task::yield_now().await;
        }
        running.signal(Signal::INT);
        running.end().await
    })
    .await;
    assert_eq!((ended.code, &*ended.stdout), (Some(130), &b""[..]), "{ended:?}");
}

#[tokio::test]
async fn ctrl_c_ends_a_report_that_nobody_goes_on_reading() {
    let directory = tempfile::tempdir().unwrap();
    (0..400).for_each(|i| write(&directory, &format!("{i}.volley"), "sleep 0s\n"));
    let pipe = directory.path().join("pipe");
    mkfifoat(CWD, &pipe, Mode::RWXU).unwrap();
    let mut command = program();
    command
        .arg("script")
        .arg("--report")
        .arg(format!("tap={}", pipe.display()))
        .arg(directory.path());
    let running = Running::start(&mut command);
    let ended = within(async {
        let reader = spawn_blocking(move || File::open(pipe).unwrap()).await.unwrap();
        let room = fcntl_setpipe_size(&reader, 4096).unwrap() as u64;
        // No point of it is as long as what is left.
        while ioctl_fionread(&reader).unwrap() < room - 512 {
            tokio::task::yield_now().await;
        }
        running.signal(Signal::INT);
        running.end().await
    })
    .await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(130), ""), "{ended:?}");
}

#[tokio::test]
async fn ctrl_c_ends_a_script_that_never_waits() {
    let (listener, to) = listen().await;
    let play = async {
        let mut running = Running::start(script(&to).arg("-"));
        running.write(b"send \"a\"\nrepeat 9G\nrepeat 9G\ntimeout 1s\nend\nend\n").await;
        drop(running.stdin.take());
        Peer::accept(&listener).await.payload().await;
        running.signal(Signal::INT);
        running.end().await
    };
    assert_eq!(within(play).await.code, Some(130));
}

#[tokio::test]
async fn v_shows_what_passes() {
    let ended = play(
        async |mut peer: Peer| {
            assert_eq!(peer.payload().await, b"hi");
            peer.reply(b"hi").await;
            peer.until_closed().await;
        },
        async |to| {
            let text = "raw hex 0000\nraw hex 0002 \"hi\"\nexpect \"hi\"\n";
            let mut script = script(&to);
            run_with(script.args(["-v", "-"]), text.as_bytes()).await
        },
    );
    let ended = ended.await;
    let shown: Vec<_> = ended
        .stderr
        .lines()
        .filter_map(|line| line.split_once(" ms "))
        .map(|(_, said)| said)
        .collect();
    let expected = ["* stdin", "> raw: 2 bytes", "> raw: 4 bytes", "< frame 1: 2 bytes"];
    assert!(expected.iter().all(|line| shown.contains(line)), "{}", ended.stderr);
}
