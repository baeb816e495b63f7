//! What a client must get from volleyd, whoever wrote it.

use volley_tests::{Daemon, Ended, field, run};

use crate::language::Language;

pub(crate) async fn gets_every_echo_of_volleyd(language: &Language) {
    let daemon = Daemon::start(&[]).await;
    // More than sockets hold: the replies have to be read while frames are sent.
    let sizes = ["0", "5", "25600", "1048576"].repeat(8);
    let Some(ended) = send(language, &daemon, &sizes).await else { return };
    let stdout = String::from_utf8_lossy(&ended.stdout);
    assert_eq!((ended.code, &*stdout), (Some(0), "32 frames came back\n"), "{}", ended.stderr);
    assert_eq!(field(&daemon.books().await, "frames_answered"), 32);
}

pub(crate) async fn does_not_take_a_receipt_for_an_echo(language: &Language) {
    let daemon = Daemon::start(&["--reply", "ack"]).await;
    let Some(ended) = send(language, &daemon, &["32"]).await else { return };
    assert_ne!(ended.code, Some(0));
    assert_eq!(ended.stdout, b"");
}

pub(crate) async fn does_not_take_an_error_for_an_echo(language: &Language) {
    let daemon = Daemon::start(&["--max-frame", "1000B"]).await;
    let Some(ended) = send(language, &daemon, &["5", "2000"]).await else { return };
    assert_ne!(ended.code, Some(0));
    assert_eq!(ended.stdout, b"");
    assert!(ended.stderr.contains(language.refusal), "{}", ended.stderr);
}

/// What becomes of the client that sends frames of these sizes; none when its language is not
/// installed.
async fn send(language: &Language, daemon: &Daemon, sizes: &[&str]) -> Option<Ended> {
    let (_, port) = daemon.endpoint.rsplit_once(':').unwrap();
    let mut client = language.program("client").await?;
    Some(run(client.arg(port).args(sizes), b"").await)
}
