//! `volley shell`: on a terminal, as somebody types at it, and elsewhere.

use std::process::Stdio;

use pty_process::Command;
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::sync::Notify;
use volley_proto::{Endpoint, MaxFrame, Reason, ReplyKind};

use crate::scripted::{Peer, echo, listen, play, receipt, within};
use crate::terminal::Terminal;
use crate::{program, run_with};

const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const UP: &str = "\x1b[A";

/// A shell on a terminal, and whoever types at it, against this server.
async fn shell(
    arguments: &[&str],
    server: impl AsyncFnOnce(Peer),
    person: impl AsyncFnOnce(&mut Terminal),
) {
    let home = tempfile::tempdir().unwrap();
    play(server, async |to| {
        let mut terminal = start(&home, &to, arguments);
        person(&mut terminal).await;
    })
    .await;
}

fn start(home: &TempDir, to: &Endpoint, arguments: &[&str]) -> Terminal {
    let to = to.to_string();
    let arguments = [&["shell", "--timeout", "25s", "--to", &to], arguments].concat();
    Terminal::start(home, &arguments)
}

/// Echoes frames as these, and gets no others.
fn echoes_only(frames: &[&str]) -> impl AsyncFnOnce(Peer) {
    async move |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        for frame in frames {
            assert_eq!(peer.payload().await, frame.as_bytes());
            peer.reply(frame.as_bytes()).await;
        }
        assert_eq!(peer.until_closed().await, b"");
    }
}

#[tokio::test]
async fn each_line_is_a_frame_and_its_reply_is_shown_with_its_time() {
    let lines = ["hello world", "", "with \u{e9}"];
    shell(&[], echoes_only(&lines), async |terminal| {
        terminal.until_at("> ").await;
        assert!(terminal.shown().contains(": echo, frames of up to 1MiB; Ctrl-D ends\n"));
        for line in lines {
            terminal.line(line).await;
            terminal.until_shown(&format!("> {line}\n{line}  ")).await;
        }
        terminal.until_at("> ").await;
        let shown = terminal.shown();
        let times = shown.lines().filter(|line| line.ends_with(" ms")).count();
        assert_eq!(times, 3, "{shown}");
        assert_eq!(terminal.leave().await, Some(0));
        assert!(terminal.is_as_it_was());
    })
    .await;
}

/// As a terminal sends what is pasted where it does not say that it is, and what somebody types
/// while a reply is awaited.
#[tokio::test]
async fn lines_that_come_at_once_are_sent_one_after_the_other() {
    shell(&[], echo, async |terminal| {
        terminal.until_at("> ").await;
        terminal.keys("one\rtwo\rthree\r").await;
        for line in ["one", "two", "three"] {
            terminal.until_shown(&format!("> {line}\n{line}  ")).await;
        }
        assert_eq!(terminal.leave().await, Some(0));
    })
    .await;
}

/// As a terminal sends them that says what is pasted: they can be looked at before they are sent.
#[tokio::test]
async fn lines_that_are_pasted_are_frames_of_their_own_once_entered() {
    shell(&[], echoes_only(&["one", "", "two"]), async |terminal| {
        terminal.until_at("> ").await;
        terminal.keys("\x1b[200~one\r\rtwo\r\x1b[201~").await;
        terminal.until_shown("> one\n\ntwo").await;
        terminal.keys("\r").await;
        terminal.until_shown("\none  ").await;
        terminal.until_shown("\ntwo  ").await;
        assert_eq!(terminal.leave().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn receipts_are_shown_in_words() {
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Ack).await;
        peer.payload().await;
        peer.reply(&receipt(b"hello", 1, 5).encode()).await;
        peer.until_closed().await;
    };
    shell(&["--reply", "ack"], server, async |terminal| {
        terminal.line("hello").await;
        terminal.until_shown("\nACK seq=1 len=5 crc32c=9a71bb4c total=5 received_at=").await;
        assert_eq!(terminal.leave().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn bytes_that_cannot_be_typed_have_notations() {
    shell(&["--input", "hex", "--output", "hex"], echo, async |terminal| {
        terminal.line("0g").await;
        terminal.until_shown("volley: `g` at byte 2 is no hexadecimal digit").await;
        terminal.line("00 FF").await;
        terminal.until_shown("\n00ff  ").await;
        assert_eq!(terminal.leave().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn a_reply_cannot_command_the_terminal() {
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        peer.payload().await;
        peer.reply(b"\x1b[2Jgone").await;
        peer.until_closed().await;
    };
    shell(&["--no-check"], server, async |terminal| {
        terminal.line("x").await;
        terminal.until_shown("\n\\u{1b}[2Jgone  ").await;
        assert_eq!(terminal.leave().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn ctrl_c_gives_up_the_line_and_then_the_shell() {
    shell(&[], echo, async |terminal| {
        terminal.keys("half a li").await;
        terminal.until_at("> half a li").await;
        terminal.keys(CTRL_C).await;
        terminal.line("x").await;
        terminal.until_shown("> x\nx  ").await;
        terminal.until_at("> ").await;
        terminal.keys(CTRL_C).await;
        assert_eq!(terminal.end().await, Some(130));
        assert!(terminal.is_as_it_was());
    })
    .await;
}

#[tokio::test]
async fn ctrl_c_ends_the_wait_for_a_reply() {
    let is_sent = Notify::new();
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        peer.payload().await;
        is_sent.notify_one();
        peer.until_closed().await;
    };
    shell(&[], server, async |terminal| {
        terminal.line("x").await;
        is_sent.notified().await;
        // The editor leaves the terminal to others before a line is sent.
        assert!(terminal.is_as_it_was());
        terminal.keys(CTRL_C).await;
        assert_eq!(terminal.end().await, Some(130));
    })
    .await;
}

#[tokio::test]
async fn a_signal_at_the_prompt_leaves_the_terminal_as_it_was() {
    shell(&[], echo, async |terminal| {
        terminal.until_at("> ").await;
        assert!(!terminal.is_as_it_was());
        terminal.signal(Signal::TERM);
        assert_eq!(terminal.end().await, Some(143));
        assert!(terminal.is_as_it_was());
    })
    .await;
}

#[tokio::test]
async fn what_was_typed_is_remembered_but_for_what_begins_with_a_blank() {
    let home = tempfile::tempdir().unwrap();
    for (line, row) in [("first", "> first\nfirst  "), (" secret", ">  secret\n secret  ")] {
        play(echo, async |to| {
            let mut terminal = start(&home, &to, &[]);
            terminal.line(line).await;
            terminal.until_shown(row).await;
            assert_eq!(terminal.leave().await, Some(0));
        })
        .await;
    }
    play(echo, async |to| {
        let mut terminal = start(&home, &to, &[]);
        terminal.until_at("> ").await;
        terminal.keys(UP).await;
        terminal.until_at("> first").await;
        terminal.keys("\r").await;
        terminal.until_shown("> first\nfirst  ").await;
        assert_eq!(terminal.leave().await, Some(0));
    })
    .await;
    let history = home.path().join(".local/state/volley/history");
    let mode = std::os::unix::fs::PermissionsExt::mode(&history.metadata().unwrap().permissions());
    assert_eq!(mode & 0o077, 0, "{mode:o}");
}

#[tokio::test]
async fn a_wrong_reply_is_shown_and_the_shell_goes_on() {
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        peer.payload().await;
        peer.reply(b"heLlo").await;
        peer.echo_all().await;
    };
    shell(&[], server, async |terminal| {
        terminal.line("hello").await;
        terminal.until_shown("different from byte 2 on").await;
        terminal.until_shown("received  00000000  68 65 4c 6c 6f").await;
        terminal.line("x").await;
        terminal.until_shown("> x\nx  ").await;
        assert_eq!(terminal.leave().await, Some(1));
        assert!(terminal.shown().contains("volley: wrong replies: 1 of 2"));
    })
    .await;
}

#[tokio::test]
async fn a_server_that_goes_is_told_above_the_line_and_found_again() {
    let home = tempfile::tempdir().unwrap();
    let (listener, to) = listen().await;
    let is_left = Notify::new();
    let serve = async {
        let mut peer = Peer::accept(&listener).await;
        peer.greet(ReplyKind::Echo).await;
        peer.echo(1).await;
        peer.goaway(Reason::ShuttingDown).await;
        // It takes no more frames on this connection, and gets none.
        assert_eq!(peer.until_closed().await, b"");
        is_left.notify_one();
        let mut peer = Peer::accept(&listener).await;
        peer.greet(ReplyKind::Echo).await;
        peer.echo(1).await;
        drop(peer);
        let mut peer = Peer::accept(&listener).await;
        peer.greet(ReplyKind::Echo).await;
        peer.echo_all().await;
    };
    let type_lines = async {
        let mut terminal = start(&home, &to, &[]);
        terminal.line("a").await;
        terminal.until_shown("takes no new frames: shutting down; the next frame connects").await;
        // A drain does not have to wait for whoever types nothing.
        is_left.notified().await;
        terminal.line("b").await;
        terminal.until_shown("> b\nb  ").await;
        terminal.until_shown("closed the connection: 1 frame answered, 0 without a reply;").await;
        terminal.line("c").await;
        terminal.until_shown("> c\nc  ").await;
        assert_eq!(terminal.leave().await, Some(0));
    };
    within(async { tokio::join!(serve, type_lines) }).await;
}

#[tokio::test]
async fn a_line_behind_a_goaway_is_sent_on_another_connection() {
    let home = tempfile::tempdir().unwrap();
    let (listener, to) = listen().await;
    let serve = async {
        let mut peer = Peer::accept(&listener).await;
        peer.greet(ReplyKind::Echo).await;
        let payload = peer.payload().await;
        // It is heard before the next line is sent.
        peer.goaway(Reason::ShuttingDown).await;
        peer.reply(&payload).await;
        assert_eq!(peer.until_closed().await, b"");
        let mut peer = Peer::accept(&listener).await;
        peer.greet(ReplyKind::Echo).await;
        peer.echo_all().await;
    };
    let type_lines = async {
        let mut terminal = start(&home, &to, &[]);
        terminal.until_at("> ").await;
        terminal.keys("\x1b[200~one\rtwo\rthree\x1b[201~\r").await;
        for line in ["one", "two", "three"] {
            terminal.until_shown(&format!("\n{line}  ")).await;
        }
        assert_eq!(terminal.leave().await, Some(0));
    };
    within(async { tokio::join!(serve, type_lines) }).await;
}

#[tokio::test]
async fn a_frame_that_is_too_long_is_not_sent() {
    let server = async |mut peer: Peer| {
        peer.hello().await;
        peer.welcome(ReplyKind::Echo, MaxFrame::new(5).unwrap()).await;
        peer.echo_all().await;
    };
    shell(&[], server, async |terminal| {
        terminal.line("sixsix").await;
        terminal.until_shown("volley: frame of 6 bytes exceeds the limit of 5").await;
        terminal.line("fives").await;
        terminal.until_shown("> fives\nfives  ").await;
        assert_eq!(terminal.leave().await, Some(1));
    })
    .await;
}

#[tokio::test]
async fn an_error_has_its_time_behind_it_as_a_reply_has() {
    let home = tempfile::tempdir().unwrap();
    let server = async |mut peer: Peer| {
        peer.greet(ReplyKind::Echo).await;
        peer.until_closed().await;
    };
    play(server, async |to| {
        let arguments = ["shell", "--timeout", "300ms", "--to", &to.to_string()];
        let mut terminal = Terminal::start(&home, &arguments);
        terminal.line("hello").await;
        terminal.until_shown("within 300ms (try a longer --timeout)  ").await;
        assert_eq!(terminal.leave().await, Some(1));
        assert!(terminal.shown().contains(" ms\n"), "{}", terminal.shown());
    })
    .await;
}

#[tokio::test]
async fn without_a_server_there_is_no_prompt() {
    let home = tempfile::tempdir().unwrap();
    let (listener, to) = listen().await;
    drop(listener);
    let mut terminal = start(&home, &to, &[]);
    assert_eq!(within(terminal.end()).await, Some(69));
    assert!(terminal.shown().contains("Connection refused"), "{}", terminal.shown());
}

#[tokio::test]
async fn elsewhere_it_reads_lines_as_send_does() {
    let shell = async |to: Endpoint| {
        let mut command = program();
        command.args(["shell", "--timeout", "25s", "--to", &to.to_string()]);
        run_with(&mut command, b"a\n\nb").await
    };
    play(echo, shell).await.printed("a\n\nb\n");
}

/// A shell whose program is started with something changed: one line, and its end.
async fn one_line(change: impl FnOnce(Command) -> Command) -> (Terminal, Option<i32>) {
    let home = tempfile::tempdir().unwrap();
    let shell = async |to: Endpoint| {
        let arguments = ["shell", "--timeout", "25s", "--to", &to.to_string()];
        let mut terminal = Terminal::start_as(&home, &arguments, change);
        terminal.until_shown("frames are read from the terminal; Ctrl-D ends them").await;
        terminal.keys("hello\r").await;
        terminal.keys(CTRL_D).await;
        let code = terminal.end().await;
        (terminal, code)
    };
    play(echo, shell).await
}

/// As in a shell of Emacs.
#[tokio::test]
async fn on_a_terminal_that_cannot_edit_it_reads_lines_as_send_does() {
    let (terminal, code) = one_line(|command| command.env("TERM", "dumb")).await;
    assert_eq!(code, Some(0), "{}", terminal.shown());
    assert!(terminal.shown().ends_with("\nhello\nhello"), "{}", terminal.shown());
}

#[tokio::test]
async fn what_is_typed_can_go_to_a_file_or_a_pipe() {
    let (terminal, code) = one_line(|command| command.stdout(Stdio::piped())).await;
    assert_eq!(code, Some(0), "{}", terminal.shown());
    let mut printed = String::new();
    terminal.child.stdout.unwrap().read_to_string(&mut printed).await.unwrap();
    assert_eq!(printed, "hello\n");
}
