//! `volley script`: what scripts do to a server, and what is told of each thing that it may do.

use std::fs::File;
use std::path::Path;

use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::io::ioctl_fionread;
use rustix::pipe::fcntl_setpipe_size;
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::task::spawn_blocking;
use volley_proto::{Endpoint, Reason, ReplyKind};

use crate::scripted::{Peer, echo, listen, play, receipt, within};
use crate::{Ended, Running, program, run, run_with};

fn script(to: &Endpoint) -> Command {
    let mut command = program();
    command.args(["script", "--timeout", "25s", "--to", &to.to_string()]);
    command
}

/// Plays this text against this server.
async fn talk(text: &str, server: impl AsyncFnOnce(Peer)) -> Ended {
    play(server, async |to| run_with(script(&to).arg("-"), text.as_bytes()).await).await
}

/// A server that takes one frame and then does this.
async fn after_a_frame(text: &str, then: impl AsyncFnOnce(&mut Peer)) -> Ended {
    talk(text, async |mut peer: Peer| {
        peer.payload().await;
        then(&mut peer).await;
    })
    .await
}

impl Ended {
    /// The script on stdin passed.
    #[track_caller]
    fn passed(&self) {
        let stdout = String::from_utf8_lossy(&self.stdout);
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{stdout}");
        assert!(stdout.starts_with("ok    stdin  "), "{stdout}");
    }

    /// The script on stdin failed at `place` with this code; below are these lines.
    #[track_caller]
    fn failed_at(&self, place: &str, code: i32, lines: &str) {
        let stdout = String::from_utf8_lossy(&self.stdout);
        assert_eq!((self.code, self.stderr.as_str()), (Some(code), ""), "{stdout}");
        let (head, rest) = stdout.split_once('\n').unwrap();
        assert!(head.starts_with(&format!("FAIL  stdin:{place}  ")), "{stdout}");
        assert_eq!(rest, lines);
    }
}

fn write(directory: &TempDir, name: &str, text: &str) {
    let path = directory.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

#[tokio::test]
async fn bytes_go_out_as_they_are_written_and_frames_behind_their_length() {
    let text = "raw hex 00 \"x\"\nsend \"hi\" hex ff\nsend \"\"\nhalf-close\nexpect close\n";
    let server = async |mut peer: Peer| {
        assert_eq!(peer.until_closed().await, b"\0x\0\0\0\x03hi\xff\0\0\0\0");
    };
    talk(text, server).await.passed();
}

#[tokio::test]
async fn until_passes_over_what_does_not_matter() {
    let text = "send \"go\"\nuntil /^done/\nexpect \"last\"\n";
    let ended = after_a_frame(text, async |peer| {
        peer.goaway(Reason::ShuttingDown).await;
        for reply in ["10 %", "99 %", "done", "last"] {
            peer.reply(reply.as_bytes()).await;
        }
    });
    ended.await.passed();
}

#[tokio::test]
async fn control_frames_can_be_expected() {
    let text = "hello ack \"me\"\nsend \"a\"\nexpect receipt\nexpect goaway\nexpect error idle\n\
                expect close\n";
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Ack).await;
        peer.payload().await;
        peer.reply(&receipt(b"a", 1, 1).encode()).await;
        peer.goaway(Reason::Idle).await;
        peer.error(Reason::Idle, 1, "").await;
    };
    talk(text, server).await.passed();
}

#[tokio::test]
async fn each_connection_counts_its_own_frames() {
    let (listener, to) = listen().await;
    let serve = async {
        for payload in [&b"ab"[..], b"c"] {
            let mut peer = Peer::accept(&listener).await;
            assert_eq!(peer.payload().await, payload);
            peer.reply(&receipt(payload, 1, payload.len() as u64).encode()).await;
            peer.until_closed().await;
        }
    };
    let text = "send \"ab\"\nexpect receipt\nclose\nsend \"c\"\nexpect receipt\n";
    let mut script = script(&to);
    let play = run_with(script.arg("-"), text.as_bytes());
    within(async { tokio::join!(serve, play).1 }).await.passed();
}

#[tokio::test]
async fn a_wrong_reply_is_shown_beside_the_right_one() {
    let text = "  send \"hello\"\n  expect echo\n";
    let ended = after_a_frame(text, async |peer| peer.reply(b"heLlo").await).await;
    let lines = "      expect echo
      reply 1 is not its frame: 5 bytes sent, 5 received, different from byte 2 on
        expected  00000000  68 65 6c 6c 6f                                   |hello|
                  00000005
        received  00000000  68 65 4c 6c 6f                                   |heLlo|
                  00000005
";
    ended.failed_at("2:3", 1, lines);
}

#[tokio::test]
async fn each_pattern_says_why_it_does_not_match() {
    let cases = [
        ("\"b\"", "reply 1 is not the one that was expected"),
        ("prefix \"b\"", "reply 1 does not begin as expected"),
        ("/^b/", "reply 1 does not match /^b/"),
        ("receipt", "reply 1 is no receipt: a receipt has 32 bytes, not 1"),
        ("welcome", "reply 1 came, not WELCOME"),
        ("goaway", "reply 1 came, not GOAWAY"),
        ("error", "reply 1 came, not ERROR"),
        ("close", "reply 1 came, not the server's close"),
        ("nothing 25s", "reply 1 came, where nothing was expected"),
    ];
    for (pattern, why) in cases {
        let text = format!("send \"a\"\nexpect {pattern}\n");
        let ended = after_a_frame(&text, async |peer| peer.reply(b"a").await).await;
        let stdout = String::from_utf8(ended.stdout).unwrap();
        assert_eq!(ended.code, Some(1), "{stdout}");
        assert!(stdout.contains(&format!("expect {pattern}\n      {why}\n")), "{why}\n{stdout}");
        assert!(stdout.contains("received  00000000  61"), "{stdout}");
    }
}

#[tokio::test]
async fn an_error_in_place_of_a_reply_is_told_with_its_code() {
    let hint = " (send less at once, or give the server a larger --max-frame)";
    for (reason, name, hint, code) in [
        (Reason::Busy, "busy", "", 75),
        (Reason::TooLarge, "too large", hint, 65),
        (Reason::Protocol, "protocol", "", 76),
    ] {
        let text = "send \"a\"\nuntil \"b\"\n";
        let ended = after_a_frame(text, async |peer| peer.error(reason, 0, "so it is").await);
        let told = format!("refused by the server after 0 frames: {name}: so it is{hint}");
        let lines = format!("      until \"b\"\n      {told}\n");
        ended.await.failed_at("2:1", code, &lines);
    }
    let text = "send \"a\"\nexpect error busy\n";
    let ended = after_a_frame(text, async |peer| peer.error(Reason::Idle, 0, "").await).await;
    ended.failed_at("2:1", 1, "      expect error busy\n      the ERROR says idle, not busy\n");
}

#[tokio::test]
async fn a_server_that_closes_too_early_is_told() {
    for statement in ["expect any", "until any"] {
        let text = format!("send \"a\"\n{statement}\n");
        let told = "the server closed the connection: 0 frames answered, 1 without a reply";
        let ended = after_a_frame(&text, async |_| {}).await;
        ended.failed_at("2:1", 1, &format!("      {statement}\n      {told}\n"));
    }
}

#[tokio::test]
async fn a_reset_is_told() {
    let ended = talk("send \"a\"\nexpect any\n", async |mut peer: Peer| {
        peer.payload().await;
        peer.reset();
    });
    let told = "the connection failed: Connection reset by peer (os error 104): 0 frames answered, \
                1 without a reply";
    ended.await.failed_at("2:1", 1, &format!("      expect any\n      {told}\n"));
}

#[tokio::test]
async fn a_reply_that_is_cut_off_breaks_the_protocol() {
    let text = "send \"a\"\nexpect any\n";
    let ended = after_a_frame(text, async |peer| peer.write(b"\0\0\0\x05ab").await).await;
    let told = "the server broke the protocol: the stream ended inside a frame: 6 of 9 bytes \
                (is it a framed server?)";
    ended.failed_at("2:1", 76, &format!("      expect any\n      {told}\n"));
}

#[tokio::test]
async fn a_server_that_is_no_framed_one_is_told() {
    let text = "send \"a\"\nexpect any\n";
    let ended = after_a_frame(text, async |peer| peer.write(b"HTTP/1.1 400 Bad\r\n").await).await;
    assert_eq!(ended.code, Some(76), "{ended:?}");
}

#[tokio::test]
async fn silence_ends_within_the_timeout() {
    let silent = async |mut peer: Peer| {
        peer.until_closed().await;
    };
    let text = "timeout 200ms\nsend \"a\"\nexpect any\n";
    let told = "no reply to frame 1 within 200ms (try a longer --timeout)";
    let ended = talk(text, silent).await;
    ended.failed_at("3:1", 75, &format!("      expect any\n      {told}\n"));
    let text = "timeout 200ms\nsend \"a\"\nuntil any\n";
    let told = "nothing came within 200ms (try a longer --timeout)";
    let ended = talk(text, silent).await;
    ended.failed_at("3:1", 75, &format!("      until any\n      {told}\n"));
}

/// It waits for what nobody has been asked for.
#[tokio::test]
async fn what_nobody_was_asked_for_is_told_so() {
    let echo = async |peer: Peer| peer.echo_all().await;
    let text = "timeout 200ms\nsend \"a\"\nexpect echo\nexpect echo\n";
    let told = "nothing came within 200ms (no frame is without a reply: is a `send` missing?)";
    let ended = talk(text, echo).await;
    ended.failed_at("4:1", 75, &format!("      expect echo\n      {told}\n"));
    // What has been sent is no frame, and nobody knows what is due.
    let text = "timeout 200ms\nraw hex 000000\nexpect error\n";
    let told = "nothing came within 200ms (try a longer --timeout)";
    let silent = async |mut peer: Peer| {
        peer.until_closed().await;
    };
    let ended = talk(text, silent).await;
    ended.failed_at("3:1", 75, &format!("      expect error\n      {told}\n"));
}

#[tokio::test]
async fn bytes_that_do_not_all_come_are_shown() {
    let text = "timeout 200ms\nsend \"a\"\nexpect raw \"abcd\"\n";
    let ended = after_a_frame(text, async |peer| {
        peer.write(b"ab").await;
        peer.until_closed().await;
    });
    let lines = "      expect raw \"abcd\"
      2 of 4 bytes came within 200ms (try a longer --timeout)
        expected  00000000  61 62 63 64                                      |abcd|
                  00000004
        received  00000000  61 62                                            |ab|
                  00000002
";
    ended.await.failed_at("3:1", 75, lines);
}

/// However they are taken, and whatever stands among them.
#[tokio::test]
async fn replies_that_are_taken_as_bytes_have_answered_their_frames() {
    let hello = "raw hex 8000000c 01 01 0001 0000000000000000 00000001 \"a\"";
    let welcome = "hex 8000000c 02 01 0001 0000000000100000";
    for pieces in [
        "expect raw WELCOME hex 00000001 \"a\"",
        "expect raw WELCOME\nexpect raw hex 00000001\nexpect raw \"a\"",
        "expect welcome\nexpect raw hex 0000\nexpect raw hex 0001 \"a\"",
        "expect raw WELCOME\nexpect echo",
    ] {
        let text = format!("{hello}\n{pieces}\nsend \"b\"\nexpect echo\n");
        talk(&text.replace("WELCOME", welcome), echo).await.passed();
    }
}

#[tokio::test]
async fn part_of_a_frame_is_more_than_nothing() {
    let text = "send \"a\"\nexpect nothing 200ms\n";
    let ended = after_a_frame(text, async |peer| {
        peer.write(b"\0\0\0\x02x").await;
        peer.until_closed().await;
    });
    let lines = "      expect nothing 200ms
      part of a frame came, where nothing was expected
        received  00000000  00 00 00 02 78                                   |....x|
                  00000005
";
    ended.await.failed_at("2:1", 1, lines);
}

#[tokio::test]
async fn nothing_can_be_sent_behind_a_half_close() {
    for statement in ["send \"b\"", "raw \"b\"", "hello"] {
        let text = format!("send \"a\"\nhalf-close\nexpect echo\n{statement}\n");
        let ended = talk(&text, async |peer: Peer| peer.echo_all().await).await;
        let told = "nothing can be sent behind a half-close: `connect` opens another connection";
        ended.failed_at("4:1", 65, &format!("      {statement}\n      {told}\n"));
    }
}

#[tokio::test]
async fn until_tells_what_came_in_place_of_what_it_waits_for() {
    let text = "timeout 200ms\nsend \"a\"\nuntil \"c\"\n";
    let ended = after_a_frame(text, async |peer| {
        peer.reply(b"a").await;
        peer.reply(b"b").await;
        peer.until_closed().await;
    });
    let lines = "      until \"c\"
      nothing that matches came within 200ms, but 2 other frames; the last: reply 2 is not the one that was expected
        expected  00000000  63                                               |c|
                  00000001
        received  00000000  62                                               |b|
                  00000001
";
    ended.await.failed_at("3:1", 75, lines);
}

#[tokio::test]
async fn a_server_that_takes_nothing_is_given_up() {
    let text = "timeout 200ms\nrepeat 100\nsend zeros 1MiB\nend\n";
    let ended = talk(text, async |peer: Peer| peer.until_client_is_done().await).await;
    let told = "the server does not take what is sent: not done within 200ms";
    ended.failed_at("3:1", 75, &format!("      send zeros 1MiB\n      {told}\n"));
}

#[tokio::test]
async fn replies_that_are_not_read_yet_are_in_nobodys_way() {
    // More than the buffers of both sides hold.
    let text = "repeat 30\nsend random 1MiB\nend\nrepeat 30\nexpect echo\nend\n";
    talk(text, async |peer: Peer| peer.echo_all().await).await.passed();
}

#[tokio::test]
async fn a_server_that_does_not_know_hello_is_told_with_what_to_try() {
    let ended = talk("hello\n", async |mut peer: Peer| {
        peer.hello().await;
    });
    let told = "the server answered HELLO with a close, not with WELCOME: it may not know HELLO \
                (leave `hello` out)";
    ended.await.failed_at("1:1", 76, &format!("      hello\n      {told}\n"));
    let ended = talk("hello\n", async |mut peer: Peer| {
        peer.hello().await;
        peer.reset();
    });
    let told = told.replace("a close", "a reset");
    ended.await.failed_at("1:1", 76, &format!("      hello\n      {told}\n"));
    let ended = talk("hello\n", async |mut peer: Peer| {
        let (head, body) = peer.frame().await;
        peer.write(&head.to_be_bytes()).await;
        peer.write(&body).await;
    });
    let told = "the server answered HELLO with an echo of it, not with WELCOME: it may not know \
                HELLO (leave `hello` out)";
    ended.await.failed_at("1:1", 76, &format!("      hello\n      {told}\n"));
    // What was not read makes a reset of the close.
    let ended = talk("raw \"x\"\nhello\n", async |peer: Peer| peer.reset());
    let ended = String::from_utf8(ended.await.stdout).unwrap();
    assert!(ended.contains("it may not know HELLO") || ended.contains("reset by peer"), "{ended}");
    let ended = talk("timeout 200ms\nhello\n", async |mut peer: Peer| {
        peer.until_closed().await;
    });
    let told = "no WELCOME within 200ms (it may not know HELLO: leave `hello` out, or try a longer \
                --timeout)";
    ended.await.failed_at("2:1", 75, &format!("      hello\n      {told}\n"));
    let ended = talk("hello ack\n", async |mut peer: Peer| peer.greet(ReplyKind::Echo).await).await;
    let told = "the server grants echo, not the ack that was asked for";
    ended.failed_at("1:1", 1, &format!("      hello ack\n      {told}\n"));
}

#[tokio::test]
async fn a_port_without_a_server_is_unavailable() {
    let (listener, to) = listen().await;
    drop(listener);
    let ended = within(run_with(script(&to).arg("-"), b"send \"a\"\n")).await;
    let told = format!(
        "cannot connect to {to}: Connection refused (os error 111) (is volleyd running there?)"
    );
    ended.failed_at("1:1", 69, &format!("      send \"a\"\n      {told}\n"));
}

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
