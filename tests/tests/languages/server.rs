//! What Volley's programs must get from an echo server, whoever wrote it. A further command of
//! `volley` is one more function here, and its name in the table of `main.rs`.

use std::fs;

use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use volley_tests::{Ended, Load, program, run, within};

use crate::echo_server::EchoServer;
use crate::language::Language;

pub(crate) async fn gives_every_line_of_volley_send_back(language: &Language) {
    let Some(server) = EchoServer::start(language).await else { return };
    // The line in the middle is a frame without payload.
    let lines = (1..=1000).map(|i| if i == 500 { "\n".into() } else { format!("{i}\n") });
    let lines: String = lines.collect();
    let flags = ["send", "--no-hello", "--timeout", "30s", "--to", &server.address];
    let ended = volley(&flags, lines.as_bytes()).await;
    assert_eq!((ended.code, text(&ended)), (Some(0), &*lines), "{}", ended.stderr);
}

pub(crate) async fn gives_a_megabyte_of_volley_send_back(language: &Language) {
    let Some(server) = EchoServer::start(language).await else { return };
    let payload: Vec<u8> =
        (0..1 << 20).map(|i: u32| i.wrapping_mul(0x9e37_79b1).to_be_bytes()[0]).collect();
    let file = NamedTempFile::new().unwrap();
    fs::write(&file, &payload).unwrap();
    let frame = format!("@{}", file.path().display());
    // There is nothing more to read for the server while it still writes.
    let flags = ["--half-close", "--output", "raw", "--timeout", "30s", "--to", &server.address];
    let flags = [&["send", "--no-hello", &frame], &flags[..]].concat();
    let ended = volley(&flags, b"").await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout == payload, "{} bytes", ended.stdout.len());
}

pub(crate) async fn answers_volley_ping(language: &Language) {
    let Some(server) = EchoServer::start(language).await else { return };
    let flags = ["ping", "--no-hello", "-c", "3", "-i", "0.01", "-W", "30", &server.address];
    let ended = volley(&flags, b"").await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(text(&ended).contains("\n3 pings, 3 answered, 0% loss, "), "{}", text(&ended));
}

pub(crate) async fn is_there_for_volley_wait(language: &Language) {
    let Some(server) = EchoServer::start(language).await else { return };
    let ended = volley(&["wait", "--no-hello", "--timeout", "30s", &server.address], b"").await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

pub(crate) async fn passes_the_plain_scripts_of_the_examples(language: &Language) {
    let Some(server) = EchoServer::start(language).await else { return };
    let scripts = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/scripts/plain");
    let ended =
        volley(&["script", "--timeout", "30s", "--to", &server.address, scripts], b"").await;
    assert_eq!(ended.code, Some(0), "{}", text(&ended));
    assert!(text(&ended).contains(" passed, 0 failed in "), "{}", text(&ended));
}

pub(crate) async fn loses_no_frame_of_volley_load(language: &Language) {
    let Some(server) = EchoServer::start(language).await else { return };
    let flags = "--no-hello --timeout 30s -q -n 2k -c 32 -p 4 -s 0..20000";
    let flags: Vec<_> = flags.split(' ').collect();
    let report = Load::start(&server.address, &flags).end().await;
    let ledger = ["sent", "ok"].map(|column| report.number(&format!("/run/ledger/{column}")));
    assert_eq!((report.code, ledger), (Some(0), [2000, 2000]), "{:?}", report.problems());
    assert_eq!(*report.value("/complete"), true);
    assert_eq!(report.problems(), []);
}

/// Its four first bytes are a length of a gigabyte.
pub(crate) async fn turns_away_what_is_no_frame(language: &Language) {
    let Some(server) = EchoServer::start(language).await else { return };
    let mut stray = within(TcpStream::connect(&server.address)).await.unwrap();
    within(stray.write_all(b"GET / HTTP/1.1\r\n\r\n")).await.unwrap();
    let mut answer = Vec::new();
    // The close may be a reset, since not everything was read.
    let _ = within(stray.read_to_end(&mut answer)).await;
    assert_eq!(answer, b"");
}

/// Runs `volley` to its end.
async fn volley(arguments: &[&str], input: &[u8]) -> Ended {
    run(program("volley").args(arguments), input).await
}

fn text(ended: &Ended) -> &str {
    std::str::from_utf8(&ended.stdout).unwrap()
}
