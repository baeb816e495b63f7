//! `volley send` to servers that do what no server should, greeted and not: each is told for what
//! it is, with what to try next, within the timeout.

use tokio::io::AsyncWriteExt;
use volley_proto::ReplyKind;

use crate::scripted::{Peer, listen, play, within};
use crate::{Ended, Running, run, send, send_within};

/// The front of a reply.
const PART: &[u8] = b"\0\0\0\x05hel";

/// What a server does wrong.
#[derive(Clone, Copy, Debug)]
enum Bad {
    /// Reads, and says nothing.
    Silent,
    /// Does not even read.
    Stuck,
    /// Resets the connection as soon as it is there.
    Resets,
    /// Half-closes as soon as the connection is there, and reads on.
    HalfCloses,
    /// Says these bytes as soon as the connection is there.
    Says(&'static [u8]),
    /// Says that, and the same without end.
    SaysForEver(&'static [u8]),
    /// Answers the first frame with these bytes.
    Answers(&'static [u8]),
    /// Answers the first frame with a whole reply of other bytes, and the next ones rightly.
    Corrupts,
    /// Begins a reply that never becomes whole.
    Stalls,
    /// Begins a reply and closes.
    ClosesWithin,
    /// Takes the first frame and closes.
    Closes,
    /// Takes the first frame and resets.
    ResetsLater,
    /// Half-closes as soon as the first frame may come.
    HalfClosesLater,
}

impl Bad {
    async fn serve(self, mut peer: Peer, greets: bool) {
        match self {
            Self::Silent => {
                peer.until_closed().await;
            }
            Self::Stuck => peer.until_client_is_done().await,
            Self::Resets => peer.reset(),
            Self::HalfCloses => half_close(peer).await,
            Self::Says(bytes) => {
                peer.write(bytes).await;
                peer.until_closed().await;
            }
            Self::SaysForEver(bytes) => {
                let bytes = bytes.repeat(64 << 10);
                while peer.stream.write_all(&bytes).await.is_ok() {}
            }
            _ => {
                if greets {
                    peer.greet(ReplyKind::Echo).await;
                }
                self.serve_greeted(peer).await;
            }
        }
    }

    async fn serve_greeted(self, mut peer: Peer) {
        if matches!(self, Self::HalfClosesLater) {
            return half_close(peer).await;
        }
        // All of them, so that no end is a reset for what was not read.
        let mut payloads = Vec::new();
        for _ in 0..FRAMES.len() {
            payloads.push(peer.payload().await);
        }
        match self {
            Self::Answers(bytes) => {
                peer.write(bytes).await;
                peer.until_closed().await;
            }
            Self::Stalls => {
                peer.write(PART).await;
                peer.until_client_is_done().await;
            }
            Self::ClosesWithin => peer.write(PART).await,
            Self::Corrupts => {
                peer.reply(b"HELLO").await;
                peer.reply(&payloads[1]).await;
                peer.until_closed().await;
            }
            Self::ResetsLater => peer.reset(),
            _ => {}
        }
    }
}

async fn half_close(mut peer: Peer) {
    peer.stream.shutdown().await.unwrap();
    peer.until_closed().await;
}

/// What is sent to each of them.
const FRAMES: [&str; 2] = ["hello", "world"];

async fn sent_to(bad: Bad, arguments: &[&str]) -> Ended {
    let greets = !arguments.contains(&"--no-hello");
    let serve = async |peer: Peer| bad.serve(peer, greets).await;
    play(serve, async |to| {
        // Just those that do nothing more are waited for to the end.
        let mut command = match bad {
            Bad::Silent | Bad::Stuck | Bad::Stalls => send_within("300ms", &to),
            _ => send(&to),
        };
        let mut ended = run(command.args(arguments).args(FRAMES)).await;
        ended.stderr = ended.stderr.replace(&to.to_string(), "SERVER");
        ended
    })
    .await
}

/// What comes of it, greeted and not: the exit code, and what is told.
#[track_caller]
fn check(bad: Bad, arguments: &[&str], ended: &Ended, code: i32, told: &str) {
    assert_eq!(ended.code, Some(code), "{bad:?} {arguments:?} {ended:?}");
    assert_eq!(ended.stdout, b"", "{bad:?} {arguments:?} {ended:?}");
    assert_eq!(ended.stderr, format!("volley: {told}\n"), "{bad:?} {arguments:?}");
}

async fn both(bad: Bad, greeted: (i32, &str), not_greeted: (i32, &str)) {
    for (arguments, (code, told)) in [(&[][..], greeted), (&["--no-hello"], not_greeted)] {
        check(bad, arguments, &sent_to(bad, arguments).await, code, told);
    }
}

const NO_HELLO: &str = "it may not know HELLO (try --no-hello)";

/// What a lost connection means for the frames.
const LOST: &str =
    "0 frames answered, 2 without a reply (volley send --retry 3 sends again what has no reply)";
/// The same where the first reply had begun.
const LOST_WITHIN: &str = "0 frames answered, 2 without a reply, but for 7 of 9 bytes of it \
                           (volley send --retry 3 sends again what has no reply)";

#[tokio::test]
async fn nobody_at_the_port() {
    for arguments in [&["hello"][..], &["--no-hello", "hello"]] {
        let (listener, to) = listen().await;
        drop(listener);
        let ended = within(run(send(&to).args(arguments))).await;
        let why = "Connection refused (os error 111) (is volleyd running there?)";
        ended.failed(69, &format!("cannot connect to {to}: {why}"));
    }
}

#[tokio::test]
async fn silence() {
    let advice = "it may not know HELLO: try --no-hello, or a longer --timeout";
    let greeted = format!("no WELCOME from SERVER within 300ms ({advice})");
    let not_greeted = "no reply to frame 1 within 300ms (try a longer --timeout)";
    for bad in [Bad::Silent, Bad::Stuck] {
        both(bad, (75, &greeted), (75, not_greeted)).await;
    }
    let begun = "no reply to frame 1 within 300ms, but for 7 of 9 bytes of it (try a longer \
                 --timeout)";
    both(Bad::Stalls, (75, begun), (75, begun)).await;
}

#[tokio::test]
async fn an_end_before_anything_was_said() {
    let greeted = format!("the server answered HELLO with a close, not with WELCOME: {NO_HELLO}");
    check(Bad::HalfCloses, &[], &sent_to(Bad::HalfCloses, &[]).await, 76, &greeted);
    // Whether the reset comes before the first write or behind it, and which call hears of it, is
    // for the system to say; the next one sees an end.
    for arguments in [&[][..], &["--no-hello"]] {
        let ended = sent_to(Bad::Resets, arguments).await;
        assert!(matches!(ended.code, Some(1 | 69 | 76)), "{ended:?}");
        let ways = ["reset by peer", "the server closed the connection", NO_HELLO];
        assert!(ways.iter().any(|way| ended.stderr.contains(way)), "{ended:?}");
    }
}

#[tokio::test]
async fn an_end_in_place_of_a_reply() {
    let closed = format!("the server closed the connection: {LOST}");
    both(Bad::Closes, (1, &closed), (1, &closed)).await;
    let within = format!("the server closed the connection: {LOST_WITHIN}");
    both(Bad::ClosesWithin, (1, &within), (1, &within)).await;
    let reset = format!("the connection failed: Connection reset by peer (os error 104): {LOST}");
    both(Bad::ResetsLater, (1, &reset), (1, &reset)).await;
}

/// It may come before anything was sent, and then nothing is lost.
#[tokio::test]
async fn a_half_close_before_the_first_frame() {
    let cases = [
        (Bad::HalfCloses, &["--no-hello"][..]),
        (Bad::HalfClosesLater, &[]),
        (Bad::HalfClosesLater, &["--no-hello"]),
    ];
    for (bad, arguments) in cases {
        let ended = sent_to(bad, arguments).await;
        let closed = "volley: the server closed the connection";
        let ways = [" before any frame was sent (", ": 0 frames answered, "];
        let is_told = ways.iter().any(|way| ended.stderr.starts_with(&format!("{closed}{way}")));
        assert!(ended.code == Some(1) && is_told, "{ended:?}");
        assert!(ended.stderr.contains("volley send --retry 3"), "{ended:?}");
    }
    let ended = play(half_close, async |to| {
        // Nobody types anything.
        let mut running = Running::start(send(&to).arg("--no-hello"));
        let _stdin = running.stdin.take();
        running.end().await
    })
    .await;
    let advice = "before the input ended: volley send --retry 3 goes on over another connection";
    let told = format!("the server closed the connection before any frame was sent ({advice})");
    ended.failed(1, &told);
}

#[tokio::test]
async fn replies_that_are_too_long() {
    let giant = "the server broke the protocol: frame of 1073741824 bytes exceeds the limit of \
                 67108864 (is it a framed server?)";
    for bad in [Bad::Says(b"\x40\0\0\0xxxx"), Bad::Answers(b"\x40\0\0\0xxxx")] {
        both(bad, (76, giant), (76, giant)).await;
    }
}

#[tokio::test]
async fn bytes_without_an_end() {
    let greeted =
        format!("the server answered HELLO with a data frame, not with WELCOME: {NO_HELLO}");
    let bad = Bad::SaysForEver(b"\0\0\0\0");
    check(bad, &[], &sent_to(bad, &[]).await, 76, &greeted);
    // They are wrong replies or replies to no frame, as the frames are on their way or not yet.
    let ended = sent_to(bad, &["--no-hello"]).await;
    assert!(matches!(ended.code, Some(1 | 76)), "{ended:?}");
    let text = "the server broke the protocol: frame of 2021161080 bytes exceeds the limit of \
                67108864 (as text its length is `xxxx`: is it a framed server?)";
    both(Bad::SaysForEver(b"xxxx"), (76, text), (76, text)).await;
}

#[tokio::test]
async fn other_bytes_and_too_many_replies() {
    let own = " (if it answers something else: --expect, or --no-check)";
    for (arguments, hint) in [(&[][..], ""), (&["--no-hello"], own)] {
        let ended = sent_to(Bad::Corrupts, arguments).await;
        let shown = "
  expected  00000000  68 65 6c 6c 6f                                   |hello|
            00000005
  received  00000000  48 45 4c 4c 4f                                   |HELLO|
            00000005
volley: wrong replies: 1 of 2";
        let why = "reply 1 is not its frame: 5 bytes sent, 5 received, different from byte 0 on";
        ended.failed_after("world\n", 1, &format!("{why}{hint}{shown}"));
        let three = b"\0\0\0\x05hello\0\0\0\x05world\0\0\0\x01!";
        let ended = sent_to(Bad::Answers(three), arguments).await;
        let told = "the server broke the protocol: a reply of 1 byte while none was awaited";
        ended.failed_after("hello\nworld\n", 76, told);
    }
}

#[tokio::test]
async fn control_frames_that_are_none() {
    let unknown = "the server broke the protocol: control frame of unknown type 119 (is it a \
                   framed server?)";
    let bytes = b"\x80\0\0\x0c\x77\0\0\x01\0\0\0\0\0\0\0\0";
    both(Bad::Answers(bytes), (76, unknown), (76, unknown)).await;
    let short = "the server broke the protocol: control frame of 1 byte: must be 12 to 212 (is it \
                 a framed server?)";
    both(Bad::Answers(b"\x80\0\0\x01\x77"), (76, short), (76, short)).await;
}

#[tokio::test]
async fn servers_of_other_protocols() {
    let known: [(&[u8], &str, &str); 3] = [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP", "is that the right port?"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "SSH", "is that the right port?"),
        // The alert `protocol_version`, fatal.
        (b"\x15\x03\x01\0\x02\x02\x46", "TLS", "use tls://"),
    ];
    for (banner, name, hint) in known {
        let told =
            format!("the server broke the protocol: this is {name}, not a framed server ({hint})");
        both(Bad::Says(banner), (76, &told), (76, &told)).await;
    }
    let mail = "the server broke the protocol: frame of 842149920 bytes exceeds the limit of \
                67108864 (as text its length is `220 `: is it a framed server?)";
    both(Bad::Says(b"220 mail ESMTP\r\n"), (76, mail), (76, mail)).await;
}
