//! Where frames come from and how they are written.

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use volley_proto::{MaxFrame, ReplyKind};

use crate::scripted::{Peer, echo, play, within};
use crate::{Ended, Running, program, run, run_with, send};

/// What came of `volley send` with these arguments and this input: the frames that a server got,
/// which takes at most `max` bytes each and echoes them, and how it ended.
async fn sent(max: u64, arguments: &[&str], input: &[u8]) -> (Vec<Vec<u8>>, Ended) {
    let mut frames = Vec::new();
    let server = async |mut peer: Peer| {
        peer.hello().await;
        peer.welcome(ReplyKind::Echo, MaxFrame::new(max).unwrap()).await;
        while let Some(payload) = peer.payload_or_end().await {
            peer.reply(&payload).await;
            frames.push(payload);
        }
    };
    // Whatever is printed is compared in hexadecimal, so that nothing can be mistaken.
    let ended = play(server, async |to| {
        run_with(send(&to).args(["--output", "hex"]).args(arguments), input).await
    })
    .await;
    let printed: String = frames.iter().map(|frame| hex(frame) + "\n").collect();
    assert_eq!(String::from_utf8_lossy(&ended.stdout), printed);
    (frames, ended)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The frames that these arguments and this input make.
async fn frames(arguments: &[&str], input: &[u8]) -> Vec<Vec<u8>> {
    let (frames, ended) = sent(1 << 20, arguments, input).await;
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    frames
}

/// How many frames are answered before this input is found bad, and what is told of it.
async fn bad(max: u64, arguments: &[&str], input: &[u8]) -> (usize, String) {
    let (frames, ended) = sent(max, arguments, input).await;
    assert_eq!(ended.code, Some(65), "{ended:?}");
    let told = ended.stderr.strip_prefix("volley: ").and_then(|told| told.strip_suffix('\n'));
    (frames.len(), told.unwrap().to_owned())
}

/// Wrong before anything is sent: nobody has to listen.
async fn refused(arguments: &[&str]) -> (Option<i32>, String) {
    let ended = within(run(program().args(["send", "--to", "127.0.0.1:1"]).args(arguments))).await;
    assert_eq!(ended.stdout, b"");
    (ended.code, ended.stderr)
}

fn write(directory: &TempDir, name: &str, bytes: &[u8]) -> String {
    let path = directory.path().join(name);
    fs::write(&path, bytes).unwrap();
    format!("@{}", path.display())
}

#[tokio::test]
async fn raw_is_one_frame_whatever_it_holds() {
    let bytes = b"two\nlines\0\xff\n";
    assert_eq!(frames(&["--input", "raw"], bytes).await, [bytes]);
    assert_eq!(frames(&["--input", "raw"], b"").await, [b""]);
}

#[tokio::test]
async fn chunks_split_a_stream_and_the_last_may_be_shorter() {
    assert_eq!(frames(&["--chunk", "4"], b"abcdefghij").await, [&b"abcd"[..], b"efgh", b"ij"]);
    assert_eq!(frames(&["--input", "raw", "--chunk", "5"], b"abcde").await, [b"abcde"]);
    assert!(frames(&["--chunk", "4"], b"").await.is_empty());
    // Far more than is read at once, and not a multiple of it.
    let stream: Vec<u8> = (0..1_000_003_u32).map(|i| (i / 3).to_le_bytes()[0]).collect();
    let frames = frames(&["--chunk", "64KiB"], &stream).await;
    assert!(frames.iter().rev().skip(1).all(|frame| frame.len() == 64 << 10));
    assert!(frames.concat() == stream);
}

#[tokio::test]
async fn nuls_end_frames_that_hold_newlines() {
    let found = frames(&["--input", "nul"], b"a\nb\0\0c\0d").await;
    assert_eq!(found, [&b"a\nb"[..], b"", b"c", b"d"]);
}

#[tokio::test]
async fn frames_stand_behind_their_lengths() {
    let input = b"\0\0\0\x03a\nb\0\0\0\0\0\0\0\x02\0\0";
    assert_eq!(frames(&["--input", "frames"], input).await, [&b"a\nb"[..], b"", b"\0\0"]);
    assert!(frames(&["--input", "frames"], b"").await.is_empty());
}

#[tokio::test]
async fn lines_of_hexadecimal_are_decoded() {
    let input = b"68656c6c6f\n\nde ad be ef\r\nDE:AD";
    let expected = [&b"hello"[..], b"", b"\xde\xad\xbe\xef", b"\xde\xad"];
    assert_eq!(frames(&["--input", "hex"], input).await, expected);
}

#[tokio::test]
async fn lines_of_base64_are_decoded() {
    let input = b"aGVsbG8=\n\naGVsbG8\r\nAP+l";
    let expected = [&b"hello"[..], b"", b"hello", b"\x00\xff\xa5"];
    assert_eq!(frames(&["--input", "base64"], input).await, expected);
}

#[tokio::test]
async fn arguments_are_decoded_too() {
    assert_eq!(frames(&["--input", "hex", "6869", "de ad"], b"").await, [b"hi", b"\xde\xad"]);
    assert_eq!(frames(&["--input", "base64", "aGk="], b"").await, [b"hi"]);
    for format in ["raw", "lines", "nul"] {
        assert_eq!(frames(&["--input", format, "one\ntwo"], b"").await, [b"one\ntwo"], "{format}");
    }
}

#[tokio::test]
async fn a_file_is_one_frame_unless_told_how_it_is_written() {
    let directory = TempDir::new().unwrap();
    let file = write(&directory, "file", b"one\ntwo\n");
    let empty = write(&directory, "empty", b"");
    let both = [file.as_str(), "between", &empty, &file];
    assert_eq!(frames(&both, b"").await, [&b"one\ntwo\n"[..], b"between", b"", b"one\ntwo\n"]);
    let lines = ["--input", "lines", &file, "a\nb", &empty];
    assert_eq!(frames(&lines, b"").await, [&b"one"[..], b"two", b"a\nb"]);
    assert_eq!(frames(&["--chunk", "5", &file], b"").await, [&b"one\nt"[..], b"wo\n"]);
}

#[tokio::test]
async fn stdin_can_stand_among_arguments() {
    assert_eq!(
        frames(&["first", "@-", "last"], b"a\nb\n").await,
        [&b"first"[..], b"a", b"b", b"last"]
    );
}

#[tokio::test]
async fn two_signs_are_one_at_the_front_of_a_frame() {
    assert_eq!(frames(&["@@home", "@@", "me@home"], b"").await, [&b"@home"[..], b"@", b"me@home"]);
}

#[tokio::test]
async fn a_long_file_passes_in_order() {
    let directory = TempDir::new().unwrap();
    let lines: Vec<u8> = (0..60_000_u32).flat_map(|i| format!("{i}\n").into_bytes()).collect();
    let file = write(&directory, "lines", &lines);
    let frames = frames(&["--input", "lines", &file], b"").await;
    assert!((0..60_000_u32).map(|i| i.to_string().into_bytes()).eq(frames));
}

/// A batch is shipped by its bytes, and these have none.
#[tokio::test]
async fn a_file_of_nothing_but_empty_lines_passes() {
    let directory = TempDir::new().unwrap();
    let file = write(&directory, "newlines", &[b'\n'; 50_000]);
    assert_eq!(frames(&["--input", "lines", &file], b"").await.len(), 50_000);
}

#[tokio::test]
async fn a_round_without_a_frame_is_the_last() {
    let directory = TempDir::new().unwrap();
    let empty = write(&directory, "empty", b"");
    let arguments = ["--repeat", "0", "--input", "lines", &empty];
    assert!(frames(&arguments, b"").await.is_empty());
    // A file that is a frame is one when it is empty, too.
    assert_eq!(frames(&["--repeat", "2", &empty], b"").await, [b"", b""]);
}

#[tokio::test]
async fn a_frame_is_answered_before_the_next_one_is_written() {
    let written: [(&str, [&[u8]; 2]); 5] = [
        ("nul", [b"one\0", b"two\0"]),
        ("frames", [b"\0\0\0\x03one", b"\0\0\0\x03two"]),
        ("hex", [b"6f6e65\n", b"74776f\n"]),
        ("base64", [b"b25l\n", b"dHdv\n"]),
        ("raw", [b"one", b"two"]),
    ];
    for (format, pieces) in written {
        play(echo, async |to| {
            let mut command = send(&to);
            command.args(["--input", format]);
            if format == "raw" {
                command.args(["--chunk", "3"]);
            }
            let mut running = Running::start(&mut command);
            for (piece, reply) in pieces.iter().zip(["one", "two"]) {
                running.write(piece).await;
                assert_eq!(running.line().await, reply, "{format}");
            }
            running.stdin = None;
            running.end().await.printed("");
        })
        .await;
    }
}

#[tokio::test]
async fn odd_hexadecimal_says_where_and_frames_before_it_are_answered() {
    let (answered, told) = bad(99, &["--input", "hex"], b"00\n01\n012\n03\n").await;
    let expected = "line 3 of stdin cannot be decoded: an odd number of hexadecimal digits, 3: \
                    one is missing, or one is too many";
    assert_eq!((answered, &*told), (2, expected));
    let (answered, told) = bad(99, &["--input", "hex"], b"00 0x\n").await;
    let expected = "line 1 of stdin cannot be decoded: `x` at byte 5 is no hexadecimal digit";
    assert_eq!((answered, &*told), (0, expected));
}

#[tokio::test]
async fn broken_base64_says_where() {
    let cases: [(&[u8], &str); 3] = [
        (b"aGVs!G8=\n", "`!` at byte 5 is not of base64"),
        (b"aGVsb\n", "5 symbols of base64 are not whole bytes: something is missing at the end"),
        (
            b"aGVsbG9=\n",
            "`9` at byte 7 holds bits of a byte that is not there: something is missing at the end",
        ),
    ];
    for (line, why) in cases {
        let input = [b"aGk=\n", line].concat();
        let (answered, told) = bad(99, &["--input", "base64"], &input).await;
        assert_eq!((answered, told), (1, format!("line 2 of stdin cannot be decoded: {why}")));
    }
}

#[tokio::test]
async fn control_characters_in_bad_input_are_shown_and_not_sent_to_the_terminal() {
    let (_, told) = bad(99, &["--input", "hex"], b"\x1b[\n").await;
    assert_eq!(
        told,
        "line 1 of stdin cannot be decoded: `\\x1b` at byte 1 is no hexadecimal digit"
    );
}

#[tokio::test]
async fn an_argument_that_cannot_be_decoded_is_found_before_connecting() {
    let (code, told) = refused(&["--input", "hex", "00", "0"]).await;
    let expected = "volley: argument 2 cannot be decoded: an odd number of hexadecimal \
                    digits, 1: one is missing, or one is too many\n";
    assert_eq!((code, &*told), (Some(65), expected));
    let (code, told) = refused(&["--input", "base64", "??"]).await;
    let expected = "volley: argument 1 cannot be decoded: `?` at byte 1 is not of base64\n";
    assert_eq!((code, &*told), (Some(65), expected));
}

#[tokio::test]
async fn frames_that_are_cut_off_or_no_data_say_which() {
    let good = b"\0\0\0\x02hi";
    let cases: [(&[u8], &str); 3] = [
        (b"\0\0\0", "frame 2 of stdin is cut off: 3 of 4 bytes"),
        (b"\0\0\0\x05abc", "frame 2 of stdin is cut off: 7 of 9 bytes"),
        (
            b"\x80\0\0\x0c\x01\0\0\x01\0\0\0\0\0\0\0\0",
            "frame 2 of stdin is a control frame: only data frames can be sent",
        ),
    ];
    for (second, expected) in cases {
        let input = [&good[..], second].concat();
        let (answered, told) = bad(99, &["--input", "frames"], &input).await;
        assert_eq!((answered, &*told), (1, expected));
    }
}

#[tokio::test]
async fn what_is_longer_than_the_server_takes_is_never_sent() {
    let directory = TempDir::new().unwrap();
    let file = write(&directory, "file", b"sixsix");
    let path = file.trim_start_matches('@');
    let (chunk, raw) = (" (--chunk 4 splits it)", " (volley send --input raw --chunk 4 splits it)");
    let cases: [(&[&str], &[u8], &str, &str); 7] = [
        (&[], b"sixsix", "line 1 of stdin", raw),
        (&["--input", "nul"], b"sixsix\0", "frame 1 of stdin", raw),
        (&["--input", "frames"], b"\0\0\0\x06sixsix", "frame 1 of stdin", ""),
        (&["--input", "hex"], b"000102030405", "line 1 of stdin", ""),
        (&["--input", "base64"], b"c2l4c2l4", "line 1 of stdin", ""),
        (&["--input", "raw"], b"sixsix", "stdin", chunk),
        (&[&file], b"", path, chunk),
    ];
    for (arguments, input, what, hint) in cases {
        let (answered, told) = bad(5, arguments, input).await;
        assert_eq!(answered, 0);
        assert_eq!(told, format!("{what} is longer than the 5 bytes that the server takes{hint}"));
    }
    let (answered, told) = bad(5, &["--chunk", "6"], b"x").await;
    let expected = "--chunk of 6 bytes is more than the 5 that the server takes";
    assert_eq!((answered, &*told), (0, expected));
}

#[tokio::test]
async fn a_file_that_is_not_there_is_a_missing_input_before_connecting() {
    let directory = TempDir::new().unwrap();
    let missing = directory.path().join("missing");
    let at = |path: &Path| format!("@{}", path.display());
    let (code, told) = refused(&["first", &at(&missing)]).await;
    let why = "No such file or directory (os error 2)";
    assert_eq!(
        (code, told),
        (Some(66), format!("volley: cannot open {}: {why}\n", missing.display()))
    );
    let (code, told) = refused(&[&at(directory.path())]).await;
    let path = directory.path().display();
    assert_eq!((code, told), (Some(66), format!("volley: cannot open {path}: is a directory\n")));
}

#[tokio::test]
async fn a_file_that_disappears_is_a_missing_input_too() {
    let directory = TempDir::new().unwrap();
    let file = write(&directory, "file", b"here");
    let server = async |mut peer: Peer| {
        peer.hello().await;
        // Looked at and not opened yet.
        fs::remove_file(file.trim_start_matches('@')).unwrap();
        peer.welcome(ReplyKind::Echo, MaxFrame::DEFAULT).await;
        peer.echo_all().await;
    };
    let ended = play(server, async |to| run(send(&to).args(["first", &file])).await).await;
    assert_eq!((ended.code, &*ended.stdout), (Some(66), &b"first\n"[..]), "{ended:?}");
}

#[tokio::test]
async fn what_makes_no_sense_together_is_wrong_usage() {
    let cases: [(&[&str], &str); 8] = [
        (
            &["@"],
            "`@` names no file: write @PATH, @- for stdin, or @@ for a frame that begins with an @",
        ),
        (&["--chunk", "4", "--input", "lines"], "--chunk splits raw input only: leave --input out"),
        (&["--chunk", "4", "x"], "--chunk splits stdin and @FILEs, and no argument is one"),
        (&["--input", "frames", "x"], "--input frames is for stdin and @FILEs, not for arguments"),
        (
            &["--repeat", "2"],
            "stdin can be read only once: --repeat is for arguments, @FILEs and --input raw",
        ),
        (
            &["--repeat", "0", "x", "@-"],
            "stdin can be read only once: --repeat is for arguments, @FILEs and --input raw",
        ),
        (
            &["--repeat", "2", "--chunk", "4"],
            "stdin can be read only once: --repeat is for arguments, @FILEs and --input raw",
        ),
        (&["--input", "raw", "@-", "x", "@-"], "stdin can be read only once: write @- once"),
    ];
    for (arguments, told) in cases {
        let (code, stderr) = refused(arguments).await;
        assert_eq!((code, stderr), (Some(2), format!("volley: {told}\n")), "{arguments:?}");
    }
    for arguments in
        [["--chunk", "0"], ["--chunk", "65MiB"], ["--input", "hexx"], ["--repeat", "x"]]
    {
        let (code, stderr) = refused(&arguments).await;
        assert_eq!(code, Some(2), "{arguments:?} {stderr}");
    }
}
