//! The program over UDP, where replies may come in any order, twice or never.

use std::net::SocketAddr;

use tokio::net::UdpSocket;
use tokio::process::Command;
use volley_proto::{DatagramReply, Endpoint, ReplyKind};

use crate::scripted::within;
use crate::terminal::Terminal;
use crate::{Ended, program, run, run_with};

/// A server's socket.
struct Server(UdpSocket);

impl Server {
    /// The next datagram, and who sent it.
    async fn next(&self) -> (Vec<u8>, SocketAddr) {
        let mut room = vec![0; 65_536];
        let (len, from) = self.0.recv_from(&mut room).await.unwrap();
        room.truncate(len);
        (room, from)
    }

    /// Answers so many datagrams with their receipts.
    async fn acknowledge(&self, count: usize) {
        for _ in 0..count {
            let (payload, from) = self.next().await;
            let mut receipt = Vec::new();
            DatagramReply::to(&payload, ReplyKind::Ack, 1).unwrap().encode(&mut receipt);
            self.0.send_to(&receipt, from).await.unwrap();
        }
    }

    async fn echo(&self, count: usize) {
        for _ in 0..count {
            let (payload, from) = self.next().await;
            self.0.send_to(&payload, from).await.unwrap();
        }
    }
}

/// Runs the program against this server, until the program has ended.
async fn against(
    server: impl AsyncFnOnce(Server),
    command: impl AsyncFnOnce(Endpoint) -> Ended,
) -> Ended {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to = Endpoint::Udp(socket.local_addr().unwrap().into());
    let serve = async {
        server(Server(socket)).await;
        std::future::pending().await
    };
    within(async {
        tokio::select! {
            ended = command(to) => ended,
            () = serve => unreachable!(),
        }
    })
    .await
}

fn send(to: &Endpoint, timeout: &str) -> Command {
    let mut command = program();
    command.args(["send", "--timeout", timeout, "--to", &to.to_string()]);
    command
}

#[tokio::test]
async fn each_frame_is_a_datagram_and_gets_its_reply() {
    let server = async |server: Server| server.echo(usize::MAX).await;
    let lines = async |to| run_with(&mut send(&to, "25s"), b"a\n\nhello world\n").await;
    against(server, lines).await.printed("a\n\nhello world\n");
    let many: String = (0..3000).map(|i| format!("line {i}\n")).collect();
    let ended = against(server, async |to| run_with(&mut send(&to, "25s"), many.as_bytes()).await);
    ended.await.printed(&many);
}

#[tokio::test]
async fn replies_are_put_in_order_again() {
    let server = async |server: Server| {
        let (a, from) = server.next().await;
        let (b, _) = server.next().await;
        let (c, _) = server.next().await;
        for payload in [c, a, b] {
            server.0.send_to(&payload, from).await.unwrap();
        }
    };
    let ended = against(server, async |to| run(send(&to, "25s").args(["a", "b", "c"])).await);
    ended.await.printed("a\nb\nc\n");
}

#[tokio::test]
async fn a_datagram_that_is_lost_is_a_loss_and_the_others_are_printed() {
    let server = async |server: Server| {
        server.next().await;
        server.echo(1).await;
    };
    let ended = against(server, async |to| run(send(&to, "300ms").args(["a", "b"])).await).await;
    let told = "no reply to frame 1: no reply within 300ms\nvolley: 1 of 2 replies never came";
    ended.failed_after("b\n", 1, told);
}

#[tokio::test]
async fn a_lost_datagram_is_sent_again_if_asked_for() {
    let server = async |server: Server| {
        server.next().await;
        server.next().await;
        server.echo(1).await;
    };
    let retry = async |to| run(send(&to, "200ms").args(["--retry", "5", "a"])).await;
    against(server, retry).await.printed("a\n");
}

#[tokio::test]
async fn a_reply_that_comes_twice_is_told() {
    let server = async |server: Server| {
        let (payload, from) = server.next().await;
        for _ in 0..2 {
            server.0.send_to(&payload, from).await.unwrap();
        }
        server.echo(1).await;
    };
    let one_by_one = async |to| run(send(&to, "25s").args(["--pipeline", "1", "hello", "b"])).await;
    let told = "a reply of 5 bytes came again\nvolley: 1 reply came that no frame was waiting for";
    against(server, one_by_one).await.failed_after("hello\nb\n", 1, told);
}

/// The second frame's reply is held back until the first one's has come.
#[tokio::test]
async fn a_reply_that_comes_twice_is_none_to_a_frame_before_it() {
    let server = async |server: Server| {
        let (first, from) = server.next().await;
        let (second, _) = server.next().await;
        for payload in [&second, &second, &first] {
            server.0.send_to(payload, from).await.unwrap();
        }
    };
    let ended = against(server, async |to| run(send(&to, "25s").args(["aaa", "bbb"])).await).await;
    let told = "a reply of 3 bytes came again\nvolley: 1 reply came that no frame was waiting for";
    ended.failed_after("aaa\nbbb\n", 1, told);
}

#[tokio::test]
async fn a_frame_that_was_sent_twice_may_be_answered_twice() {
    let server = async |server: Server| {
        let (first, from) = server.next().await;
        let (again, _) = server.next().await;
        for payload in [first, again] {
            server.0.send_to(&payload, from).await.unwrap();
        }
        server.echo(usize::MAX).await;
    };
    let slow = async |to| {
        let mut command = send(&to, "300ms");
        run(command.args(["--retry", "50", "--pipeline", "1", "a", "b"])).await
    };
    against(server, slow).await.printed("a\nb\n");
}

#[tokio::test]
async fn a_reply_to_a_frame_that_was_given_up_comes_late() {
    let server = async |server: Server| {
        let (first, from) = server.next().await;
        let (second, _) = server.next().await;
        server.0.send_to(&first, from).await.unwrap();
        server.0.send_to(&second, from).await.unwrap();
    };
    let late = async |to| run(send(&to, "300ms").args(["--pipeline", "1", "a", "b"])).await;
    let told = "no reply to frame 1: no reply within 300ms\nvolley: a reply of 1 byte came late\n\
                volley: 1 of 2 replies never came";
    against(server, late).await.failed_after("b\n", 1, told);
}

#[tokio::test]
async fn a_wrong_reply_is_shown_beside_the_right_one() {
    let server = async |server: Server| {
        let (_, from) = server.next().await;
        server.0.send_to(b"heLlo", from).await.unwrap();
    };
    let ended = against(server, async |to| run(send(&to, "25s").arg("hello")).await).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    for part in ["different from byte 2 on", "expected  00000000  68 65 6c", "68 65 4c"] {
        assert!(ended.stderr.contains(part), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn receipts_are_for_one_datagram_each() {
    let server = async |server: Server| server.acknowledge(usize::MAX).await;
    let frames = ["x".repeat(32), "y".repeat(100)];
    let ack = async |to| run(send(&to, "25s").args(["--reply", "ack"]).args(&frames)).await;
    let ended = against(server, ack).await;
    let stdout = String::from_utf8(ended.stdout).unwrap();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{stdout}");
    let lines: Vec<_> = stdout.lines().collect();
    assert!(lines[0].starts_with("ACK seq=0 len=32 ") && lines[0].contains(" total=32 "));
    assert!(lines[1].starts_with("ACK seq=0 len=100 ") && lines[1].contains(" total=100 "));
    let short = async |to| run(send(&to, "25s").args(["--reply", "ack", "short"])).await;
    let told = "this datagram would get no reply: a receipt has 32 bytes, and the datagram only 5";
    against(server, short).await.failed(65, told);
}

#[tokio::test]
async fn a_datagram_of_any_length_goes_through_and_a_longer_one_is_bad_data() {
    let directory = tempfile::tempdir().unwrap();
    let server = async |server: Server| server.echo(usize::MAX).await;
    for (len, code) in [(0, 0), (65_507, 0), (65_508, 65)] {
        let path = directory.path().join(len.to_string());
        std::fs::write(&path, vec![0xa5; len]).unwrap();
        let frame = format!("@{}", path.display());
        let whole = async |to| run(send(&to, "25s").args(["--output", "raw", &frame])).await;
        let ended = against(server, whole).await;
        assert_eq!(ended.code, Some(code), "{}", ended.stderr);
        if code == 0 {
            assert_eq!(ended.stdout.len(), len);
        } else {
            assert!(ended.stderr.contains("longer than the 65507 bytes"), "{}", ended.stderr);
        }
    }
}

#[tokio::test]
async fn a_port_without_a_server_is_unavailable() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to = Endpoint::Udp(socket.local_addr().unwrap().into());
    drop(socket);
    let ended = within(run(send(&to, "25s").arg("x"))).await;
    let told = format!(
        "cannot connect to {to}: Connection refused (os error 111) (is volleyd running there?)"
    );
    ended.failed(69, &told);
}

#[tokio::test]
async fn a_port_without_a_server_stays_unavailable_however_often_it_is_tried() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to = Endpoint::Udp(socket.local_addr().unwrap().into());
    drop(socket);
    let mut retry = send(&to, "50ms");
    let ended = within(run(retry.args(["--retry", "2", "x"]))).await;
    let told = format!(
        "no reply to frame 1: no reply within 50ms\n\
         volley: cannot connect to {to}: Connection refused (os error 111) \
         (is volleyd running there?)"
    );
    ended.failed(69, &told);
}

/// What the system has heard of a datagram it tells in place of sending the next one.
#[tokio::test]
async fn a_datagram_in_whose_place_a_refusal_is_told_is_sent_all_the_same() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    drop(socket);
    let mut both = send(&Endpoint::Udp(address.into()), "50ms");
    let ended = within(run(both.args(["--retry", "1", "-v", "a", "b"]))).await;
    assert_eq!(ended.code, Some(69), "{ended:?}");
    assert_eq!(ended.stderr.matches(" > frame ").count(), 4, "{}", ended.stderr);
}

#[tokio::test]
async fn wait_returns_once_a_datagram_is_answered() {
    let wait = async |to: Endpoint| {
        run(program().args(["wait", "--timeout", "25s", &to.to_string()])).await
    };
    let server = async |server: Server| {
        // The first attempt hears nothing that makes sense.
        let (_, from) = server.next().await;
        server.0.send_to(b"?", from).await.unwrap();
        server.echo(usize::MAX).await;
    };
    let ended = against(server, wait).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to = socket.local_addr().unwrap();
    drop(socket);
    let mut late = program();
    late.args(["wait", "--timeout", "200ms", &format!("udp://{to}")]);
    let ended = within(run(&mut late)).await;
    assert_eq!(ended.code, Some(75), "{ended:?}");
    assert!(ended.stderr.contains("Connection refused"), "{}", ended.stderr);
}

/// `volley ping` of this server with these further arguments.
async fn ping(server: impl AsyncFnOnce(Server), arguments: &[&str]) -> Ended {
    against(server, async |to: Endpoint| {
        let to = to.to_string();
        let mut ping = program();
        ping.args(["ping", "-i", "0.01"]).args(arguments).arg(&to);
        let ended = run(&mut ping).await;
        let stdout = String::from_utf8(ended.stdout).unwrap().replace(&to, "TARGET");
        Ended { stdout: stdout.into_bytes(), ..ended }
    })
    .await
}

/// Nothing else tells of its default.
#[tokio::test]
async fn wait_tells_of_a_listener_that_answers_with_receipts() {
    let server = async |server: Server| server.acknowledge(usize::MAX).await;
    let wait = async |to: Endpoint| {
        run(program().args(["wait", "--timeout", "300ms", &to.to_string()])).await
    };
    let ended = against(server, wait).await;
    let told = "reply 1 is not its frame: 32 bytes sent, 32 received, different from byte 0 on \
                (it is a receipt: try --reply ack)\n";
    assert!(ended.code == Some(75) && ended.stderr.ends_with(told), "{ended:?}");
}

#[tokio::test]
async fn ping_tells_what_becomes_of_each_datagram() {
    let server = async |server: Server| {
        // Right, twice, lost, and the last two in the wrong order.
        server.echo(1).await;
        let (second, from) = server.next().await;
        server.0.send_to(&second, from).await.unwrap();
        server.0.send_to(&second, from).await.unwrap();
        server.next().await;
        let (fourth, _) = server.next().await;
        let (fifth, _) = server.next().await;
        server.0.send_to(&fifth, from).await.unwrap();
        server.0.send_to(&fourth, from).await.unwrap();
    };
    let ended = ping(server, &["-c", "5", "-W", "0.5"]).await;
    let stdout = String::from_utf8(ended.stdout).unwrap();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), ""), "{stdout}");
    assert!(stdout.starts_with("PING TARGET: 64 bytes, echo\nseq=1 bytes=64 time="), "{stdout}");
    assert!(stdout.contains("5 pings, 4 answered, 20% loss"), "{stdout}");
    for part in ["1 without a reply", "1 duplicate", "1 out of order"] {
        assert!(stdout.contains(part), "{part} is missing in\n{stdout}");
    }
}

#[tokio::test]
async fn ping_survives_a_server_that_is_not_there_for_a_while() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    drop(socket);
    let mut ping = program();
    ping.args(["ping", "-i", "0.02", "-c", "500", "-W", "25", &format!("udp://{address}")]);
    let mut running = crate::Running::start(&mut ping);
    within(async {
        while !running.line().await.contains("Connection refused") {}
        let server = Server(UdpSocket::bind(address).await.unwrap());
        server.echo(3).await;
        while !running.line().await.contains("bytes=64 time=") {}
        running.signal(rustix::process::Signal::INT);
        let ended = running.end().await;
        assert_eq!(ended.code, Some(130), "{ended:?}");
    })
    .await;
}

/// As long as it was gone, the network said that nobody was there.
#[tokio::test]
async fn a_reply_may_come_late_after_nobody_was_there() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let mut ping = program();
    ping.args(["ping", "-i", "0.02", "-c", "500", "-W", "25", &format!("udp://{address}")]);
    let mut running = crate::Running::start(&mut ping);
    within(async {
        let server = Server(socket);
        let (first, from) = server.next().await;
        drop(server);
        while !running.line().await.contains("Connection refused") {}
        let server = Server(UdpSocket::bind(address).await.unwrap());
        server.0.send_to(&first, from).await.unwrap();
        while !running.line().await.starts_with("seq=1 bytes=64 time=") {}
        running.signal(rustix::process::Signal::INT);
        let ended = running.end().await;
        assert_eq!(ended.code, Some(130), "{ended:?}");
        let stdout = String::from_utf8(ended.stdout).unwrap();
        assert!(stdout.contains("1 late"), "{stdout}");
    })
    .await;
}

#[tokio::test]
async fn a_ping_that_no_datagram_can_hold_is_not_sent() {
    let ended = ping(async |_| (), &["-c", "2", "-W", "25", "-s", "65508"]).await;
    let stdout = String::from_utf8(ended.stdout).unwrap();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), ""), "{stdout}");
    let told = "seq=2 not sent: frame of 65508 bytes exceeds the limit of 65507";
    assert!(stdout.contains(told), "{stdout}");
    assert!(stdout.contains("2 pings, 0 answered, 100% loss"), "{stdout}");
}

/// `volley script` of this text.
async fn script(text: &str, to: &Endpoint) -> Ended {
    let mut script = program();
    script.args(["script", "--timeout", "25s", "--to", &to.to_string(), "-"]);
    run_with(&mut script, text.as_bytes()).await
}

/// Plays this text against this server: the exit code, and what is printed.
async fn played(text: &str, server: impl AsyncFnOnce(Server)) -> (Option<i32>, String) {
    let ended = against(server, async |to| script(text, &to).await).await;
    assert_eq!(ended.stderr, "");
    (ended.code, String::from_utf8(ended.stdout).unwrap())
}

#[tokio::test]
async fn a_script_sends_and_expects_datagrams() {
    let text = "send \"a\"\nexpect echo\nsend \"\"\nsend zeros 65507\nexpect \"\"\nexpect echo\n\
                send \"b\"\nuntil /b/\nexpect nothing 50ms\n";
    let (code, printed) = played(text, async |server| server.echo(usize::MAX).await).await;
    assert_eq!(code, Some(0), "{printed}");
    let text = "send zeros 32\nsend zeros 100\nexpect receipt\nexpect receipt\n";
    let (code, printed) = played(text, async |server| server.acknowledge(usize::MAX).await).await;
    assert_eq!(code, Some(0), "{printed}");
}

#[tokio::test]
async fn a_script_knows_replies_in_whatever_order_they_come() {
    let server = async |server: Server| {
        let (first, from) = server.next().await;
        server.echo(1).await;
        server.0.send_to(&first, from).await.unwrap();
        server.next().await;
        server.0.send_to(b"other", from).await.unwrap();
    };
    let text = "send \"a\"\nsend \"b\"\nexpect echo\nexpect echo\nsend \"c\"\nexpect echo\n";
    let (code, printed) = played(text, server).await;
    assert_eq!(code, Some(1), "{printed}");
    let told = "FAIL  stdin:6:1  ";
    assert!(printed.starts_with(told) && printed.contains("reply 3 is not its frame"), "{printed}");
}

#[tokio::test]
async fn what_a_script_cannot_do_with_datagrams_is_told_with_its_place() {
    let cases = [
        ("hello", "there is no HELLO"),
        ("raw \"x\"", "there are no bytes but those of whole frames: `send` and `expect` them"),
        (
            "expect raw \"x\"",
            "there are no bytes but those of whole frames: `send` and `expect` them",
        ),
        ("half-close", "nobody closes"),
        ("expect close", "nobody closes"),
        ("until goaway", "there are no control frames"),
    ];
    for (statement, why) in cases {
        let text = format!("connect\n{statement}\n");
        let (code, printed) = played(&text, async |_| ()).await;
        assert_eq!(code, Some(65), "{printed}");
        let told =
            format!("      {statement}\n      over udp:// each frame is a datagram: {why}\n");
        assert!(printed.starts_with("FAIL  stdin:2:1  ") && printed.ends_with(&told), "{printed}");
    }
    let (code, printed) = played("send zeros 65508\n", async |_| ()).await;
    let told = "frame of 65508 bytes exceeds the limit of 65507\n";
    assert!(code == Some(65) && printed.ends_with(told), "{printed}");
}

#[tokio::test]
async fn a_script_is_told_that_nobody_is_there() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to = Endpoint::Udp(socket.local_addr().unwrap().into());
    drop(socket);
    // The system tells whoever sends or receives next.
    for text in ["send \"a\"\nexpect any\n", "send \"a\"\nsleep 50ms\nsend \"b\"\nexpect any\n"] {
        let ended = within(script(text, &to)).await;
        let printed = String::from_utf8(ended.stdout).unwrap();
        let told = "Connection refused (os error 111) (is volleyd running there?)\n";
        assert!(ended.code == Some(69) && printed.ends_with(told), "{printed}");
    }
}

/// Types at `volley shell` with these arguments, at this server: the exit code, and the screen.
async fn typed(
    arguments: &[&str],
    server: impl AsyncFnOnce(Server),
    person: impl AsyncFnOnce(&mut Terminal),
) -> (Option<i32>, String) {
    let home = tempfile::tempdir().unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to = format!("udp://{}", socket.local_addr().unwrap());
    let type_lines = async {
        let mut terminal = Terminal::start(&home, &[&["shell", "--to", &to], arguments].concat());
        person(&mut terminal).await;
        (terminal.leave().await, terminal.shown())
    };
    within(async { tokio::join!(server(Server(socket)), type_lines).1 }).await
}

#[tokio::test]
async fn a_shell_shows_the_reply_to_each_datagram() {
    let server = async |server: Server| {
        server.echo(1).await;
        let (second, from) = server.next().await;
        server.0.send_to(&second, from).await.unwrap();
        // It is not taken for the reply to the next one.
        server.0.send_to(&second, from).await.unwrap();
        server.echo(1).await;
        server.next().await;
        server.0.send_to(b"other", from).await.unwrap();
    };
    let (code, shown) = typed(&["--timeout", "25s"], server, async |terminal| {
        for line in ["one", "two", "three"] {
            terminal.line(line).await;
            terminal.until_shown(&format!("> {line}\n{line}  ")).await;
        }
        terminal.line("four").await;
        terminal.until_shown("reply 4 is not its frame").await;
    })
    .await;
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains("(if it answers something else: --no-check)"), "{shown}");
}

#[tokio::test]
async fn a_shell_goes_on_behind_a_datagram_without_a_reply() {
    let server = async |server: Server| {
        server.next().await;
        server.acknowledge(1).await;
    };
    let long = "x".repeat(32);
    let (code, shown) = typed(&["--reply", "ack", "--timeout", "1s"], server, async |terminal| {
        terminal.line("short").await;
        terminal.until_shown("would get no reply: a receipt has 32 bytes").await;
        terminal.line(&long).await;
        terminal.until_shown("no reply to frame 1 within 1s").await;
        terminal.line(&long).await;
        terminal.until_shown("ACK seq=0 len=32 ").await;
    })
    .await;
    assert_eq!(code, Some(1), "{shown}");
}
